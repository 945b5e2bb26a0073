package semel

// The way to the stream, as runs see it: whether it is to be had, and what came back. It keeps the stream, opens it when
// there is something to send, and says what becomes of whatever waits for it when it is not to be had. What goes over an
// open stream stands in submit_session.go.

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"semel.dev/go/semelv1"
)

const (
	// How long runs do without a stream that broke in a way that calls do not: so long for the first time, and twice as
	// long for each further one, up to a bound. Something on the way may have hiccuped, or may never let a stream live.
	pipeOffFirst = 250 * time.Millisecond
	// The bound; and a stream that has lived so long was a good one.
	pipeOffMax = 30 * time.Second
	// How long they do without the stream of a server that does not know the method.
	pipeOffUnknown = 5 * time.Minute
	// A larger run goes by a call of its own: its neighbours should not wait for it.
	pipeItemBytesMax = 256 << 10
)

// pipe leads to the one stream of a SubmitMany.
type pipe struct {
	client *Client
	stall  time.Duration // for how long nothing may come back before the stream counts as broken
	items  chan *item

	mu       sync.Mutex
	offUntil time.Time
	offTimes int
}

// item is one attempt of one run that waits for the stream.
type item struct {
	request   *semelv1.RunJobRequest
	requestID string
	bytes     int
	sig       signature
	fate      chan fate     // takes one, without waiting
	gone      chan struct{} // closed when nobody waits for it any more
}

// fate is what became of an attempt over the stream: an answer, a refusal, or that the stream is not to be had, so that a
// call is to be made instead.
type fate struct {
	response *semelv1.RunJobResponse
	refused  *refusal
	notHad   bool
	wasSent  bool
}

func (f fate) answer() (answer, *refusal) {
	if f.refused != nil {
		return nil, f.refused
	}
	return f.response, nil
}

func newPipe(c *Client) *pipe {
	// Half of the time is left for a call. No more than outstandingMax wait at a time, so the queue always has room.
	return &pipe{client: c, stall: c.config.requestTimeout / 2, items: make(chan *item, outstandingMax+1)}
}

// offer puts an attempt in line; nil if the stream is not to be had for it.
func (p *pipe) offer(l *logical, sig signature) *item {
	request := l.request.(*semelv1.RunJobRequest)
	// The stream says once who sends.
	request = &semelv1.RunJobRequest{
		Header:    &semelv1.RequestHeader{RequestId: l.requestID},
		App:       request.App,
		Job:       request.Job,
		Payload:   request.Payload,
		Labels:    request.Labels,
		Priority:  request.Priority,
		StartTime: request.StartTime,
		Deadline:  request.Deadline,
		UniqueKey: request.UniqueKey,
	}
	bytes := proto.Size(request)
	if bytes > pipeItemBytesMax || p.isOff() {
		return nil
	}
	offered := &item{request: request, requestID: l.requestID, bytes: bytes, sig: sig,
		fate: make(chan fate, 1), gone: make(chan struct{})}
	select {
	case p.items <- offered:
		return offered
	default:
		return nil
	}
}

// await waits for what becomes of the attempt.
func (i *item) await(ctx context.Context) fate {
	select {
	case fate := <-i.fate:
		return fate
	case <-ctx.Done():
		close(i.gone)
		return fate{refused: localRefusal(codes.DeadlineExceeded, originNoAnswer, "no answer came within the request timeout")}
	}
}

func (i *item) isGone() bool {
	select {
	case <-i.gone:
		return true
	default:
		return false
	}
}

// run keeps the stream until the context ends.
func (p *pipe) run(ctx context.Context) {
	var waiting []*item
	for {
		if len(waiting) == 0 {
			select {
			case next := <-p.items:
				waiting = append(waiting, next)
			case <-ctx.Done():
				return
			}
		}
		sig := waiting[0].sig
		session, refused := openSession(ctx, p, sig)
		if refused != nil {
			p.client.log.Debug("the stream for runs did not open", "code", refused.code, "message", refused.message)
			fate := p.fateOf(refused, false)
			for _, item := range p.takeAll(waiting) {
				// Whoever holds a fresher token than the one that was refused has nothing to do with it.
				if item.sig.generation <= sig.generation {
					item.fate <- fate
				} else {
					item.fate <- notHad(false)
				}
			}
			waiting = nil
			continue
		}
		var ended sessionEnd
		waiting, ended = session.live(ctx, waiting)
		session.close()
		waiting = p.settle(session, ended, waiting)
		if ctx.Err() != nil {
			return
		}
	}
}

func notHad(wasSent bool) fate { return fate{notHad: true, wasSent: wasSent} }

// settle tells those without an answer what to do, after a stream has ended. Gives back those that still wait for one.
func (p *pipe) settle(s *session, ended sessionEnd, waiting []*item) []*item {
	if s.hasServed && time.Since(s.openedAt) >= pipeOffMax {
		p.forgive()
	}
	unanswered, next := notHad(true), fate{}
	switch {
	case ended.refused != nil:
		p.client.log.Debug("the stream for runs has ended", "code", ended.refused.code, "message", ended.refused.message)
		unanswered = p.fateOf(ended.refused, s.hasServed)
		next = unanswered
		next.wasSent = false
	case ended.broken != "":
		p.client.log.Warn("the stream for runs is broken; they go on one by one", "why", ended.broken)
		p.switchOff()
		for _, item := range p.takeAll(waiting) {
			item.fate <- notHad(false)
		}
		waiting = nil
	default:
		return waiting // it idled
	}
	for _, item := range s.outstanding {
		item.fate <- unanswered
	}
	if !s.hasServed {
		// The next stream would fare no better at once.
		for _, item := range waiting {
			item.fate <- next
		}
		waiting = nil
	}
	return waiting
}

// fateOf is what a refusal of the stream means for its items. Credentials and what may pass are theirs as well; anything
// else is about the stream alone, and each of them learns by a call of its own how it stands itself.
func (p *pipe) fateOf(r *refusal, hasServed bool) fate {
	class, _ := classify(r)
	switch {
	case class == classCredentials:
		return fate{refused: r}
	case class == classPassing && (hasServed || r.origin == originServer || r.origin == originNotSent):
		return fate{refused: r}
	case r.code == codes.Unimplemented:
		p.switchOffFor(pipeOffUnknown)
	default:
		p.switchOff()
	}
	return notHad(true)
}

func (p *pipe) takeAll(waiting []*item) []*item {
	for {
		select {
		case next := <-p.items:
			waiting = append(waiting, next)
		default:
			return waiting
		}
	}
}

func (p *pipe) isOff() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Before(p.offUntil)
}

// switchOff lets runs do without the stream, for longer each time.
func (p *pipe) switchOff() {
	p.mu.Lock()
	defer p.mu.Unlock()
	span := pipeOffMax
	if p.offTimes < 7 {
		span = min(pipeOffFirst<<p.offTimes, pipeOffMax)
	}
	p.offUntil = time.Now().Add(span)
	p.offTimes++
}

func (p *pipe) switchOffFor(span time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offUntil = time.Now().Add(span)
}

// forgive lets what went wrong before count no longer.
func (p *pipe) forgive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offTimes = 0
}
