package semel

// What a program sets up to take runs, and what it gets back. How a worker goes on from moment to moment stands in
// worker_course.go.

import (
	"context"
	"errors"
	"time"

	"semel.dev/go/semelv1"
)

const (
	// How many attempts a worker may take at a time, and how many processors it may offer.
	workerSlotsMax      = 10_000
	workerProcessorsMax = 256
)

// Handler does the work of one attempt, and gives the result of the run, or nil for none. Its context ends when it is to
// stop: the run was cancelled, its time is up, the worker shuts down, or the server was not heard of for so long that the
// attempt may have been given to somebody else. An error fails the attempt with the error's text; see [Permanent] and
// [RetryAfter]. An attempt may run more than once: what it changes should know [Attempt.ID] and refuse a smaller
// [Attempt.Number] than it has seen.
type Handler func(ctx context.Context, attempt *Attempt) (*semelv1.Payload, error)

// Worker takes runs over one stream, gives them to handlers, and reports how they ended. Everything that it reports bears a
// request id that is kept over reconnects, until it is acknowledged.
type Worker struct {
	client   *Client
	settings workerSettings
	handlers map[string]Handler
}

type workerSettings struct {
	app           string
	id            string
	name          string
	slots         int
	drainTimeout  time.Duration
	cancelTimeout time.Duration
	observe       func(WorkerEvent)
}

// WorkerOption sets up a [Worker].
type WorkerOption func(*workerSettings)

// WithWorkerApp is the app whose runs it takes. Default: that of the client, and without one that of the credentials.
func WithWorkerApp(app string) WorkerOption { return func(s *workerSettings) { s.app = app } }

// WithWorkerName is a name for people, for instance the host's. Default: none.
func WithWorkerName(name string) WorkerOption { return func(s *workerSettings) { s.name = name } }

// WithSlots is how many attempts it takes at a time. Default 1, at most 10,000.
func WithSlots(slots int) WorkerOption { return func(s *workerSettings) { s.slots = slots } }

// WithDrainTimeout is how long what runs may go on after the shutdown has begun, before it is cancelled and given back.
// Default 30 s.
func WithDrainTimeout(timeout time.Duration) WorkerOption {
	return func(s *workerSettings) { s.drainTimeout = timeout }
}

// WithCancelTimeout is how long a handler may take to stop when it is told to; then that is logged, and the worker no
// longer waits for it when it ends. Default 10 s.
func WithCancelTimeout(timeout time.Duration) WorkerOption {
	return func(s *workerSettings) { s.cancelTimeout = timeout }
}

// WithObserver is told what happens, in order; it must return soon. For logs and metrics.
func WithObserver(observe func(WorkerEvent)) WorkerOption {
	return func(s *workerSettings) { s.observe = observe }
}

// NewWorker sets up a worker that speaks through the client; [Worker.Handle] adds what it can do.
func NewWorker(client *Client, options ...WorkerOption) *Worker {
	w := &Worker{client: client, handlers: map[string]Handler{}, settings: workerSettings{
		app:           client.config.app,
		id:            client.MintRequestID().String(),
		slots:         1,
		drainTimeout:  30 * time.Second,
		cancelTimeout: 10 * time.Second,
	}}
	for _, option := range options {
		option(&w.settings)
	}
	return w
}

// ID is the id of this worker: minted when it was set up, kept over reconnects.
func (w *Worker) ID() string { return w.settings.id }

// Handle offers a processor under a name; a later one under the same name takes its place. To be called before Run.
func (w *Worker) Handle(processor string, handler Handler) { w.handlers[processor] = handler }

// Run works until the context ends, then drains: no new work is taken, what runs may end within the drain timeout, the rest
// is told to stop and given back. It reconnects by itself, for ever; it fails only where the worker is set up wrongly, or
// where a server refuses it for good, for instance because the credentials do not allow it to work.
func (w *Worker) Run(ctx context.Context) (WorkerSummary, error) {
	if err := w.check(); err != nil {
		return WorkerSummary{}, err
	}
	return newCourse(w).run(ctx)
}

func (w *Worker) check() error {
	s := &w.settings
	switch {
	case len(w.handlers) == 0 || len(w.handlers) > workerProcessorsMax:
		return usageError("a worker needs from 1 to %d processors; add one with Handle", workerProcessorsMax)
	case s.slots < 1 || s.slots > workerSlotsMax:
		return usageError("slots must be from 1 to %d", workerSlotsMax)
	case s.drainTimeout < 0 || s.cancelTimeout < 0:
		return usageError("the time to drain and the time to stop must not be negative")
	}
	for name, handler := range w.handlers {
		if name == "" || handler == nil {
			return usageError("a processor needs a name and a handler")
		}
	}
	return nil
}

// WorkerSummary is what a worker did, as the server acknowledged it.
type WorkerSummary struct {
	// Attempts counts those whose handler was started.
	Attempts int
	// Succeeded, Failed, Cancelled and Released (given back) count reports.
	Succeeded, Failed, Cancelled, Released int
	// Stale counts attempts that were over before they could be reported: timed out, or given to another worker.
	Stale int
	// Unreported counts attempts whose report was not acknowledged before the worker had to stop. Their leases run out
	// by themselves.
	Unreported int
}

// WorkerTold is what a worker tells its observer.
type WorkerTold string

const (
	// WorkerConnected: the stream is open, for the first time or again.
	WorkerConnected WorkerTold = "connected"
	// WorkerDisconnected: the stream was lost; it is made again by itself.
	WorkerDisconnected WorkerTold = "disconnected"
	// WorkerStarted: a handler was entered.
	WorkerStarted WorkerTold = "started"
	// WorkerCancelled: a handler was told to stop.
	WorkerCancelled WorkerTold = "cancelled"
	// WorkerEnded: a handler has returned.
	WorkerEnded WorkerTold = "ended"
)

// WorkerEvent is what a worker tells its observer.
type WorkerEvent struct {
	Told WorkerTold
	// RunID and Attempt name the attempt; zero for what is about the stream.
	RunID   string
	Attempt int64
	// Outcome is what is reported, for WorkerEnded: succeeded, failed, cancelled or released; empty for nothing.
	Outcome string
}

// processError says what follows from an error of a handler.
type processError struct {
	error
	permanent  bool
	retryAfter time.Duration
}

func (e *processError) Unwrap() error { return e.error }

// Permanent makes an error of a handler final: trying again is of no use, whatever the job's retry policy says.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &processError{error: err, permanent: true}
}

// RetryAfter makes an error of a handler say how long to wait before the next attempt, instead of what the job's retry
// policy says.
func RetryAfter(err error, wait time.Duration) error {
	if err == nil {
		return nil
	}
	return &processError{error: err, retryAfter: max(wait, 0)}
}

// asProcessError finds what a handler said of its error.
func asProcessError(err error) *processError {
	var known *processError
	if errors.As(err, &known) {
		return known
	}
	return &processError{error: err}
}
