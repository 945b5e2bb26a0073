package main

// Many runs, and what they cost.

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"net/url"

	"github.com/google/uuid"

	"semel.dev/go/semelv1"
)

// numbered gives the run again and again, until next says no; the payload of number n is its decimal.
func numbered(run *semelv1.RunJobRequest, next func(number int) bool) iter.Seq[*semelv1.RunJobRequest] {
	return func(yield func(*semelv1.RunJobRequest) bool) {
		for number := 0; next(number); number++ {
			payload := &semelv1.Payload{
				Data: strconv.AppendInt(nil, int64(number), 10), ContentType: run.GetPayload().GetContentType()}
			request := &semelv1.RunJobRequest{
				App: run.App, Job: run.Job, Payload: payload, Labels: run.Labels, Priority: run.Priority,
				StartTime: run.StartTime, Deadline: run.Deadline, UniqueKey: run.UniqueKey}
			if !yield(request) {
				return
			}
		}
	}
}

func (d *driver) submitMany(ctx context.Context, c *command) (any, error) {
	client, err := d.client(c)
	if err != nil {
		return nil, err
	}
	run := &semelv1.RunJobRequest{}
	if err := c.message(run); err != nil {
		return nil, err
	}
	results := make([]map[string]any, 0, c.Count)
	for response, err := range client.SubmitMany(ctx, numbered(run, func(number int) bool { return number < c.Count })) {
		results = append(results, resultOf(response, err))
	}
	return map[string]any{"results": results}, nil
}

func (d *driver) benchSubmit(ctx context.Context, c *command) (any, error) {
	client, err := d.client(c)
	if err != nil {
		return nil, err
	}
	run := &semelv1.RunJobRequest{}
	if err := c.message(run); err != nil {
		return nil, err
	}
	begin := time.Now()
	isTime := func(int) bool { return time.Since(begin) < c.Duration.duration() }
	items := 0
	for _, err := range client.SubmitMany(ctx, numbered(run, isTime)) {
		if err != nil {
			return nil, err
		}
		items++
	}
	return map[string]any{"items": items, "elapsed": time.Since(begin).Milliseconds()}, nil
}

// echoOutstandingMax is how many items of the bare stream may be without an answer.
const echoOutstandingMax = 4096

// benchEcho measures the bare generated stub, against a server that only answers.
func (d *driver) benchEcho(ctx context.Context, c *command) (any, error) {
	endpoint, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("dns:///"+endpoint.Host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	stream, err := semelv1.NewJobServiceClient(conn).SubmitRuns(ctx)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	room := make(chan struct{}, echoOutstandingMax)
	go func() {
		defer func() { _ = stream.CloseSend() }()
		for time.Since(begin) < c.Duration.duration() {
			message := &semelv1.SubmitRunsRequest{}
			for range max(c.PerMessage, 1) {
				select {
				case room <- struct{}{}:
				case <-stream.Context().Done():
					return
				}
				header := &semelv1.RequestHeader{RequestId: uuid.NewString()}
				message.Runs = append(message.Runs, &semelv1.RunJobRequest{Header: header, Job: "echo"})
			}
			if stream.Send(message) != nil {
				return
			}
		}
	}()
	items := 0
	for {
		message, err := stream.Recv()
		if err == io.EOF {
			return map[string]any{"items": items, "elapsed": time.Since(begin).Milliseconds()}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("the bare stream: %w", err)
		}
		for range message.GetResults() {
			<-room
			items++
		}
	}
}
