package semel

// What was told already, by app and revision. It keeps an event from being told twice, whatever a server or a proxy sends
// again after a break; it never keeps back what is new.

import "math"

// watchAppsMax bounds the apps that are kept in mind: of more, a token alone keeps the server from telling them again.
const watchAppsMax = 4096

type watchMarks map[string]*watchSeen

type watchSeen struct {
	revision int64 // the last one of which something was told
	told     int   // how many of its events were
	came     int   // how many of its events came on the present stream
}

// begin: a new stream begins, behind what the token says.
func (m watchMarks) begin() {
	for _, seen := range m {
		seen.came = 0
	}
}

// recall: this much was told before.
func (m watchMarks) recall(passed watchPassed) {
	for app, place := range passed {
		m[app] = &watchSeen{revision: place.revision, told: place.events}
	}
}

// admit says whether an event is new; if so, it counts as told.
func (m watchMarks) admit(app string, revision int64) bool {
	seen, known := m[app]
	switch {
	case !known:
		m[app] = &watchSeen{revision, 1, 1}
		return true
	case revision > seen.revision:
		*seen = watchSeen{revision, 1, 1}
		return true
	case revision < seen.revision:
		return false
	}
	seen.came++
	isNew := seen.came > seen.told
	seen.told = max(seen.told, seen.came)
	return isNew
}

// close: a token came, so the revisions of which something was told since the last one are whole, and nothing new of them
// can come.
func (m watchMarks) close(since watchPassed) {
	for app := range since {
		if seen := m[app]; seen != nil {
			seen.told = math.MaxInt
		}
	}
}

// trim keeps within the bound; to be called where there is a token for all that was told.
func (m watchMarks) trim() {
	if len(m) > watchAppsMax {
		clear(m)
	}
}
