package semel

// Whether a refused call is sent again, and how. Pure: what happened comes in, a decision goes out. Nothing here waits,
// sends, or knows a clock.

import (
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// RetryOptions says how often and how fast a call is sent again. Every retry keeps the request id. A zero field means its
// default.
type RetryOptions struct {
	// AttemptsMax is how often a logical call is sent at most, the first time included; 1 switches retries off, gRPC's
	// own with them. Default 64: the overall timeout is meant to be the bound.
	AttemptsMax int
	// BackoffFirst is the longest wait before the second attempt; it doubles with each further one. Default 50 ms.
	BackoffFirst time.Duration
	// BackoffMax is the longest wait before any attempt, unless the server asks for a longer one. Default 5 s.
	BackoffMax time.Duration
}

func (o RetryOptions) withDefaults() RetryOptions {
	if o.AttemptsMax == 0 {
		o.AttemptsMax = 64
	}
	if o.BackoffFirst == 0 {
		o.BackoffFirst = 50 * time.Millisecond
	}
	if o.BackoffMax == 0 {
		o.BackoffMax = 5 * time.Second
	}
	return o
}

// backoff is the wait before retry number retry, from 1 on: anything up to a bound that doubles with each retry ("full
// jitter"), so that callers who failed together do not come back together. unit is a random number in [0, 1).
func (o RetryOptions) backoff(retry int, unit float64) time.Duration {
	bound := o.BackoffFirst
	for i := 1; i < retry && bound < o.BackoffMax; i++ {
		bound *= 2
	}
	return time.Duration(float64(min(bound, o.BackoffMax)) * unit)
}

// class is what kind of failure a refusal is, for the caller that got it.
type class int

const (
	classFinal       class = iota // sending it again is of no use, or wrong
	classPassing                  // it may pass: again under the same id, after what the server asks for
	classFault                    // somebody's fault: again under the same id, but not for long
	classCredentials              // fresh credentials, then again under the same id
	classIDInFuture               // the id lies in the future; it was not executed
	classIDExpired                // the id is older than the window
)

// faultsMax is how many attempts of one call may end with classFault before it is given up.
const faultsMax = 3

// isHopeful says whether the request may be sent again as it stands.
func (c class) isHopeful() bool { return c == classPassing || c == classFault }

// classify reads the table of refusals from the caller's side, and gives the wait that the server asks for.
func classify(r *refusal) (class, time.Duration) {
	if r.pushback == pushbackNever {
		return classFinal, 0
	}
	wait := r.retryDelay
	if r.pushback == pushbackAfter {
		wait = max(wait, r.pushbackDelay)
	}
	if reason := r.reason(); reason != "" {
		return classOfReason(reason, r), wait
	}
	return classOfCode(r), wait
}

func classOfReason(reason string, r *refusal) class {
	switch reason {
	case ReasonRequestIDInFuture:
		return classIDInFuture
	case ReasonRequestIDExpired:
		return classIDExpired
	case ReasonAuthUnavailable, ReasonDraining, ReasonNoOwner, ReasonOutcomeUnknown, ReasonOverloaded:
		return classPassing
	}
	if strings.HasPrefix(reason, "CREDENTIALS_") {
		return classCredentials
	}
	// Of a reason that this client does not know yet, the code still says what kind it is.
	return classOfCode(r)
}

func classOfCode(r *refusal) class {
	if r.origin == originNotSent || r.origin == originNoAnswer {
		return classPassing
	}
	switch r.code {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return classPassing
	case codes.ResourceExhausted:
		if r.hasDelay() {
			return classPassing
		}
	case codes.Internal, codes.Unknown, codes.OK: // OK: an answer that no Semel server gave
		return classFault
	}
	return classFinal
}

// progress is what is known of a logical call when one more attempt was refused.
type progress struct {
	attempts    int  // how often it was sent, under whatever id
	faults      int  // how many of these attempts ended with classFault
	canRefresh  bool // this client can fetch fresh credentials by itself
	refreshed   bool // it has done so for this call
	idGiven     bool // the caller gave the id, and is the only one to replace it
	mintedAnew  bool // a fresh id was minted already in place of the first one
	outcomeOpen bool // an earlier attempt under the present id may have taken effect
}

// decision is what to do about a refused attempt.
type decision int

const (
	giveUp   decision = iota // hand the refusal to the caller
	again                    // the same id, after a wait
	refresh                  // fresh credentials, then the same id
	mintAnew                 // one fresh id by the clock that was just learnt
)

// decide says what to do about a refused attempt, which the progress counts already, and after which wait.
func decide(r *refusal, p *progress, attemptsMax int) (decision, time.Duration) {
	class, wait := classify(r)
	switch {
	case p.attempts >= attemptsMax:
		return giveUp, 0
	case class == classPassing, class == classFault && p.faults < faultsMax:
		return again, wait
	case class == classCredentials && p.canRefresh && !p.refreshed:
		return refresh, 0
	case (class == classIDInFuture || class == classIDExpired) && mayMintAnew(r, p):
		return mintAnew, 0
	}
	return giveUp, 0
}

// mayMintAnew says whether a fresh id may take the place of the present one. It makes a new call, so the present one
// must surely have taken no effect: this client made it, no earlier attempt is open, and the server said by its clock
// why it refused. An id that was sent before, got no answer, and is now refused as expired may well have been executed.
func mayMintAnew(r *refusal, p *progress) bool {
	return r.header.GetServerTime() != nil && !p.idGiven && !p.mintedAnew && !p.outcomeOpen
}
