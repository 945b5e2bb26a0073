package main

// Connecting, and calls.

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	semel "semel.dev/go"
	"semel.dev/go/internal/uuidv7"
	"semel.dev/go/semelv1"
)

func (d *driver) hello(context.Context, *command) (any, error) {
	return map[string]any{
		"client":   "semel.dev/go",
		"version":  semel.Version,
		"language": "go",
		"runtime":  runtime.Version(),
		"grpc":     "grpc-go " + grpc.Version,
	}, nil
}

func (d *driver) connect(_ context.Context, c *command) (any, error) {
	o := c.Options
	set := []semel.Option{semel.WithApp(c.App), semel.WithRetry(semel.RetryOptions{
		AttemptsMax: o.AttemptsMax, BackoffFirst: o.BackoffFirst.duration(), BackoffMax: o.BackoffMax.duration()})}
	if o.RequestTimeout > 0 {
		set = append(set, semel.WithRequestTimeout(o.RequestTimeout.duration()))
	}
	if o.OverallTimeout > 0 {
		set = append(set, semel.WithOverallTimeout(o.OverallTimeout.duration()))
	}
	if o.ClockOffset != 0 {
		offset := o.ClockOffset.duration()
		set = append(set, semel.WithClock(func() time.Time { return time.Now().Add(offset) }))
	}
	if o.TLS != (tlsFiles{}) {
		config, err := tlsConfig(o.TLS)
		if err != nil {
			return nil, err
		}
		set = append(set, semel.WithTLS(config))
	}
	switch credentials := c.Credentials; {
	case credentials == nil:
	case credentials.Token != "":
		set = append(set, semel.WithToken(credentials.Token))
	case credentials.Secret != "":
		set = append(set, semel.WithSecret(credentials.App, credentials.Secret))
	}
	client, err := semel.New(c.Endpoint, set...)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clients[c.Client] = client
	return map[string]any{}, nil
}

func tlsConfig(files tlsFiles) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if files.CA != "" {
		pem, err := os.ReadFile(files.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(pem)
	}
	if files.Cert != "" {
		pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func (d *driver) close(_ context.Context, c *command) (any, error) {
	client, err := d.client(c)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	delete(d.clients, c.Client)
	d.mu.Unlock()
	return map[string]any{}, client.Close()
}

func (d *driver) client(c *command) (*semel.Client, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	client, ok := d.clients[c.Client]
	if !ok {
		return nil, fmt.Errorf("there is no client %q", c.Client)
	}
	return client, nil
}

func (d *driver) mint(_ context.Context, c *command) (any, error) {
	client, err := d.client(c)
	if err != nil {
		return nil, err
	}
	return map[string]any{"request_id": client.MintRequestID().String()}, nil
}

func (d *driver) uuid(_ context.Context, c *command) (any, error) {
	random, err := hex.DecodeString(c.Random)
	if err != nil || len(random) != 10 {
		return nil, fmt.Errorf("random must be 20 hex digits, and was %q", c.Random)
	}
	return map[string]any{"uuid": uuidv7.Of(c.UnixMs, [10]byte(random)).String()}, nil
}

func (d *driver) cancel(_ context.Context, c *command) (any, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if cancel, ok := d.running[c.Target]; ok {
		cancel()
	}
	return map[string]any{}, nil
}

// call makes any unary call, by the client's method of that name.
func (d *driver) call(ctx context.Context, c *command) (any, error) {
	client, err := d.client(c)
	if err != nil {
		return nil, err
	}
	method := reflect.ValueOf(client).MethodByName(c.Method)
	if !method.IsValid() || method.Type().NumIn() != 3 {
		return nil, fmt.Errorf("the client has no method %q", c.Method)
	}
	request, ok := reflect.New(method.Type().In(1).Elem()).Interface().(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%q is no method of the protocol", c.Method)
	}
	if err := c.message(request); err != nil {
		return nil, err
	}
	var info semel.CallInfo
	options := []semel.CallOption{semel.WithCallInfo(&info)}
	if c.RequestID != "" {
		if id, err := uuid.Parse(c.RequestID); err == nil && id.String() == c.RequestID {
			options = append(options, semel.WithRequestID(id))
		} else {
			setRequestID(request, c.RequestID)
		}
	}
	if c.RequestTimeout > 0 {
		options = append(options, semel.WithRequestTimeout(c.RequestTimeout.duration()))
	}
	if c.OverallTimeout > 0 {
		options = append(options, semel.WithOverallTimeout(c.OverallTimeout.duration()))
	}
	results := method.CallSlice([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(request), reflect.ValueOf(options)})
	if err, failed := results[1].Interface().(error); failed {
		return nil, err
	}
	response, err := jsonOf(results[0].Interface().(proto.Message))
	if err != nil {
		return nil, err
	}
	return map[string]any{"response": response, "request_id": info.RequestID, "attempts": info.Attempts}, nil
}

// setRequestID puts an id into the header that is no UUID in its usual form, and so can be given in no other way.
func setRequestID(request proto.Message, id string) {
	message := request.ProtoReflect()
	header := message.Mutable(message.Descriptor().Fields().ByName("header")).Message().Interface()
	header.(*semelv1.RequestHeader).RequestId = id
}

func (d *driver) callMany(ctx context.Context, c *command) (any, error) {
	client, err := d.client(c)
	if err != nil {
		return nil, err
	}
	request := &semelv1.RunJobRequest{}
	if err := c.message(request); err != nil {
		return nil, err
	}
	results := make([]map[string]any, c.Count)
	numbers := make(chan int)
	var callers sync.WaitGroup
	for range max(c.Concurrency, 1) {
		callers.Go(func() {
			for number := range numbers {
				results[number] = resultOf(client.RunJob(ctx, request))
			}
		})
	}
	for number := range c.Count {
		numbers <- number
	}
	close(numbers)
	callers.Wait()
	return map[string]any{"results": results}, nil
}

// resultOf is what became of one run.
func resultOf(response *semelv1.RunJobResponse, err error) map[string]any {
	if err != nil {
		var e *semel.Error
		if errors.As(err, &e) {
			return map[string]any{"request_id": e.RequestID, "error": errorOf(e)}
		}
		return map[string]any{"request_id": "", "error": map[string]any{"kind": "usage", "message": err.Error()}}
	}
	return map[string]any{
		"request_id":  response.GetHeader().GetRequestId(),
		"run_id":      response.GetRunId(),
		"disposition": response.GetHeader().GetDisposition().String(),
	}
}

func (d *driver) wait(ctx context.Context, c *command) (any, error) {
	client, err := d.client(c)
	if err != nil {
		return nil, err
	}
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout.duration())
		defer cancel()
	}
	run, err := client.Wait(ctx, "", c.RunID)
	if err != nil {
		return nil, err
	}
	encoded, err := jsonOf(run)
	if err != nil {
		return nil, err
	}
	return map[string]any{"run": encoded, "finished": true}, nil
}
