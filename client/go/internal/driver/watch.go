package main

// Watches.

import (
	"context"
	"encoding/json"
	"errors"

	"google.golang.org/protobuf/proto"

	semel "semel.dev/go"
	"semel.dev/go/semelv1"
)

func (d *driver) watch(ctx context.Context, c *command) (any, error) {
	client, err := d.client(c)
	if err != nil {
		return nil, err
	}
	request := &semelv1.WatchRequest{}
	if err := c.message(request); err != nil {
		return nil, err
	}
	if c.Token != "" {
		request.Start = &semelv1.WatchRequest_ResumeToken{ResumeToken: c.Token}
	}
	for item, err := range client.Watch(ctx, request) {
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := d.tellItem(c.Watch, item); err != nil {
			return nil, err
		}
	}
	return map[string]any{}, nil
}

func (d *driver) tellItem(watch string, item *semel.WatchItem) error {
	told := map[string]any{"watch": watch, "told": item.Kind, "revision": item.Revision, "token": nil}
	if token := item.ResumeToken(); token != "" {
		told["token"] = token
	}
	var message proto.Message
	switch item.Kind {
	case semel.WatchEvent:
		message = item.Event
	case semel.WatchRun:
		message = item.Run
	case semel.WatchJob:
		message = item.Job
	case semel.WatchWorker:
		message = item.Worker
	case semel.WatchLost:
		told["error"] = errorOf(item.Lost)
	}
	if message != nil {
		encoded, err := jsonOf(message)
		if err != nil {
			return err
		}
		told["message"] = json.RawMessage(encoded)
	}
	d.write(told)
	return nil
}

func (d *driver) stopWatch(_ context.Context, c *command) (any, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if stop, ok := d.watches[c.Watch]; ok {
		stop()
	}
	return map[string]any{}, nil
}
