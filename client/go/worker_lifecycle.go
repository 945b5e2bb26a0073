package semel

// Handlers: starting them, telling them to stop, and what is made of their end. Nothing here speaks to the server; what is
// to be said is put into the attempt's queue.

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"semel.dev/go/semelv1"
)

// What the server takes of a word about progress, in characters.
const progressMessageMax = 255

// assign: the server gives work.
func (c *workerCourse) assign(assignment *semelv1.Assignment, now time.Time) {
	key := attemptKey{assignment.GetRunId(), assignment.GetAttempt()}
	if c.held[key] != nil {
		c.log.Debug("already at work on it", "attempt", key)
		return
	}
	c.supersede(key, now)
	held := &heldAttempt{key: key, assignment: assignment, room: newLogRoom()}
	c.held[key] = held
	handler := c.worker.handlers[assignment.GetProcessor()]
	if refused := c.whyNot(assignment, handler); refused != nil {
		c.queueReport(held, refused)
		return
	}
	held.isRunning = true
	c.running++
	c.summary.Attempts++
	c.observe(WorkerEvent{Told: WorkerStarted, RunID: key.runID, Attempt: key.number})
	c.start(held, handler)
}

func (c *workerCourse) whyNot(assignment *semelv1.Assignment, handler Handler) *semelv1.Report {
	switch {
	case c.phase != workerServing:
		return releasedReport("the worker is shutting down")
	case handler == nil:
		return failedReport(fmt.Errorf("this worker has no processor %q", assignment.GetProcessor()))
	case c.running >= c.settings.slots:
		return releasedReport("no slot is free")
	}
	return nil
}

// supersede: an earlier attempt of the same run is over, or the server would not hand out a later one. One whose last word is
// under way waits for the answer all the same: it may be the very report that ended it, whose acknowledgement the assignment
// has overtaken.
func (c *workerCourse) supersede(key attemptKey, now time.Time) {
	for other, held := range c.held {
		if other.runID == key.runID && other.number < key.number && (held.isRunning || !held.inFlight) {
			c.over(other, now)
		}
	}
}

func (c *workerCourse) start(held *heldAttempt, handler Handler) {
	ctx, cancel := context.WithCancel(c.ctx)
	held.interrupt = cancel
	attempt := &Attempt{key: held.key, assignment: held.assignment, room: held.room, post: c.post}
	go func() {
		defer cancel()
		result, err := protected(ctx, handler, attempt)
		c.post(attemptEnded{held.key, result, err})
	}()
}

// protected makes an error of a handler's panic: one bad run must not take the others with it.
func protected(ctx context.Context, handler Handler, attempt *Attempt) (result *semelv1.Payload, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			result, err = nil, fmt.Errorf("the handler panicked: %v\n%s", panicked, debug.Stack())
		}
	}()
	return handler(ctx, attempt)
}

func (c *workerCourse) onEnded(ended attemptEnded) {
	held := c.held[ended.key]
	if held == nil || !held.isRunning {
		return
	}
	held.isRunning = false
	c.running--
	if held.stop == stopOver {
		c.stopping--
	}
	if held.stop == stopNo && errors.Is(ended.err, context.Canceled) {
		ended.err = fmt.Errorf("the handler ended as if it had been cancelled, and was not: %w", ended.err)
	}
	report := reportOf(held.stop, ended.result, ended.err)
	c.observe(WorkerEvent{
		Told: WorkerEnded, RunID: ended.key.runID, Attempt: ended.key.number, Outcome: outcomeOf(report),
	})
	if report == nil {
		c.forget(ended.key)
		return
	}
	c.queueReport(held, report)
}

// queueReport puts the rest of the log and then the report into the queue.
func (c *workerCourse) queueReport(held *heldAttempt, report *semelv1.Report) {
	held.gatherLog()
	held.queue = append(held.queue, &outgoing{report: report})
	c.ready = append(c.ready, held.key)
}

func (c *workerCourse) onLogged(logged attemptLogged, now time.Time) {
	held := c.held[logged.key]
	if held == nil || held.stop == stopOver || !held.isRunning {
		return
	}
	isFirst := len(held.chunks) == 0
	if held.write(logged.stream, logged.data) {
		c.flushLog(logged.key)
	} else if isFirst {
		c.wakeAt(now.Add(logAge), timerFlushLog, logged.key)
	}
}

func (c *workerCourse) flushLog(key attemptKey) {
	if held := c.held[key]; held != nil && held.stop != stopOver && held.isRunning {
		held.gatherLog()
		c.ready = append(c.ready, key)
	}
}

func (c *workerCourse) onProgressed(progressed attemptProgressed, now time.Time) {
	held := c.held[progressed.key]
	if held == nil || !held.isRunning || held.stop == stopOver {
		return
	}
	progressed.fraction = min(max(progressed.fraction, 0), 1)
	progressed.message = shortened(progressed.message, progressMessageMax)
	held.progress = &progressed
	c.sendProgress(progressed.key, now)
}

// stop tells a handler to stop.
func (c *workerCourse) stop(key attemptKey, reason stopReason, now time.Time) {
	held := c.held[key]
	if held == nil || !held.isRunning || reason <= held.stop {
		return
	}
	if held.stop == stopNo {
		c.wakeAt(now.Add(c.settings.cancelTimeout), timerOverstayed, key)
		held.interrupt()
		c.observe(WorkerEvent{Told: WorkerCancelled, RunID: key.runID, Attempt: key.number})
	}
	if reason == stopLeaseLost {
		// Nobody may ever acknowledge its log: a handler that waits for that would not stop.
		held.gatherLog()
		held.room.close()
	}
	held.stop = reason
	if reason == stopOver {
		c.stopping++
	}
}

func (c *workerCourse) stopAll(reason stopReason, now time.Time) {
	for key := range c.held {
		c.stop(key, reason, now)
	}
}

// over: an attempt is over for the server. Its handler is to stop, and there is nothing more to be said about it.
func (c *workerCourse) over(key attemptKey, now time.Time) {
	c.stop(key, stopOver, now)
	held := c.held[key]
	if held == nil {
		return
	}
	c.log.Info("no longer this worker's", "attempt", key, "running", held.isRunning)
	held.stop = stopOver
	held.queue, held.chunks, held.inFlight = nil, nil, false
	held.room.close()
	if !held.isRunning {
		c.forget(key)
	}
}

// forget takes an attempt that is over for the server out of the books.
func (c *workerCourse) forget(key attemptKey) {
	delete(c.held, key)
	c.summary.Stale++
}

// wantedCredit is how many attempts the server may give this worker: fewer than there are slots while handlers still stop
// whose attempts the server does not count any more.
func (c *workerCourse) wantedCredit() int {
	if c.phase != workerServing {
		return 0
	}
	return max(c.settings.slots-c.stopping, 0)
}
