package semel

// Watching, as a program sees it: one sequence of items that outlives the streams which it comes over.

import (
	"context"
	"iter"
	"time"

	"semel.dev/go/semelv1"
)

// WatchKind is what a [WatchItem] tells.
type WatchKind string

const (
	// WatchOpened: the stream is open, for the first time, or again after WatchLost.
	WatchOpened WatchKind = "opened"
	// WatchSnapshotBegin: a snapshot begins; rows follow, then WatchSnapshotEnd. Whatever an earlier snapshot told is void,
	// for it was not whole. What changes while the rows are read is not among them: its events tell of it, so the first
	// word of a run may be an event that leads from a state which nobody told.
	WatchSnapshotBegin WatchKind = "snapshot_begin"
	// WatchRun, WatchJob and WatchWorker: a row of a snapshot.
	WatchRun    WatchKind = "run"
	WatchJob    WatchKind = "job"
	WatchWorker WatchKind = "worker"
	// WatchSnapshotEnd: the snapshot is whole; the events that follow are those after its revision.
	WatchSnapshotEnd WatchKind = "snapshot_end"
	// WatchEvent: something happened. Its kind and its subject may be of a later version than this client.
	WatchEvent WatchKind = "event"
	// WatchProgress: up to this revision everything was told.
	WatchProgress WatchKind = "progress"
	// WatchExpiring: the credentials end soon, and this client cannot renew them: the watch will end with
	// CREDENTIALS_EXPIRED. Where it can, they are renewed without a word.
	WatchExpiring WatchKind = "expiring"
	// WatchLost: the stream was lost. It is made again by itself and goes on without a gap; nothing has to be done.
	WatchLost WatchKind = "lost"
)

// WatchItem is one thing that a watch tells.
type WatchItem struct {
	// Kind says what it tells, and which of the fields below are set.
	Kind WatchKind
	// Revision: with WatchOpened the one after which the events begin; of the event; with WatchSnapshotEnd and
	// WatchProgress the one up to which everything was told.
	Revision int64
	// OldestRevision is the oldest that the server keeps; with WatchOpened.
	OldestRevision int64
	// Event, Run, Job and Worker: what the item is about.
	Event  *semelv1.Event
	Run    *semelv1.Run
	Job    *semelv1.Job
	Worker *semelv1.Worker
	// ExpireTime is when the credentials end; with WatchExpiring, zero if the server did not say.
	ExpireTime time.Time
	// Lost is why the stream was lost; with WatchLost.
	Lost *Error

	position watchPosition
}

// ResumeToken is where to go on behind this item, also after a restart of the program: as `resume_token` of a request with
// the same filter. Opaque, and no permission. Empty before the end of a snapshot: a snapshot is begun again.
func (i *WatchItem) ResumeToken() string { return i.position.token() }

// Watch tells what happens, as the request wants it; an empty app means the client's own. It tells no event twice and
// leaves none out, over lost connections, restarts of the server and the end of credentials; with a resume token that an
// item gave, also over a restart of the program.
//
//	request := &semelv1.WatchRequest{Jobs: []string{"settle"}, TerminalOnly: true}
//	for item, err := range client.Watch(ctx, request) {
//		if err != nil {
//			return err
//		}
//		if item.Kind == semel.WatchEvent {
//			fmt.Println(item.Event, item.ResumeToken())
//		}
//	}
//
// It ends with the loop, with the context, or with an error that binds: credentials that were taken back or cannot be
// renewed, a watch that is not allowed, a token that is not taken, events that are no longer kept
// ([ReasonResumeCompacted]); or where no stream came about at all within the overall timeout. Once it was open it tries
// for ever, unless the client was told not to retry at all. A slow loop loses nothing: the stream waits for it.
func (c *Client) Watch(ctx context.Context, request *semelv1.WatchRequest) iter.Seq2[*WatchItem, error] {
	return func(yield func(*WatchItem, error) bool) {
		course, err := newWatchCourse(request, c.config.app)
		if err != nil {
			yield(nil, err)
			return
		}
		w := &watchReader{
			client:   c,
			course:   course,
			yield:    yield,
			pace:     watchPace(c.config.retry),
			patience: time.Now().Add(c.config.overallTimeout),
		}
		w.troubles.canRefresh = c.auth.canRefresh()
		if err := w.run(ctx); err != nil && !w.left {
			yield(nil, err)
		}
	}
}
