package main

// Workers, and the processors that they have.

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	semel "semel.dev/go"
	"semel.dev/go/semelv1"
)

// workerRun is a worker under way.
type workerRun struct {
	stop context.CancelFunc

	mu      sync.Mutex
	blocked map[string]chan struct{} // by run id: closed when its handler may go on
}

// gate is what the handler of a run waits for, whichever of it and its release comes first.
func (w *workerRun) gate(runID string) chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.blocked[runID] == nil {
		w.blocked[runID] = make(chan struct{})
	}
	return w.blocked[runID]
}

func (d *driver) worker(ctx context.Context, c *command) (any, error) {
	client, err := d.client(c)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	run := &workerRun{stop: stop, blocked: map[string]chan struct{}{}}
	options := []semel.WorkerOption{
		semel.WithSlots(max(c.Slots, 1)), semel.WithWorkerName(c.Worker),
		semel.WithObserver(func(event semel.WorkerEvent) { d.tellWorker(c.Worker, event) }),
	}
	if c.DrainTimeout != nil {
		options = append(options, semel.WithDrainTimeout(c.DrainTimeout.duration()))
	}
	worker := semel.NewWorker(client, options...)
	for _, name := range c.Processors {
		handler, known := processors[name]
		if !known {
			return nil, fmt.Errorf("the driver has no processor %q", name)
		}
		worker.Handle(name, func(ctx context.Context, attempt *semel.Attempt) (*semelv1.Payload, error) {
			return handler(ctx, run, attempt)
		})
	}
	d.mu.Lock()
	d.workers[c.Worker] = run
	d.mu.Unlock()
	summary, err := worker.Run(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"succeeded": summary.Succeeded, "failed": summary.Failed,
		"cancelled": summary.Cancelled, "released": summary.Released,
	}, nil
}

func (d *driver) tellWorker(worker string, event semel.WorkerEvent) {
	told := map[string]any{"worker": worker, "told": event.Told, "run_id": event.RunID, "attempt": event.Attempt}
	if event.Outcome != "" {
		told["outcome"] = event.Outcome
	}
	d.write(told)
}

// workerOf is the worker that a command names.
func (d *driver) workerOf(c *command) (*workerRun, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	run, known := d.workers[c.Worker]
	if !known {
		return nil, fmt.Errorf("there is no worker %q", c.Worker)
	}
	return run, nil
}

func (d *driver) stopWorker(_ context.Context, c *command) (any, error) {
	run, err := d.workerOf(c)
	if err != nil {
		return nil, err
	}
	run.stop()
	return map[string]any{}, nil
}

func (d *driver) release(_ context.Context, c *command) (any, error) {
	run, err := d.workerOf(c)
	if err != nil {
		return nil, err
	}
	gate := run.gate(c.RunID)
	run.mu.Lock()
	defer run.mu.Unlock()
	select {
	case <-gate: // it was released already
	default:
		close(gate)
	}
	return map[string]any{}, nil
}

type processor = func(context.Context, *workerRun, *semel.Attempt) (*semelv1.Payload, error)

var processors = map[string]processor{
	"conformance.echo": func(_ context.Context, _ *workerRun, a *semel.Attempt) (*semelv1.Payload, error) {
		return a.Payload(), nil
	},
	"conformance.fail": func(_ context.Context, _ *workerRun, a *semel.Attempt) (*semelv1.Payload, error) {
		return nil, errors.New(string(a.Payload().GetData()))
	},
	"conformance.permanent": func(_ context.Context, _ *workerRun, a *semel.Attempt) (*semelv1.Payload, error) {
		return nil, semel.Permanent(errors.New(string(a.Payload().GetData())))
	},
	"conformance.sleep": sleepHalfAndHalf,
	"conformance.block": func(ctx context.Context, run *workerRun, a *semel.Attempt) (*semelv1.Payload, error) {
		select {
		case <-run.gate(a.RunID()):
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	},
	"conformance.log": func(_ context.Context, _ *workerRun, a *semel.Attempt) (*semelv1.Payload, error) {
		_, err := a.Stdout().Write(a.Payload().GetData())
		return nil, err
	},
}

func sleepHalfAndHalf(ctx context.Context, _ *workerRun, a *semel.Attempt) (*semelv1.Payload, error) {
	millis, err := strconv.Atoi(string(a.Payload().GetData()))
	if err != nil {
		return nil, err
	}
	for half := range 2 {
		select {
		case <-time.After(time.Duration(millis) * time.Millisecond / 2):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if half == 0 {
			a.Progress(0.5, "half")
		}
	}
	return nil, nil
}
