package semel

// The course of a worker: messages, handlers, timers and the shutdown all come to this one goroutine, one at a time. What
// becomes of handlers stands in worker_lifecycle.go, what is sent in worker_outbound.go.
//
// What it promises to the server: everything that changes something bears a request id, minted when it is first sent and
// kept over reconnects, until it is acknowledged. What it promises to a handler: it is told at once when it is to stop, also
// when the lease must be presumed lost because the server was not heard of for too long.

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"semel.dev/go/semelv1"
)

const (
	// How often a worker with nothing to do looks around all the same.
	workerIdleWake = 5 * time.Second
	// How long a worker that has stopped its handlers waits for the last acknowledgements.
	workerFlushTimeout = 10 * time.Second
	// The longest that a server may ask a worker to wait.
	workerWaitMax = 7 * 24 * time.Hour
)

// workerPhase is how far a worker is with its own end.
type workerPhase int

const (
	workerServing  workerPhase = iota // it works
	workerDraining                    // it takes no new work; what runs may end
	workerFlushing                    // everything was told to stop; reports may be acknowledged
)

// What comes to the course.
type (
	workerHeard struct { // a message of a stream, or the refusal with which it ended
		link    *workerLink
		message *semelv1.WorkResponse
		refused *refusal
	}
	workerDialled struct {
		*dialled
		err error
	}
	workerRenewed struct {
		sig signature
		err error
	}
	attemptEnded struct {
		key    attemptKey
		result *semelv1.Payload
		err    error
	}
	attemptLogged struct {
		key    attemptKey
		stream semelv1.LogStream
		data   []byte
	}
	attemptProgressed struct {
		key      attemptKey
		fraction float64
		message  string
	}
)

// workerCourse is the state of a worker while it runs.
type workerCourse struct {
	worker   *Worker
	client   *Client
	settings *workerSettings
	log      *slog.Logger

	events chan any
	done   chan struct{} // closed when the course has ended: nobody takes events any more
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup // what speaks to the server; handlers are not waited for

	held     map[attemptKey]*heldAttempt
	running  int // how many handlers run
	stopping int // how many of these belong to attempts that are over for the server
	phase    workerPhase
	summary  WorkerSummary

	link    *workerLink // while it is open
	ready   []attemptKey
	control []*semelv1.WorkRequest
	acks    map[string]attemptKey

	lease       lease
	timers      workerTimers
	dialAt      time.Time // when the next stream is to be made; zero while one is made or open
	isDialling  bool
	phaseEnds   time.Time
	drainUnread int // answers to heartbeats that are to come until the server is known to have read Drain
	credit      int
	failures    int // how often in a row the stream could not be made, or was lost before anything came over it
	sig         signature
	renewAt     time.Time
	isRenewing  bool
	openedOnce  bool
	failed      error
}

