package semel

// What a worker knows of its leases, by the steady clock alone. It judges; telling handlers to stop is the course's.

import (
	"time"

	"semel.dev/go/semelv1"
)

const (
	// What is assumed if the server does not say.
	heartbeatUnstated = 5 * time.Second
	leaseUnstated     = 30 * time.Second
	// A stream on which so many heartbeats found no answer is of no use, whatever else comes over it.
	unansweredMax = 64
)

// lease is all leases of a worker, which end together. They are good for their duration from the moment at which a
// heartbeat was *sent* that the server answered: that the server read it later can only make them longer. So a worker that
// was stopped for a while, and first finds old answers when it goes on, knows by itself that it must not.
type lease struct {
	duration, interval time.Duration
	until              time.Time // zero before the first stream
	lost               bool      // they are presumed lost, and that was acted upon
	unanswered         []time.Time
	nextHeartbeat      time.Time
	lastWord           time.Time
}

func newLease(now time.Time) lease {
	return lease{duration: leaseUnstated, interval: heartbeatUnstated, nextHeartbeat: now, lastWord: now}
}

// opened: a stream was opened, with a Hello that was sent at helloAt.
func (l *lease) opened(opened *semelv1.Opened, helloAt, now time.Time) {
	l.duration = orUnstated(opened.GetLeaseDuration().AsDuration(), leaseUnstated)
	l.interval = orUnstated(opened.GetHeartbeatInterval().AsDuration(), heartbeatUnstated)
	l.unanswered = nil
	l.nextHeartbeat = now.Add(l.interval)
	l.lastWord = now
	l.renew(helloAt)
}

func orUnstated(stated, unstated time.Duration) time.Duration {
	if stated <= 0 {
		return unstated
	}
	return stated
}

// closed: what was not answered on the stream never will be.
func (l *lease) closed() { l.unanswered = nil }

// sent: a heartbeat is sent. Gives how many answers are to come until this one is answered.
func (l *lease) sent(now time.Time) int {
	l.nextHeartbeat = now.Add(l.interval)
	l.unanswered = append(l.unanswered, now)
	return len(l.unanswered)
}

// answered: the server has answered a heartbeat; they are answered in order.
func (l *lease) answered() {
	if len(l.unanswered) > 0 {
		l.renew(l.unanswered[0])
		l.unanswered = l.unanswered[1:]
	}
}

func (l *lease) renew(sentAt time.Time) {
	if until := sentAt.Add(l.duration); until.After(l.until) {
		l.until = until
	}
	l.lost = false
}

func (l *lease) heartbeatIsDue(now time.Time) bool { return !l.nextHeartbeat.After(now) }

// isSilent says whether the stream must be taken for dead.
func (l *lease) isSilent(now time.Time) bool {
	return now.Sub(l.lastWord) > l.duration || len(l.unanswered) > unansweredMax
}

// justLost is true once each time that the leases have to be presumed lost.
func (l *lease) justLost(now time.Time) bool {
	just := !l.until.IsZero() && l.until.Before(now) && !l.lost
	l.lost = l.lost || just
	return just
}

// nextOnStream is when to look at the stream again; up to the end of the lease the server is not late.
func (l *lease) nextOnStream() time.Time {
	return earlier(l.nextHeartbeat, l.lastWord.Add(l.duration+time.Millisecond))
}

// nextLoss is when the leases have to be presumed lost, if nothing comes before; zero for never.
func (l *lease) nextLoss() time.Time {
	if l.lost || l.until.IsZero() {
		return time.Time{}
	}
	return l.until.Add(time.Millisecond)
}

// earlier is the earlier of two moments, of which a zero one is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
