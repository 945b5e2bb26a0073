package semel

// One open stream for runs: packs what waits into messages, and matches the answers, which come in order, with whoever
// waits for them. It knows how a stream ends, and nothing of what follows from it.

import (
	"context"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"semel.dev/go/semelv1"
)

const (
	// Runs of one message, and bytes, unless a single run has more.
	submitItemsMax = 100
	submitBytesMax = 1 << 20
	// Messages that may wait for the connection to take them; while they do, what comes is put into one message.
	submitOutboundMax = 2
	// How long the stream may take to open at most.
	submitOpenTimeout = 5 * time.Second
	// An unused stream is let go after this.
	submitIdleMax = 30 * time.Second
	// How often it is looked whether the stream idles or stalls.
	submitLook = 500 * time.Millisecond
)

type submitStream = grpc.BidiStreamingClient[semelv1.SubmitRunsRequest, semelv1.SubmitRunsResponse]

// session is one stream.
type session struct {
	pipe   *pipe
	stream submitStream
	trace  *attemptTrace
	cancel context.CancelFunc
	work   sync.WaitGroup

	out      chan *semelv1.SubmitRunsRequest
	room     chan struct{} // a token for each message that out may take
	in       chan submitHeard
	head     *semelv1.RequestHeader // of the first message
	openedAt time.Time

	generation  uint64  // by which token it was opened, or reauthenticated
	outstanding []*item // sent, and without an answer
	movedAt     time.Time
	hasServed   bool // any run was answered over it
	isLeaving   bool // the server is about to stop
}

// submitHeard is what came over the stream, or how it ended.
type submitHeard struct {
	message *semelv1.SubmitRunsResponse
	refused *refusal
}

// sessionEnd is how a stream ended: by a refusal, as broken (what comes is no answer of a Semel server, or nothing comes
// at all), or, with neither, because nothing was sent for a while.
type sessionEnd struct {
	refused *refusal
	broken  string
}

// openSession opens the stream, and waits for the server's first word: nothing is sent into a stream that leads nowhere.
func openSession(ctx context.Context, p *pipe, sig signature) (*session, *refusal) {
	ctx, cancel := context.WithCancel(ctx)
	ctx, trace := traced(ctx, sig)
	late := time.AfterFunc(min(submitOpenTimeout, p.stall), cancel)
	stream, err := semelv1.NewJobServiceClient(p.client.conn).SubmitRuns(ctx)
	var first *semelv1.SubmitRunsResponse
	if err == nil {
		first, err = stream.Recv()
	}
	if !late.Stop() {
		cancel()
		return nil, localRefusal(codes.DeadlineExceeded, originOther, "the stream did not open in time")
	}
	if err != nil {
		cancel()
		return nil, p.refused(err, stream, trace)
	}
	if !spoke(first.GetHeader()) {
		cancel()
		return nil, localRefusal(codes.OK, originOther, "the stream does not begin as that of a Semel server")
	}
	p.client.clock.learn(first.GetHeader(), 0)
	now := time.Now()
	s := &session{
		pipe: p, stream: stream, trace: trace, cancel: cancel,
		out:        make(chan *semelv1.SubmitRunsRequest, submitOutboundMax),
		room:       make(chan struct{}, submitOutboundMax),
		in:         make(chan submitHeard),
		head:       &semelv1.RequestHeader{Client: p.client.info},
		generation: sig.generation,
		openedAt:   now,
		movedAt:    now,
	}
	for range submitOutboundMax {
		s.room <- struct{}{}
	}
	s.work.Go(func() { s.send() })
	s.work.Go(func() { s.receive(ctx) })
	return s, nil
}

// refused reads the error of a stream.
func (p *pipe) refused(err error, stream submitStream, trace *attemptTrace) *refusal {
	if err == io.EOF {
		return localRefusal(codes.Unavailable, originNoAnswer, "the stream ended before the answer came")
	}
	var r *refusal
	if stream == nil {
		r = p.client.refusalOf(err, nil, trace)
	} else {
		r = p.client.refusalOf(err, stream.Trailer(), trace)
	}
	p.client.clock.learn(r.header, 0)
	return r
}

// send hands the messages to the connection. That it fails, the other half says, and why.
func (s *session) send() {
	for message := range s.out {
		if s.stream.Send(message) != nil {
			return
		}
		s.room <- struct{}{}
	}
}

