package semel

// What a handler sees of its attempt, and the little that it may say while it works. It decides nothing: cancelling,
// sending and reporting are the worker's.

import (
	"fmt"
	"io"
	"sync"
	"time"

	"semel.dev/go/semelv1"
)

const (
	// A piece of a log is sent when it has grown to this, or when it is 200 ms old: half of what a server takes at most.
	logChunkBytes = 32 << 10
	logAge        = 200 * time.Millisecond
	// How much of an attempt's log may wait for its acknowledgement; then the writer waits too.
	logRoomBytes = 256 << 10
	// What a write costs beside its bytes, so that many tiny ones are bounded as well.
	logWriteCost = 64
)

// attemptKey names an attempt.
type attemptKey struct {
	runID  string
	number int64
}

func (k attemptKey) String() string { return fmt.Sprintf("%s/%d", k.runID, k.number) }

// Attempt is one try of a run, as its handler sees it. It is safe for concurrent use.
type Attempt struct {
	key        attemptKey
	assignment *semelv1.Assignment
	room       *logRoom
	post       func(any)
}

// RunID is the id of the run.
func (a *Attempt) RunID() string { return a.key.runID }

// Number counts the attempts of the run, from 1 on. It is also the fencing token: it only grows, so whatever the handler
// changes should refuse a smaller one than it has seen.
func (a *Attempt) Number() int64 { return a.key.number }

// ID is run and attempt in one word, `<run id>/<attempt>`: the key under which to make effects idempotent per attempt.
func (a *Attempt) ID() string { return a.key.String() }

// MaxAttempts is how many attempts the run may have.
func (a *Attempt) MaxAttempts() int { return int(a.assignment.GetMaxAttempts()) }

// App is the app.
func (a *Attempt) App() string { return a.assignment.GetApp() }

// Job is the job.
func (a *Attempt) Job() string { return a.assignment.GetJob() }

// Processor is the name under which the handler was asked for.
func (a *Attempt) Processor() string { return a.assignment.GetProcessor() }

// Payload is the input; empty if the run has none.
func (a *Attempt) Payload() *semelv1.Payload {
	if a.assignment.GetPayload() == nil {
		return &semelv1.Payload{}
	}
	return a.assignment.GetPayload()
}

// Labels are those of the run. Not to be changed.
func (a *Attempt) Labels() map[string]string { return a.assignment.GetLabels() }

// Deadline is until when the attempt must have ended, by the server's clock; false if it may take for ever. The server
// tells when it has passed: the handler's context ends then.
func (a *Attempt) Deadline() (time.Time, bool) {
	deadline := a.assignment.GetAttemptDeadline()
	return deadline.AsTime(), deadline != nil
}

// Trigger is the trigger of the job that made the run; empty if none did.
func (a *Attempt) Trigger() string { return a.assignment.GetTrigger() }

// ScheduledTime is the time that the run was made for by the schedule of its trigger: the same however late it runs, and
// over all attempts; false if none made it.
func (a *Attempt) ScheduledTime() (time.Time, bool) {
	scheduled := a.assignment.GetScheduledTime()
	return scheduled.AsTime(), scheduled != nil
}

// TraceContext is the span of this attempt in the trace of the run: let that of the work be its child. Nil if the run is in
// no trace.
func (a *Attempt) TraceContext() *semelv1.TraceContext { return a.assignment.GetTraceContext() }

// Progress says how far the attempt is, from 0 to 1, with a word for people. The last one counts; it is sent every 200 ms
// at most, and may be lost with the stream.
func (a *Attempt) Progress(fraction float64, message string) {
	a.post(attemptProgressed{a.key, fraction, message})
}

// Stdout and Stderr write to the log of the attempt. A write waits while too much is not acknowledged, and does nothing
// when nobody takes the log any more; it never fails.
func (a *Attempt) Stdout() io.Writer {
	return attemptLog{a, semelv1.LogStream_LOG_STREAM_STDOUT}
}

// Stderr is beside Stdout.
func (a *Attempt) Stderr() io.Writer {
	return attemptLog{a, semelv1.LogStream_LOG_STREAM_STDERR}
}

type attemptLog struct {
	attempt *Attempt
	stream  semelv1.LogStream
}

func (l attemptLog) Write(data []byte) (int, error) {
	for rest := data; len(rest) > 0; {
		piece := rest[:min(len(rest), logChunkBytes)]
		rest = rest[len(piece):]
		if !l.attempt.room.take(len(piece) + logWriteCost) {
			break
		}
		l.attempt.post(attemptLogged{l.attempt.key, l.stream, append([]byte(nil), piece...)})
	}
	return len(data), nil
}

// logRoom bounds what of a log waits for its acknowledgement.
type logRoom struct {
	mu     sync.Mutex
	freed  *sync.Cond
	used   int
	closed bool
}

func newLogRoom() *logRoom {
	r := &logRoom{}
	r.freed = sync.NewCond(&r.mu)
	return r
}

// take waits for room; false if nobody takes the log any more.
func (r *logRoom) take(cost int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.closed && r.used > 0 && r.used+cost > logRoomBytes {
		r.freed.Wait()
	}
	r.used += cost
	return !r.closed
}

func (r *logRoom) release(cost int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= cost
	r.freed.Broadcast()
}

func (r *logRoom) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.freed.Broadcast()
}
