package semel

// One stream of a watch: opening it, reading it, and getting fresh credentials while it is read. It knows how a stream
// ends, and nothing of what follows from it.

import (
	"context"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"semel.dev/go/semelv1"
)

const (
	// How long a stream may take to open.
	watchOpenTimeout = 10 * time.Second
	// A stream that says nothing for so many of its own intervals is dead, whatever the connection looks like.
	watchSilentIntervals = 3
	// The interval of a server that does not tell it, and the longest that is taken.
	watchIntervalUnstated = 30 * time.Second
	watchIntervalMax      = 24 * time.Hour
	// How long getting fresh credentials may take, and how long to wait before it is tried again.
	renewTimeout = 20 * time.Second
	renewAgain   = 2 * time.Second
)

type watchStream = grpc.ServerStreamingClient[semelv1.WatchResponse]

// watchSession is a stream that is open.
type watchSession struct {
	client    *Client
	stream    watchStream
	trace     *attemptTrace
	ctx       context.Context // ends with the session
	cancel    context.CancelFunc
	work      sync.WaitGroup
	opened    *semelv1.WatchOpened
	token     string
	requestID string
	sig       signature
	heard     chan watchHeard
	silence   time.Duration
	renewed   chan error // the credentials were renewed, or not
}

// watchHeard is what came over the stream, or how it ended.
type watchHeard struct {
	message *semelv1.WatchResponse
	refused *refusal
}

// noStream is why there is no stream: a refusal under this id and by these credentials, or, with err, that there was no
// token to be had.
type noStream struct {
	refused    *refusal
	requestID  string
	generation uint64
	err        error
}

// openWatch opens a stream and waits for the server's first word. Credentials of the generation refused are not used
// again, if there is one.
func openWatch(ctx context.Context, c *Client, request *semelv1.WatchRequest, refused *uint64) (*watchSession, *noStream) {
	sig, err := signForStream(ctx, c, refused)
	if err != nil {
		return nil, &noStream{err: err}
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &watchSession{
		client: c, ctx: ctx, cancel: cancel, sig: sig,
		requestID: c.MintRequestID().String(),
		heard:     make(chan watchHeard),
		renewed:   make(chan error, 1),
	}
	if r := s.open(request); r != nil {
		cancel()
		return nil, s.failed(r)
	}
	s.work.Go(s.read)
	return s, nil
}

// signForStream gives the credentials for a stream.
func signForStream(ctx context.Context, c *Client, refused *uint64) (signature, error) {
	ctx, cancel := context.WithTimeout(ctx, watchOpenTimeout)
	defer cancel()
	if refused != nil {
		return c.auth.refresh(ctx, *refused)
	}
	return c.auth.sign(ctx)
}

func (s *watchSession) open(request *semelv1.WatchRequest) *refusal {
	asked := clone(request).(*semelv1.WatchRequest)
	asked.Header = &semelv1.RequestHeader{RequestId: s.requestID, Client: s.client.info}
	ctx, trace := traced(s.ctx, s.sig)
	s.trace = trace
	late := time.AfterFunc(watchOpenTimeout, s.cancel)
	stream, err := semelv1.NewWatchServiceClient(s.client.conn).Watch(ctx, asked)
	var first *semelv1.WatchResponse
	if err == nil {
		s.stream = stream
		first, err = stream.Recv()
	}
	if !late.Stop() {
		return localRefusal(codes.DeadlineExceeded, originNoAnswer, "the stream did not open in time")
	}
	if err != nil {
		return s.refused(err)
	}
	s.opened = first.GetOpened()
	if !spoke(first.GetHeader()) || s.opened == nil {
		return localRefusal(codes.OK, originOther, "the stream does not begin as that of a Semel server; check the address")
	}
	s.client.clock.learn(first.GetHeader(), 0)
	s.token = first.GetResumeToken()
	interval := s.opened.GetProgressInterval().AsDuration()
	if interval <= 0 {
		interval = watchIntervalUnstated
	}
	s.silence = min(interval, watchIntervalMax) * watchSilentIntervals
	return nil
}

func (s *watchSession) read() {
	for {
		message, err := s.stream.Recv()
		heard := watchHeard{message: message}
		if err != nil {
			heard.refused = s.refused(err)
		} else {
			s.client.clock.learn(message.GetHeader(), 0)
		}
		select {
		case s.heard <- heard:
		case <-s.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// refused reads the error of the stream.
func (s *watchSession) refused(err error) *refusal {
	if err == io.EOF {
		return localRefusal(codes.Unavailable, originNoAnswer, "the stream has ended without a word")
	}
	if s.stream == nil {
		return s.client.refusalOf(err, nil, s.trace)
	}
	r := s.client.refusalOf(err, s.stream.Trailer(), s.trace)
	s.client.clock.learn(r.header, 0)
	return r
}

// failed: the stream has ended so.
func (s *watchSession) failed(r *refusal) *noStream {
	return &noStream{refused: r, requestID: s.requestID, generation: s.sig.generation}
}

// renew gets fresh credentials while the stream goes on: one whose only way is down cannot take them, so another one is
// opened when they are there.
func (s *watchSession) renew() {
	s.work.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, renewTimeout)
		defer cancel()
		_, err := s.client.auth.refresh(ctx, s.sig.generation)
		s.renewed <- err
	})
}

func (s *watchSession) close() {
	s.cancel()
	s.work.Wait()
}
