package semel

// Where a watch goes on. The server gives a token with each message; this file makes one of it for each event, so that a
// program that stops in the middle of a message goes on with the next event and not with the next message.
//
// The server's token names a place between two messages. Behind a `~`, this client adds how much of what comes after that
// place was dealt with: for each app the revision, and how many of its events. An app's events come in one order, so that
// says it all; it must be by app, for a watch over many apps is ordered for each of them only.

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// watchMark stands between the server's token and what this client adds; no token of a server has it.
const watchMark = "~"

// watchPlace is the last revision of an app of which something was dealt with, and how many of its events were.
type watchPlace struct {
	revision int64
	events   int
}

// watchPassed says for each app how far its events were dealt with.
type watchPassed map[string]watchPlace

// note takes note of the next event.
func (p watchPassed) note(app string, revision int64) {
	place := p[app]
	if place.revision != revision {
		place = watchPlace{revision: revision}
	}
	place.events++
	p[app] = place
}

// parseWatchToken takes a token apart.
func parseWatchToken(token string) (base string, passed watchPassed, err error) {
	base, rest, isMarked := strings.Cut(token, watchMark)
	passed = watchPassed{}
	isSound := base != ""
	for _, text := range strings.Split(rest, ",") {
		if !isMarked || !isSound {
			break
		}
		isSound = passed.parse(text)
	}
	if !isSound {
		return "", nil, usageError("%q is no resume token; copy it whole", token)
	}
	return base, passed, nil
}

func (p watchPassed) parse(text string) bool {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return false
	}
	revision, err := strconv.ParseInt(parts[1], 10, 64)
	events, eventsErr := strconv.ParseUint(parts[2], 10, 31)
	p[parts[0]] = watchPlace{revision, int(events)}
	return err == nil && eventsErr == nil
}

// watchToken puts a token together.
func watchToken(base string, passed watchPassed) string {
	var text strings.Builder
	text.WriteString(base)
	mark := watchMark
	for _, app := range slices.Sorted(maps.Keys(passed)) {
		place := passed[app]
		text.WriteString(mark + app + ":" + strconv.FormatInt(place.revision, 10) + ":" + strconv.Itoa(place.events))
		mark = ","
	}
	return text.String()
}

// watchPart is what a message says of places; shared by the items that were made of it, and never changed afterwards.
type watchPart struct {
	base   string       // where the message before ended
	before watchPassed  // what was dealt with since then, before this message: the parts of a revision that came in several
	events []watchEvent // app and revision of each event in it
	after  string       // where it ends
}

type watchEvent struct {
	app      string
	revision int64
}

// watchPosition is the place of one item: behind so many events of a message.
type watchPosition struct {
	part   *watchPart
	events int
}

// token is empty where there is no place to go on.
func (p watchPosition) token() string {
	if p.part == nil {
		return ""
	}
	if p.part.after != "" && p.events == len(p.part.events) {
		return p.part.after
	}
	if p.part.base == "" {
		return ""
	}
	passed := maps.Clone(p.part.before)
	if passed == nil {
		passed = watchPassed{}
	}
	for _, event := range p.part.events[:p.events] {
		passed.note(event.app, event.revision)
	}
	return watchToken(p.part.base, passed)
}