func newCourse(w *Worker) *workerCourse {
	now := time.Now()
	c := &workerCourse{
		worker: w, client: w.client, settings: &w.settings, log: w.client.log.With("worker_id", w.settings.id),
		events: make(chan any, 64), done: make(chan struct{}),
		held: map[attemptKey]*heldAttempt{}, acks: map[string]attemptKey{},
		lease: newLease(now), dialAt: now, credit: w.settings.slots,
	}
	// Handlers and streams outlive the caller's context: it only begins the shutdown.
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// post hands an event to the course; it is dropped when that has ended.
func (c *workerCourse) post(event any) {
	select {
	case c.events <- event:
	case <-c.done:
	}
}

// run takes what comes and does what is due, until the worker has ended.
func (c *workerCourse) run(ctx context.Context) (WorkerSummary, error) {
	defer c.end()
	shutdown := ctx.Done()
	wake := time.NewTimer(0)
	defer wake.Stop()
	for {
		now := time.Now()
		c.advance(now)
		if c.isDone(now) {
			break
		}
		wake.Reset(time.Until(c.nextWake(now)))
		select {
		case event := <-c.events:
			c.handle(event, time.Now())
		case <-shutdown:
			shutdown = nil
			c.shutDown(time.Now())
		case <-wake.C:
		}
	}
	c.summary.Unreported = len(c.held)
	c.log.Info("the worker has ended", "summary", c.summary)
	return c.summary, c.failed
}

func (c *workerCourse) end() {
	close(c.done)
	for _, held := range c.held {
		held.room.close()
		if held.interrupt != nil {
			held.interrupt()
		}
	}
	if c.link != nil {
		c.link.close()
	}
	c.cancel()
	c.work.Wait()
}

func (c *workerCourse) observe(event WorkerEvent) {
	if c.settings.observe != nil {
		c.settings.observe(event)
	}
}

func (c *workerCourse) handle(event any, now time.Time) {
	switch event := event.(type) {
	case workerHeard:
		c.hear(event, now)
	case workerDialled:
		c.onDialled(event, now)
	case workerRenewed:
		c.onRenewed(event, now)
	case attemptEnded:
		c.onEnded(event)
	case attemptLogged:
		c.onLogged(event, now)
	case attemptProgressed:
		c.onProgressed(event, now)
	}
}

func (c *workerCourse) hear(heard workerHeard, now time.Time) {
	if heard.link != c.link {
		return
	}
	if r := heard.refused; r != nil {
		c.log.Info("the stream has ended, reconnecting", "code", r.code, "reason", r.reason(), "message", r.message)
		c.loseLink(now, 0)
		return
	}
	c.lease.lastWord = now
	c.failures = 0
	c.client.clock.learn(heard.message.GetHeader(), 0)
	switch kind := heard.message.GetKind().(type) {
	case *semelv1.WorkResponse_Assignment:
		c.assign(kind.Assignment, now)
	case *semelv1.WorkResponse_Ack:
		c.onAck(heard.message.GetHeader(), kind.Ack, now)
	case *semelv1.WorkResponse_CancelAttempt:
		c.onCancel(kind.CancelAttempt, now)
	case *semelv1.WorkResponse_AuthNotice:
		c.onNotice(kind.AuthNotice, now)
	case *semelv1.WorkResponse_GoingAway:
		c.log.Info("the server is going away, reconnecting")
		c.loseLink(now, asked(kind.GoingAway.GetReconnectAfter()))
	case *semelv1.WorkResponse_HeartbeatAck:
		c.lease.answered()
		c.drainUnread = max(c.drainUnread-1, 0)
	}
}

// asked is a wait that the server asks for, within bounds.
func asked(wait *durationpb.Duration) time.Duration {
	return min(max(wait.AsDuration(), 0), workerWaitMax)
}

func (c *workerCourse) onCancel(cancel *semelv1.CancelAttempt, now time.Time) {
	key := attemptKey{cancel.GetRunId(), cancel.GetAttempt()}
	switch cancel.GetReason() {
	case semelv1.CancelAttempt_REASON_TIMED_OUT, semelv1.CancelAttempt_REASON_LEASE_STALE:
		c.over(key, now)
	default:
		c.stop(key, stopCancelled, now)
	}
}

func (c *workerCourse) onNotice(notice *semelv1.AuthNotice, now time.Time) {
	switch status := notice.GetAuth().GetStatus(); {
	case status != semelv1.AuthStatus_AUTH_STATUS_EXPIRING:
		c.log.Warn("the credentials of the stream are refused", "status", status)
	case !c.client.auth.canRefresh():
		c.log.Warn("the credentials end soon and cannot be renewed; start the worker with fresh ones")
	case c.sig.renewAt.After(now):
		// Those that live shorter than the server's warning time are renewed in their own time.
		c.renewAt = c.sig.renewAt
	default:
		c.renewAt = now
	}
}

func (c *workerCourse) onDialled(d workerDialled, now time.Time) {
	c.isDialling = false
	if d.err != nil {
		c.onNoLink(d.err, now)
		return
	}
	c.openedOnce = true
	c.lease.opened(d.opened, d.helloAt, now)
	c.sig, c.renewAt = d.sig, d.sig.renewAt
	c.link = d.link
	link := c.link
	c.work.Go(func() { link.read(c.post) })
	c.work.Go(link.write)
	c.log.Info("the stream is open", "held", len(c.held))
	c.observe(WorkerEvent{Told: WorkerConnected})
	for _, stale := range d.opened.GetStale() {
		c.onStale(attemptKey{stale.GetRunId(), stale.GetAttempt()}, now)
	}
	c.ready = nil
	for key := range c.held {
		c.ready = append(c.ready, key)
	}
	if c.phase != workerServing {
		c.sendDrain(now)
	}
}

func (c *workerCourse) onNoLink(err error, now time.Time) {
	var known *Error
	if !errors.As(err, &known) {
		known = usageError("there is no stream: %v", err)
	}
	lasts := !known.MayRetry && known.Kind != KindTransport
	if lasts && (known.Kind == KindRefused || known.Kind == KindCancelled || !c.openedOnce) {
		c.failed = known
		return
	}
	c.log.Warn("cannot open the stream yet", "error", known)
	c.loseLink(now, min(known.RetryAfter, workerWaitMax))
}

// onStale: an attempt is no longer this worker's. That may be by its own report, whose acknowledgement was lost: one that
// was sent is sent again under its id, and the answer says whether it counted.
func (c *workerCourse) onStale(key attemptKey, now time.Time) {
	held := c.held[key]
	if held != nil && !held.isRunning && len(held.queue) > 0 && held.queue[0].report != nil && held.queue[0].sends > 0 {
		return
	}
	c.over(key, now)
}

func (c *workerCourse) onRenewed(renewed workerRenewed, now time.Time) {
	c.isRenewing = false
	if renewed.err != nil {
		c.log.Warn("cannot renew the token of the stream yet", "error", renewed.err)
		c.renewAt = now.Add(renewAgain)
		return
	}
	c.sig, c.renewAt = renewed.sig, renewed.sig.renewAt
	again := &semelv1.Reauthenticate{Token: renewed.sig.token.reveal()}
	c.say(&semelv1.WorkRequest{Kind: &semelv1.WorkRequest_Reauthenticate{Reauthenticate: again}})
}

func (c *workerCourse) shutDown(now time.Time) {
	c.log.Info("draining", "running", c.running)
	c.phase, c.phaseEnds = workerDraining, now.Add(c.settings.drainTimeout)
	c.sendDrain(now)
}

// advance does all that is due.
func (c *workerCourse) advance(now time.Time) {
	if c.lease.justLost(now) {
		if c.running > 0 {
			c.log.Warn("the leases must be presumed lost, stopping what runs", "running", c.running)
		}
		c.stopAll(stopLeaseLost, now)
	}
	for due, isDue := c.timers.due(now); isDue; due, isDue = c.timers.due(now) {
		c.onTimer(due, now)
	}
	switch {
	case c.link != nil:
		c.tend(now)
	case !c.dialAt.IsZero() && !c.dialAt.After(now):
		c.dial()
	}
	if c.phase == workerDraining && !c.phaseEnds.After(now) {
		c.flush(now)
	}
	c.pump(now)
}

func (c *workerCourse) onTimer(due workerTimer, now time.Time) {
	switch due.kind {
	case timerFlushLog:
		c.flushLog(due.key)
	case timerProgress:
		c.sendProgress(due.key, now)
	case timerResend:
		c.ready = append(c.ready, due.key)
	case timerOverstayed:
		if held := c.held[due.key]; held != nil && held.isRunning {
			c.log.Warn("a handler did not stop when told to", "attempt", due.key)
		}
	}
}

// tend looks after the stream.
func (c *workerCourse) tend(now time.Time) {
	if c.lease.isSilent(now) {
		c.log.Warn("the server has gone silent, reconnecting")
		c.loseLink(now, 0)
		return
	}
	if c.lease.heartbeatIsDue(now) {
		c.resendOverdue(now)
		for key := range c.held {
			c.sendProgress(key, now)
		}
		c.lease.sent(now)
		c.say(&semelv1.WorkRequest{Kind: &semelv1.WorkRequest_Heartbeat{Heartbeat: &semelv1.Heartbeat{}}})
	}
	if !c.renewAt.IsZero() && !c.renewAt.After(now) && !c.isRenewing {
		c.renewAt, c.isRenewing = time.Time{}, true
		c.renew()
	}
	if wanted := c.wantedCredit(); c.phase == workerServing && wanted != c.credit {
		c.credit = wanted
		credit := &semelv1.Credit{Slots: int32(wanted)} //nolint:gosec // at most workerSlotsMax
		c.say(&semelv1.WorkRequest{Kind: &semelv1.WorkRequest_Credit{Credit: credit}})
	}
}

func (c *workerCourse) renew() {
	generation := c.sig.generation
	c.work.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, renewTimeout)
		defer cancel()
		sig, err := c.client.auth.refresh(ctx, generation)
		c.post(workerRenewed{sig, err})
	})
}

