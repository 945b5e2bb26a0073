package semel

// What is sent, in which order, and what is made of its acknowledgement. A message that changes something keeps its request
// id until it is acknowledged, over any number of streams.

import (
	"math/rand/v2"
	"time"

	"semel.dev/go/semelv1"
)

const (
	// After how long without an acknowledgement a message is sent again on the same stream.
	ackTimeout = 30 * time.Second
	// How often progress of one attempt is sent at most.
	progressEvery = 200 * time.Millisecond
	// How many messages that are not sent again may wait to be sent; past that, progress is left out.
	controlMax = 1024
)

// say puts a message in front that is of use only on the present stream.
func (c *workerCourse) say(message *semelv1.WorkRequest) {
	_, isProgress := message.GetKind().(*semelv1.WorkRequest_Progress)
	if c.link == nil || isProgress && len(c.control) >= controlMax {
		return
	}
	message.Header = &semelv1.RequestHeader{}
	c.control = append(c.control, message)
}

// pump sends what there is. It is bounded: one message of each attempt is under way, and what is of use only now.
func (c *workerCourse) pump(now time.Time) {
	if c.link == nil {
		return
	}
	for _, message := range c.control {
		c.link.send(message)
	}
	c.control = nil
	ready := c.ready
	c.ready = nil
	for _, key := range ready {
		held := c.held[key]
		if held == nil || held.inFlight || len(held.queue) == 0 {
			continue
		}
		head := held.queue[0]
		if head.notBefore.After(now) {
			c.wakeAt(head.notBefore, timerResend, key)
			continue
		}
		if head.requestID == "" {
			head.requestID = c.client.MintRequestID().String()
		}
		head.sends++
		head.sentAt = now
		held.inFlight = true
		c.acks[head.requestID] = key
		c.link.send(head.message(key))
	}
}

// sendProgress sends what progress was said last.
func (c *workerCourse) sendProgress(key attemptKey, now time.Time) {
	held := c.held[key]
	if held == nil || held.progress == nil || !held.isRunning || c.link == nil {
		return
	}
	if held.progressFrom.After(now) {
		c.wakeAt(held.progressFrom, timerProgress, key)
		return
	}
	progress := &semelv1.AttemptProgress{
		RunId: key.runID, Attempt: key.number, Fraction: held.progress.fraction, Message: held.progress.message,
	}
	held.progress, held.progressFrom = nil, now.Add(progressEvery)
	c.say(&semelv1.WorkRequest{Kind: &semelv1.WorkRequest_Progress{Progress: progress}})
}

// resendOverdue sends again what should have been acknowledged long ago.
func (c *workerCourse) resendOverdue(now time.Time) {
	for key, held := range c.held {
		if held.inFlight && len(held.queue) > 0 && now.Sub(held.queue[0].sentAt) > ackTimeout {
			c.log.Warn("no acknowledgement came, sending again under the same id", "attempt", key)
			held.inFlight = false
			c.ready = append(c.ready, key)
		}
	}
}

func (c *workerCourse) onAck(header *semelv1.ResponseHeader, ack *semelv1.Ack, now time.Time) {
	key, known := c.acks[header.GetRequestId()]
	delete(c.acks, header.GetRequestId())
	held := c.held[key]
	if !known || held == nil || len(held.queue) == 0 {
		c.log.Debug("an acknowledgement that nothing waits for", "request_id", header.GetRequestId())
		return
	}
	held.inFlight = false
	if ack.GetRefused() != nil {
		c.onRefused(held, refusalOfStatus(ack.GetRefused()), now)
		return
	}
	head := held.queue[0]
	held.queue = held.queue[1:]
	if head.chunk != nil {
		c.dealtWith(held, head)
		return
	}
	held.room.close()
	delete(c.held, key)
	switch outcomeOf(head.report) {
	case "succeeded":
		c.summary.Succeeded++
	case "failed":
		c.summary.Failed++
	case "cancelled":
		c.summary.Cancelled++
	case "released":
		c.summary.Released++
	}
}

func (c *workerCourse) dealtWith(held *heldAttempt, head *outgoing) {
	held.room.release(head.chunk.cost)
	c.ready = append(c.ready, held.key)
}

func (c *workerCourse) onRefused(held *heldAttempt, r *refusal, now time.Time) {
	c.client.clock.learn(r.header, 0)
	head := held.queue[0]
	if r.reason() == ReasonLeaseStale {
		c.over(held.key, now)
		return
	}
	class, wait := classify(r)
	isOfID := class == classIDInFuture || class == classIDExpired
	switch {
	case isOfID && head.sends == 1:
		// Never executed, and never sent before: a fresh id by the clock that was just learnt makes no second call.
		head.requestID, head.sends = "", 0
		c.ready = append(c.ready, held.key)
	case class == classFinal || class == classIDExpired:
		c.refusedForGood(held, r, now)
	default:
		head.refusals++
		if class != classPassing {
			wait = 0
		}
		jitter := workerReconnect.backoff(head.refusals, rand.Float64()) //nolint:gosec // jitter
		head.notBefore = now.Add(min(wait, workerWaitMax) + jitter)
		c.ready = append(c.ready, held.key)
	}
}

// refusedForGood: the server will never take this message. A piece of a log is left out. A report must not be: the server
// would wait for it for as long as this worker lives, so a failure that says what happened takes its place, once.
func (c *workerCourse) refusedForGood(held *heldAttempt, r *refusal, now time.Time) {
	head := held.queue[0]
	held.queue = held.queue[1:]
	c.log.Warn("refused for good", "attempt", held.key, "reason", r.reason(), "message", r.message)
	switch {
	case head.chunk != nil:
		c.dealtWith(held, head)
	case head.isStandIn:
		c.over(held.key, now)
	default:
		text := &processError{error: errorText("the server refused the report: " + r.message), permanent: true}
		held.queue = append([]*outgoing{{report: failedReport(text), isStandIn: true}}, held.queue...)
		c.ready = append(c.ready, held.key)
	}
}

// errorText is an error with this text.
type errorText string

func (e errorText) Error() string { return string(e) }