func (s *session) receive(ctx context.Context) {
	for {
		message, err := s.stream.Recv()
		heard := submitHeard{message: message}
		if err != nil {
			heard.refused = s.pipe.refused(err, s.stream, s.trace)
		}
		select {
		case s.in <- heard:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// close ends the stream, whatever is under way on it.
func (s *session) close() {
	s.cancel()
	close(s.out)
	s.work.Wait()
}

// live sends what waits and what comes, until the stream ends. Gives back what was not sent.
func (s *session) live(ctx context.Context, waiting []*item) ([]*item, sessionEnd) {
	look := time.NewTicker(submitLook)
	defer look.Stop()
	for {
		// What came is taken first, so that it travels together.
		waiting = s.take(waiting)
		var items chan *item
		if !s.isLeaving && len(waiting) < submitItemsMax {
			items = s.pipe.items
		}
		var room chan struct{}
		if !s.isLeaving && len(waiting) > 0 && len(s.outstanding) < outstandingMax {
			room = s.room
		}
		select {
		case heard := <-s.in:
			if heard.refused != nil {
				return waiting, sessionEnd{refused: heard.refused}
			}
			if broken := s.hear(heard.message); broken != "" {
				return waiting, sessionEnd{broken: broken}
			}
		case next := <-items:
			waiting = s.wait(waiting, next)
		case <-room:
			message := s.pack(&waiting)
			if message == nil {
				s.room <- struct{}{}
				break
			}
			s.out <- message
		case <-look.C:
			still, isIdle := time.Since(s.movedAt), len(s.outstanding) == 0 && len(waiting) == 0
			if isIdle && still >= submitIdleMax {
				return waiting, sessionEnd{}
			}
			if !isIdle && still >= s.pipe.stall {
				return waiting, sessionEnd{broken: "nothing comes back"}
			}
		case <-ctx.Done():
			return waiting, sessionEnd{}
		}
	}
}

// take adds what lies ready.
func (s *session) take(waiting []*item) []*item {
	for !s.isLeaving && len(waiting) < submitItemsMax {
		select {
		case next := <-s.pipe.items:
			waiting = s.wait(waiting, next)
		default:
			return waiting
		}
	}
	return waiting
}

func (s *session) wait(waiting []*item, next *item) []*item {
	if len(waiting) == 0 && len(s.outstanding) == 0 {
		s.movedAt = time.Now()
	}
	return append(waiting, next)
}

// hear takes what the server says; gives why that breaks the stream, if it does.
func (s *session) hear(message *semelv1.SubmitRunsResponse) (broken string) {
	s.movedAt = time.Now()
	header := message.GetHeader()
	if !spoke(header) {
		return "a message says nothing of the credentials"
	}
	s.pipe.client.clock.learn(header, 0)
	s.isLeaving = s.isLeaving || message.GetGoingAway() != nil
	for _, result := range message.GetResults() {
		if len(s.outstanding) == 0 {
			return "an answer came that nobody waits for"
		}
		first := s.outstanding[0]
		if !strings.EqualFold(result.GetRequestId(), first.requestID) {
			return "the answers come in another order"
		}
		s.outstanding[0] = nil
		s.outstanding = s.outstanding[1:]
		s.hasServed = true
		first.fate <- fateOfResult(result, header)
	}
	return ""
}

// pack makes the next message of what waits; nil if nobody waits for it any more.
func (s *session) pack(waiting *[]*item) *semelv1.SubmitRunsRequest {
	message := &semelv1.SubmitRunsRequest{}
	bytes, taken := 0, 0
	for _, next := range *waiting {
		bytes += next.bytes
		isFull := len(message.Runs) >= submitItemsMax || bytes > submitBytesMax
		if isFull && len(message.Runs) > 0 {
			break
		}
		taken++
		if next.isGone() {
			continue
		}
		if next.sig.generation > s.generation {
			s.generation = next.sig.generation
			message.Reauthenticate = &semelv1.Reauthenticate{Token: next.sig.token.reveal()}
		}
		s.outstanding = append(s.outstanding, next)
		message.Runs = append(message.Runs, next.request)
	}
	*waiting = (*waiting)[taken:]
	if len(message.Runs) == 0 {
		return nil
	}
	message.Header, s.head = s.head, nil
	return message
}

// fateOfResult is what one result says, as the answer of RunJob would say it.
func fateOfResult(result *semelv1.SubmitResult, header *semelv1.ResponseHeader) fate {
	if status := result.GetRefused(); status != nil {
		return fate{refused: refusalOfStatus(status)}
	}
	run := result.GetRun()
	if run == nil {
		return fate{refused: localRefusal(codes.OK, originOther,
			"the answer says neither yes nor no; the server may be newer than this client")}
	}
	return fate{response: &semelv1.RunJobResponse{
		Header: &semelv1.ResponseHeader{
			RequestId:      result.GetRequestId(),
			Auth:           header.GetAuth(),
			Disposition:    run.GetDisposition(),
			ExecuteTime:    run.GetExecuteTime(),
			SafeRetryUntil: run.GetSafeRetryUntil(),
			Arrivals:       run.GetArrivals(),
			Revision:       run.GetRevision(),
			ServerTime:     header.GetServerTime(),
			ServerId:       header.GetServerId(),
			ServerVersion:  header.GetServerVersion(),
		},
		RunId:      run.GetRunId(),
		State:      run.GetState(),
		Existing:   run.GetExisting(),
		CreateTime: run.GetCreateTime(),
	}}
}