func (c *workerCourse) dial() {
	c.dialAt, c.isDialling = time.Time{}, true
	c.credit = c.wantedCredit()
	hello := &semelv1.Hello{
		App: c.settings.app, WorkerId: c.settings.id, WorkerName: c.settings.name,
		Slots: int32(c.credit), //nolint:gosec // at most workerSlotsMax
	}
	for name := range c.worker.handlers {
		hello.Processors = append(hello.Processors, name)
	}
	slices.Sort(hello.Processors)
	for key, held := range c.held {
		if held.stop != stopOver {
			hello.Held = append(hello.Held, &semelv1.AttemptRef{RunId: key.runID, Attempt: key.number})
		}
	}
	c.work.Go(func() {
		d, err := dialWorker(c.ctx, c.client, hello)
		select {
		case c.events <- workerDialled{d, err}:
		case <-c.done:
			if d != nil {
				d.link.close()
			}
		}
	})
}

// loseLink takes note that there is no stream, and when to make the next one.
func (c *workerCourse) loseLink(now time.Time, atLeast time.Duration) {
	c.failures++
	c.dialAt = now.Add(atLeast + workerReconnect.backoff(c.failures, rand.Float64())) //nolint:gosec // jitter
	if c.link != nil {
		c.link.close()
		c.link = nil
		c.observe(WorkerEvent{Told: WorkerDisconnected})
	}
	// What was under way on it is sent again on the next one.
	c.control = nil
	clear(c.acks)
	for _, held := range c.held {
		held.inFlight = false
	}
	c.lease.closed()
	c.renewAt = time.Time{}
}

