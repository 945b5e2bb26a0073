package semel

// The course of a watch over all its streams: where it is, what was told, and how the next stream is to be asked for.
// Pure: messages come in, items go out; nothing here waits or sends.

import (
	"maps"

	"google.golang.org/protobuf/proto"

	"semel.dev/go/semelv1"
)

type watchCourse struct {
	request *semelv1.WatchRequest // how the next stream is asked for
	base    string                // the last token of the server's
	since   watchPassed           // what was told since
	marks   watchMarks
	part    *watchPart // what the items of the last message share

	inSnapshot bool
	isLost     bool // the program takes the stream to be lost, or has heard of none yet
}

func newWatchCourse(request *semelv1.WatchRequest, app string) (*watchCourse, error) {
	if request == nil {
		return nil, usageError("the request is nil")
	}
	c := &watchCourse{
		request: proto.Clone(request).(*semelv1.WatchRequest),
		since:   watchPassed{},
		marks:   watchMarks{},
		isLost:  true,
	}
	if c.request.App == "" && len(c.request.Apps) == 0 {
		c.request.App = app
	}
	if start, ok := request.Start.(*semelv1.WatchRequest_ResumeToken); ok {
		base, passed, err := parseWatchToken(start.ResumeToken)
		if err != nil {
			return nil, err
		}
		c.startAt(base)
		c.base, c.since = base, passed
		c.marks.recall(passed)
	}
	c.part = c.before()
	return c, nil
}

func (c *watchCourse) startAt(base string) {
	c.request.Start = &semelv1.WatchRequest_ResumeToken{ResumeToken: base}
	c.request.Snapshot = semelv1.SnapshotScope_SNAPSHOT_SCOPE_UNSPECIFIED
}

func (c *watchCourse) before() *watchPart {
	return &watchPart{base: c.base, before: maps.Clone(c.since)}
}

// isAtToken says whether a new stream could go on from here without telling anything again.
func (c *watchCourse) isAtToken() bool { return c.base != "" && len(c.since) == 0 && !c.inSnapshot }

// lose: the stream is lost; gives what to tell of it, unless that was told.
func (c *watchCourse) lose(err *Error) *WatchItem {
	if c.isLost {
		return nil
	}
	c.isLost = true
	return c.behindAll(&WatchItem{Kind: WatchLost, Lost: err})
}

// open: a stream has opened. Gives why it is no stream of a Semel server, if it is none.
func (c *watchCourse) open(opened *semelv1.WatchOpened, token string) (items []*WatchItem, broken string) {
	_, byToken := c.request.Start.(*semelv1.WatchRequest_ResumeToken)
	withSnapshot := c.request.Snapshot != semelv1.SnapshotScope_SNAPSHOT_SCOPE_UNSPECIFIED
	if !withSnapshot && token == "" {
		return nil, "the stream opens without a resume token"
	}
	if byToken {
		c.marks.begin()
	} else {
		clear(c.marks)
	}
	if c.isLost {
		c.isLost = false
		items = append(items, &WatchItem{
			Kind: WatchOpened, Revision: opened.GetRevision(), OldestRevision: opened.GetOldestRevision()})
	}
	if withSnapshot {
		c.inSnapshot = true
		items = append(items, &WatchItem{Kind: WatchSnapshotBegin})
	} else if !byToken {
		c.arrive(token)
	}
	c.part = c.before()
	for _, item := range items {
		c.behindAll(item)
	}
	return items, ""
}

// take is what a message tells. Notices and farewells tell nothing here, but may bring a token.
func (c *watchCourse) take(message *semelv1.WatchResponse) []*WatchItem {
	part := c.before()
	token := message.GetResumeToken()
	var items []*WatchItem
	switch kind := message.GetKind().(type) {
	case *semelv1.WatchResponse_Snapshot:
		items = rowsOf(kind.Snapshot)
	case *semelv1.WatchResponse_SnapshotEnd:
		c.inSnapshot = false
		items = []*WatchItem{{Kind: WatchSnapshotEnd, Revision: kind.SnapshotEnd.GetRevision()}}
	case *semelv1.WatchResponse_Events:
		items = c.takeEvents(kind.Events, part)
	case *semelv1.WatchResponse_Progress:
		items = []*WatchItem{{Kind: WatchProgress, Revision: kind.Progress.GetRevision()}}
	case *semelv1.WatchResponse_AuthNotice, *semelv1.WatchResponse_GoingAway:
	default:
		token = "" // what a later server means by it, and by its token, is not known
	}
	if c.inSnapshot {
		token = ""
	}
	if token != "" {
		c.arrive(token)
		part.after = token
	}
	c.part = part
	for number, item := range items {
		item.position = watchPosition{part, 0}
		if len(part.events) > 0 {
			item.position.events = number + 1
		}
	}
	return items
}

func (c *watchCourse) takeEvents(events *semelv1.WatchEvents, part *watchPart) []*WatchItem {
	items := make([]*WatchItem, 0, len(events.GetEvents()))
	for _, event := range events.GetEvents() {
		if !c.marks.admit(event.GetApp(), event.GetRevision()) {
			continue // it came again
		}
		c.since.note(event.GetApp(), event.GetRevision())
		part.events = append(part.events, watchEvent{event.GetApp(), event.GetRevision()})
		items = append(items, &WatchItem{Kind: WatchEvent, Revision: event.GetRevision(), Event: event})
	}
	return items
}

// arrive: all that was told lies before this token.
func (c *watchCourse) arrive(token string) {
	c.startAt(token)
	c.base = token
	c.marks.close(c.since)
	clear(c.since)
	c.marks.trim()
}

// behindAll places an item after all that was told.
func (c *watchCourse) behindAll(item *WatchItem) *WatchItem {
	item.position = watchPosition{c.part, len(c.part.events)}
	return item
}

func rowsOf(rows *semelv1.WatchSnapshot) []*WatchItem {
	var items []*WatchItem
	for _, run := range rows.GetRuns() {
		items = append(items, &WatchItem{Kind: WatchRun, Run: run})
	}
	for _, job := range rows.GetJobs() {
		items = append(items, &WatchItem{Kind: WatchJob, Job: job})
	}
	for _, worker := range rows.GetWorkers() {
		items = append(items, &WatchItem{Kind: WatchWorker, Worker: worker})
	}
	return items
}
