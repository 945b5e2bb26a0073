package semel

// One stream of a worker: opening it, reading it, and what is sent over it. It knows how a stream ends, and nothing of what
// follows from it.

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"semel.dev/go/semelv1"
)

// How long opening a stream may take, a fresh token included.
const workerOpenTimeout = 10 * time.Second

// workerReconnect is how a worker comes back: more slowly than a single call, for there may be thousands of them.
var workerReconnect = RetryOptions{AttemptsMax: 1, BackoffFirst: 200 * time.Millisecond, BackoffMax: 10 * time.Second}

type workStream = grpc.BidiStreamingClient[semelv1.WorkRequest, semelv1.WorkResponse]

// workerLink is a stream that is open.
type workerLink struct {
	client *Client
	stream workStream
	trace  *attemptTrace
	cancel context.CancelFunc

	mu     sync.Mutex
	more   *sync.Cond
	queue  []*semelv1.WorkRequest // bounded by what a course lets wait
	closed bool
}

// dialled is a stream that was just opened.
type dialled struct {
	link    *workerLink
	opened  *semelv1.Opened
	helloAt time.Time // when Hello was sent: the leases are good from then on
	sig     signature
}

// dialWorker opens a stream and waits for the server's first word. Credentials that are refused are renewed once.
func dialWorker(ctx context.Context, c *Client, hello *semelv1.Hello) (*dialled, error) {
	signing, cancel := context.WithTimeout(ctx, workerOpenTimeout)
	defer cancel()
	sig, err := c.auth.sign(signing)
	if err != nil {
		return nil, err
	}
	d, refused := openWork(ctx, c, hello, sig)
	if refused == nil {
		return d, nil
	}
	attempts := 1
	if class, _ := classify(refused); class == classCredentials && c.auth.canRefresh() {
		if sig, err = c.auth.refresh(signing, sig.generation); err != nil {
			return nil, err
		}
		if d, refused = openWork(ctx, c, hello, sig); refused == nil {
			return d, nil
		}
		attempts++
	}
	return nil, newError(refused, "", attempts)
}

func openWork(ctx context.Context, c *Client, hello *semelv1.Hello, sig signature) (*dialled, *refusal) {
	ctx, cancel := context.WithCancel(ctx)
	ctx, trace := traced(ctx, sig)
	late := time.AfterFunc(workerOpenTimeout, cancel)
	helloAt := time.Now()
	stream, err := semelv1.NewWorkerServiceClient(c.conn).Work(ctx)
	l := &workerLink{client: c, stream: stream, trace: trace, cancel: cancel}
	l.more = sync.NewCond(&l.mu)
	var first *semelv1.WorkResponse
	if err == nil {
		header := &semelv1.RequestHeader{Client: c.info}
		// That it fails, the answer says, and why.
		_ = stream.Send(&semelv1.WorkRequest{Header: header, Kind: &semelv1.WorkRequest_Hello{Hello: hello}})
		first, err = stream.Recv()
	}
	if !late.Stop() {
		cancel()
		return nil, localRefusal(codes.DeadlineExceeded, originNoAnswer, "the stream did not open in time")
	}
	if err != nil {
		refused := l.refused(err)
		cancel()
		return nil, refused
	}
	if first.GetOpened() == nil || !spoke(first.GetHeader()) {
		cancel()
		return nil, localRefusal(codes.Unavailable, originOther,
			"the stream does not begin as that of a Semel server; check the address")
	}
	c.clock.learn(first.GetHeader(), time.Since(helloAt))
	return &dialled{link: l, opened: first.GetOpened(), helloAt: helloAt, sig: sig}, nil
}

// refused reads the error of the stream.
func (l *workerLink) refused(err error) *refusal {
	if err == io.EOF {
		return localRefusal(codes.Unavailable, originNoAnswer, "the stream has ended without a word")
	}
	if l.stream == nil {
		return l.client.refusalOf(err, nil, l.trace)
	}
	r := l.client.refusalOf(err, l.stream.Trailer(), l.trace)
	l.client.clock.learn(r.header, 0)
	return r
}

// read hands on what comes, until the stream ends.
func (l *workerLink) read(post func(any)) {
	for {
		message, err := l.stream.Recv()
		if err != nil {
			post(workerHeard{link: l, refused: l.refused(err)})
			return
		}
		post(workerHeard{link: l, message: message})
	}
}

// write sends what is put into the queue. That it fails, the other half says, and why.
func (l *workerLink) write() {
	for {
		l.mu.Lock()
		for len(l.queue) == 0 && !l.closed {
			l.more.Wait()
		}
		queue := l.queue
		l.queue = nil
		closed := l.closed
		l.mu.Unlock()
		for message := range slices.Values(queue) {
			if l.stream.Send(message) != nil {
				return
			}
		}
		if closed {
			return
		}
	}
}

func (l *workerLink) send(message *semelv1.WorkRequest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, message)
	l.more.Signal()
}

// close lets go of the stream, whatever is under way on it.
func (l *workerLink) close() {
	l.cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue, l.closed = nil, true
	l.more.Signal()
}