// sendDrain tells the server that no more work is wanted, with a heartbeat behind it whose answer shows that it was read:
// whatever the server assigned before stands before that answer. Ending sooner would leave such an attempt to its lease.
func (c *workerCourse) sendDrain(now time.Time) {
	if c.link == nil {
		return
	}
	c.say(&semelv1.WorkRequest{Kind: &semelv1.WorkRequest_Drain{Drain: &semelv1.Drain{}}})
	c.drainUnread = c.lease.sent(now)
	c.say(&semelv1.WorkRequest{Kind: &semelv1.WorkRequest_Heartbeat{Heartbeat: &semelv1.Heartbeat{}}})
}

func (c *workerCourse) flush(now time.Time) {
	c.log.Info("the time to drain is over, giving back what runs", "running", c.running)
	c.stopAll(stopDraining, now)
	c.phase, c.phaseEnds = workerFlushing, now.Add(c.settings.cancelTimeout+workerFlushTimeout)
}

func (c *workerCourse) nextWake(now time.Time) time.Time {
	wake := now.Add(workerIdleWake)
	for _, at := range []time.Time{c.dialAt, c.phaseEnds, c.renewAt} {
		wake = earlier(wake, at)
	}
	if c.running > 0 {
		wake = earlier(wake, c.lease.nextLoss())
	}
	if c.link != nil {
		wake = earlier(wake, c.lease.nextOnStream())
	}
	return earlier(wake, c.timers.next())
}

func (c *workerCourse) isDone(now time.Time) bool {
	switch {
	case c.failed != nil:
		return true
	case c.phase == workerDraining:
		return len(c.held) == 0 && c.hasNoMoreToCome()
	case c.phase == workerFlushing:
		return len(c.held) == 0 || !c.phaseEnds.After(now)
	}
	return false
}

// hasNoMoreToCome says whether no assignment can be under way to this worker any more.
func (c *workerCourse) hasNoMoreToCome() bool {
	if c.link == nil {
		// While one is made the server may have read Hello and given work.
		return !c.isDialling
	}
	return c.drainUnread == 0
}
