package semel

// When the credentials of an open stream are to be renewed. It owns that moment; it renews nothing itself.

import "time"

// renewal is the moment at which a stream needs fresh credentials; it comes once each time that it is set.
type renewal struct {
	own   time.Time // when they should be renewed by their own age; zero if they cannot be
	timer *time.Timer
	isSet bool
}

func newRenewal(sig signature) *renewal {
	r := &renewal{}
	r.fresh(sig)
	return r
}

// fresh: the stream has these credentials now.
func (r *renewal) fresh(sig signature) {
	r.stop()
	r.own = sig.renewAt
	if !r.own.IsZero() {
		r.at(r.own)
	}
}

// at sets the moment.
func (r *renewal) at(moment time.Time) {
	r.stop()
	r.timer, r.isSet = time.NewTimer(time.Until(moment)), true
}

// hurry: the server says that the credentials end soon. Those that live shorter than its warning time are renewed in their
// own time, or it would be done in a circle. One that is under way is not begun again.
func (r *renewal) hurry() {
	if r.isSet && !r.own.After(time.Now()) {
		r.at(time.Now())
	}
}

// due comes at the moment; to be asked for anew each time.
func (r *renewal) due() <-chan time.Time {
	if !r.isSet {
		return nil
	}
	return r.timer.C
}

// begin: the moment has come, and was acted upon.
func (r *renewal) begin() { r.isSet = false }

func (r *renewal) stop() {
	if r.timer != nil {
		r.timer.Stop()
	}
	r.isSet = false
}
