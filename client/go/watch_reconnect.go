package semel

// What follows when a stream of a watch could not be opened, or has ended. Pure: what happened comes in, a decision goes
// out.

import "time"

// watchTroubles is what is known of a watch whose stream failed once more.
type watchTroubles struct {
	failures   int  // how many streams in a row told nothing, this one included
	faults     int  // how many of them were somebody's fault
	refreshed  bool // the credentials of the last stream had just been renewed because others were refused
	canRefresh bool // the client can renew them
}

// watchNext is what follows.
type watchNext int

const (
	watchEnds    watchNext = iota // the watch ends with this refusal
	watchAgain                    // another stream, after a wait
	watchRefresh                  // another stream with fresh credentials, after a wait
)

// watchPace is how a watch comes back: more slowly than a single call, for there may be thousands of them.
func watchPace(o RetryOptions) RetryOptions {
	o.BackoffFirst *= 4
	o.BackoffMax *= 2
	return o
}

// decideWatch decides. unit is a random number in [0, 1).
func decideWatch(r *refusal, t *watchTroubles, pace RetryOptions, unit float64) (watchNext, time.Duration) {
	if pace.AttemptsMax <= 1 {
		return watchEnds, 0
	}
	backoff := pace.backoff(t.failures, unit)
	class, atLeast := classify(r)
	switch {
	case class == classPassing:
		return watchAgain, atLeast + backoff
	case class == classFault && t.faults < faultsMax:
		return watchAgain, backoff
	case class == classCredentials && t.canRefresh && !t.refreshed:
		if t.failures <= 1 {
			return watchRefresh, 0 // what can be mended at once is; only who stands there again waits
		}
		return watchRefresh, backoff
	}
	return watchEnds, 0
}
