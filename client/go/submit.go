package semel

// Runs in volume, as a program sees it: any number goes in, results come out in the same order. The stream is only another
// way for an attempt: what a refusal means, when to send again and under which id stays where it is for every call.

import (
	"context"
	"iter"
	"sync"

	"semel.dev/go/semelv1"
)

// outstandingMax is how many runs of one SubmitMany may be without a result that was taken.
const outstandingMax = 4096

// SubmitMany makes any number of runs over one stream, and gives the results in the order of the runs: what RunJob would
// have answered, or its [*Error]. A run that is refused does not end the others. Each run has a request id of its own,
// minted unless its header bears one, and kept whatever becomes of the stream; the options are those of each run, but
// for [WithRequestID] and [WithCallInfo].
//
// Runs are read ahead on another goroutine, while up to 4096 have no result that was taken: a slow consumer holds them
// up. A consumer that leaves the loop leaves the runs that are under way to their fate. When the context ends, so does what
// is under way, each run with its error, and no further run is read; a last error, without a request id, says so.
func (c *Client) SubmitMany(
	ctx context.Context, runs iter.Seq[*semelv1.RunJobRequest], options ...CallOption,
) iter.Seq2[*semelv1.RunJobResponse, error] {
	return func(yield func(*semelv1.RunJobResponse, error) bool) {
		inner, cancel := context.WithCancel(ctx)
		s := &submitter{
			client:  c,
			options: options,
			ctx:     inner,
			pipe:    newPipe(c),
			line:    make(chan *submission, outstandingMax-1),
			left:    make(chan struct{}),
		}
		var piping sync.WaitGroup
		piping.Go(func() { s.pipe.run(inner) })
		defer func() {
			cancel()
			close(s.left)
			piping.Wait()
		}()
		go s.read(runs)
		s.deliver(ctx, yield)
	}
}

// submitter is one SubmitMany while it goes on.
type submitter struct {
	client  *Client
	options []CallOption
	ctx     context.Context
	pipe    *pipe
	line    chan *submission // those without a result that was taken, in order
	left    chan struct{}    // closed when the consumer takes no more
	isCut   bool             // the context ended before the runs did; to be read once the line is closed
}

// submission is one run.
type submission struct {
	done     chan struct{}
	response *semelv1.RunJobResponse
	err      error
}

// read submits what the runs give, until they end or the context does.
func (s *submitter) read(runs iter.Seq[*semelv1.RunJobRequest]) {
	defer close(s.line)
	isFirst := true
	for run := range runs {
		if isFirst {
			// So that the runs go out in their order; if there is no token, each of them says so.
			_, _ = s.client.auth.sign(s.ctx)
			isFirst = false
		}
		select {
		case s.line <- s.submit(run):
		case <-s.left:
			return
		}
		if s.isCut = s.ctx.Err() != nil; s.isCut {
			return
		}
	}
}

// submit puts a run in line.
func (s *submitter) submit(run *semelv1.RunJobRequest) *submission {
	sub := &submission{done: make(chan struct{})}
	l, err := s.client.prepare(semelv1.JobService_RunJob_FullMethodName, run, s.options)
	if err != nil {
		sub.err = err
		close(sub.done)
		return sub
	}
	l.newResponse = func() answer { return &semelv1.RunJobResponse{} }
	l.info = nil
	var first *item
	if sig, ok := s.client.auth.presently(); ok {
		first = s.pipe.offer(l, sig)
	}
	l.attempt = func(ctx context.Context, l *logical, sig signature) (answer, *refusal) {
		offered := first
		if first = nil; offered == nil {
			offered = s.pipe.offer(l, sig)
		}
		return s.attempt(ctx, l, sig, offered)
	}
	go func() {
		defer close(sub.done)
		response, err := s.client.make(s.ctx, l)
		if sub.err = err; err == nil {
			sub.response = response.(*semelv1.RunJobResponse)
		}
	}()
	return sub
}

// attempt waits for the answer over the stream, or makes a call of its own where the stream is not to be had; under the
// same id either way.
func (s *submitter) attempt(ctx context.Context, l *logical, sig signature, offered *item) (answer, *refusal) {
	wasSent := false
	if offered != nil {
		fate := offered.await(ctx)
		if !fate.notHad {
			return fate.answer()
		}
		wasSent = fate.wasSent
	}
	response, refused := s.client.unary(ctx, l, sig)
	if refused != nil {
		refused.resent = refused.resent || wasSent
	}
	return response, refused
}

// deliver hands on the results.
func (s *submitter) deliver(ctx context.Context, yield func(*semelv1.RunJobResponse, error) bool) {
	for {
		var sub *submission
		var more bool
		select {
		case sub, more = <-s.line:
		case <-ctx.Done():
			select {
			case sub, more = <-s.line:
			default:
				yield(nil, endedError(ctx, "", 0))
				return
			}
		}
		if !more {
			if s.isCut {
				yield(nil, endedError(ctx, "", 0))
			}
			return
		}
		<-sub.done
		if !yield(sub.response, sub.err) {
			return
		}
	}
}
