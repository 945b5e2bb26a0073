// Command driver makes the client do what the conformance runner says: one JSON object a line on standard input, answers
// and events on standard output. The protocol stands in client/conformance/DRIVER.md.
//
// This file owns reading, dispatch and writing; what each command does stands in the files beside it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	semel "semel.dev/go"
)

// lineBytesMax bounds a command.
const lineBytesMax = 64 << 20

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})))
	d := &driver{
		out:     os.Stdout,
		clients: map[string]*semel.Client{},
		running: map[int64]context.CancelFunc{},
		watches: map[string]context.CancelFunc{},
		workers: map[string]*workerRun{},
	}
	if err := d.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(1)
	}
}

// driver is what the commands share.
type driver struct {
	outMu sync.Mutex
	out   io.Writer

	mu      sync.Mutex
	clients map[string]*semel.Client
	running map[int64]context.CancelFunc // commands under way, by id
	watches map[string]context.CancelFunc
	workers map[string]*workerRun
}

// read takes commands until the input ends. Those that later ones refer to are done before the next is read.
func (d *driver) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), lineBytesMax)
	for lines.Scan() {
		line := append([]byte(nil), lines.Bytes()...)
		var c command
		if err := json.Unmarshal(line, &c); err != nil {
			d.write(map[string]any{"id": c.ID, "fault": err.Error()})
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		d.mu.Lock()
		d.running[c.ID] = cancel
		if c.Op == "watch" {
			d.watches[c.Watch] = cancel
		}
		d.mu.Unlock()
		if c.Op == "connect" {
			d.do(ctx, &c)
		} else {
			go d.do(ctx, &c)
		}
	}
	return lines.Err()
}

// do carries out a command and answers it.
func (d *driver) do(ctx context.Context, c *command) {
	answer := map[string]any{"id": c.ID}
	ok, err := d.carefully(ctx, c)
	d.mu.Lock()
	d.running[c.ID]()
	delete(d.running, c.ID)
	d.mu.Unlock()
	var refused *semel.Error
	var cannot unsupported
	switch {
	case err == nil:
		answer["ok"] = ok
	case errors.As(err, &refused):
		answer["error"] = errorOf(refused)
	case errors.As(err, &cannot):
		answer["unsupported"] = string(cannot)
	default:
		answer["fault"] = err.Error()
	}
	d.write(answer)
}

// carefully makes a fault of a panic: a driver never crashes on a command.
func (d *driver) carefully(ctx context.Context, c *command) (ok any, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	handler, known := handlers[c.Op]
	if !known {
		return nil, unsupported("the driver does not know " + c.Op)
	}
	return handler(d, ctx, c)
}

// unsupported is an answer: the client has no such thing.
type unsupported string

func (u unsupported) Error() string { return string(u) }

var handlers = map[string]func(*driver, context.Context, *command) (any, error){
	"hello":        (*driver).hello,
	"connect":      (*driver).connect,
	"close":        (*driver).close,
	"mint":         (*driver).mint,
	"uuid":         (*driver).uuid,
	"call":         (*driver).call,
	"cancel":       (*driver).cancel,
	"call_many":    (*driver).callMany,
	"submit_many":  (*driver).submitMany,
	"wait":         (*driver).wait,
	"watch":        (*driver).watch,
	"stop_watch":   (*driver).stopWatch,
	"worker":       (*driver).worker,
	"stop_worker":  (*driver).stopWorker,
	"release":      (*driver).release,
	"bench_submit": (*driver).benchSubmit,
	"bench_echo":   (*driver).benchEcho,
}

// write puts one line out.
func (d *driver) write(message map[string]any) {
	line, err := json.Marshal(message)
	if err != nil {
		line, _ = json.Marshal(map[string]any{"id": message["id"], "fault": err.Error()})
	}
	d.outMu.Lock()
	defer d.outMu.Unlock()
	_, _ = d.out.Write(append(line, '\n')) // who reads no longer needs no answer
}
