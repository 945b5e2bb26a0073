package semel

// The one way of a logical call: its header is filled once, then it is attempted until it has an answer, a refusal that
// binds, or no time left. What a refusal means is decided in retry.go.

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"semel.dev/go/semelv1"
)

type (
	fieldDescriptor = protoreflect.FieldDescriptor
	reflectValue    = protoreflect.Value
)

// question and answer are the messages of unary methods.
type question interface {
	proto.Message
	GetHeader() *semelv1.RequestHeader
}

type answer interface {
	proto.Message
	GetHeader() *semelv1.ResponseHeader
}

// logical is a call that is ready to be made.
type logical struct {
	method      string
	request     question // a copy of the caller's, with a header of its own
	newResponse func() answer
	// attempt sends it once.
	attempt func(ctx context.Context, l *logical, sig signature) (answer, *refusal)

	requestID      string
	idGiven        bool
	unsigned       bool // the request holds the credentials itself
	serverWait     time.Duration
	requestTimeout time.Duration
	overallTimeout time.Duration
	info           *CallInfo
}

// call makes a call of a unary method.
func call[R any, P interface {
	*R
	answer
}](ctx context.Context, c *Client, method string, request question, options []CallOption) (P, error) {
	l, err := c.prepare(method, request, options)
	if err != nil {
		return nil, err
	}
	l.newResponse = func() answer { return P(new(R)) }
	response, err := c.make(ctx, l)
	if err != nil {
		return nil, err
	}
	return response.(P), nil
}

// prepare completes a request, in a copy.
func (c *Client) prepare(method string, request question, options []CallOption) (*logical, error) {
	if request == nil || !request.ProtoReflect().IsValid() {
		return nil, usageError("the request is nil")
	}
	var o callConfig
	for _, option := range options {
		option.applyCall(&o)
	}
	copied := clone(request).(question)
	l := &logical{
		method:         method,
		request:        copied,
		attempt:        c.unary,
		serverWait:     serverWait(copied),
		requestTimeout: c.config.requestTimeout,
		overallTimeout: c.config.overallTimeout,
		info:           o.info,
	}
	if o.requestTimeout > 0 {
		l.requestTimeout = o.requestTimeout
	}
	if o.overallTimeout > 0 {
		l.overallTimeout = o.overallTimeout
	}
	l.requestTimeout += l.serverWait
	l.overallTimeout += l.serverWait
	c.fillApp(copied)
	l.unsigned = c.fillCredentials(copied)
	return l, c.fillHeader(l, request.GetHeader(), o.requestID)
}

func (c *Client) fillHeader(l *logical, given *semelv1.RequestHeader, requestID string) error {
	inHeader := given.GetRequestId()
	switch {
	case requestID != "" && inHeader != "" && requestID != inHeader:
		return usageError("the call has two request ids: one of its options, another in its header")
	case requestID == "":
		requestID = inHeader
	}
	l.idGiven = requestID != ""
	if !l.idGiven {
		requestID = c.MintRequestID().String()
	}
	client := given.GetClient()
	if client == nil {
		client = c.info
	}
	setHeader(l.request, &semelv1.RequestHeader{RequestId: requestID, Client: client})
	l.requestID = requestID
	return nil
}

func setHeader(request question, header *semelv1.RequestHeader) {
	message := request.ProtoReflect()
	field := message.Descriptor().Fields().ByName("header")
	message.Set(field, protoreflect.ValueOfMessage(header.ProtoReflect()))
}

// fillApp puts in the client's app where an empty one means the app of the caller. What an app is created, updated or
// deleted by has to name it.
func (c *Client) fillApp(request question) {
	switch request.(type) {
	case *semelv1.CreateAppRequest, *semelv1.UpdateAppRequest, *semelv1.DeleteAppRequest:
		return
	}
	message := request.ProtoReflect()
	field := message.Descriptor().Fields().ByName("app")
	if c.config.app != "" && field != nil && message.Get(field).String() == "" {
		message.Set(field, protoreflect.ValueOfString(c.config.app))
	}
}

// fillCredentials puts the client's app and secret into a request which asks for a token and names none. Says whether the
// request holds the credentials itself, and so is sent without any others.
func (c *Client) fillCredentials(request question) (unsigned bool) {
	issue, ok := request.(*semelv1.IssueTokenRequest)
	if !ok {
		return false
	}
	a := c.auth
	if issue.Secret == "" && a.canRefresh() && (issue.App == "" || issue.App == a.app || issue.App == c.config.app) {
		issue.App, issue.Secret = a.app, a.secret.reveal()
	}
	return issue.Secret != ""
}

// serverWaitMax is the longest time for which a server waits, and how long it waits for a run if the request does not say.
const serverWaitMax = 60 * time.Second

// serverWait is how long the request asks the server to wait before it answers.
func serverWait(request question) time.Duration {
	var asked *durationpb.Duration
	switch request := request.(type) {
	case *semelv1.WaitRunRequest:
		if asked = request.GetTimeout(); asked == nil {
			return serverWaitMax
		}
	case *semelv1.GetRunLogsRequest:
		asked = request.GetWait()
	}
	return min(max(asked.AsDuration(), 0), serverWaitMax)
}

// make attempts a call until it has an answer, or a refusal that binds, or no time left.
func (c *Client) make(caller context.Context, l *logical) (answer, error) {
	ctx, cancel := context.WithTimeout(caller, l.overallTimeout)
	defer cancel()
	a := &attempts{client: c, logical: l, caller: caller, ctx: ctx}
	a.progress.idGiven = l.idGiven
	a.progress.canRefresh = c.auth.canRefresh() && !l.unsigned
	response, err := a.run()
	if l.info != nil {
		*l.info = CallInfo{RequestID: l.requestID, Attempts: a.progress.attempts}
	}
	if err != nil {
		return nil, err
	}
	return response, nil
}

// attempts is the loop of one logical call: what was tried, and what follows.
type attempts struct {
	client   *Client
	logical  *logical
	caller   context.Context
	ctx      context.Context
	progress progress
	// The last reason that the server gave: the last attempt of all may be cut short by the end of the time, and its
	// time-out says little of what went wrong.
	lastReason string
}

func (a *attempts) run() (answer, error) {
	sig, err := a.sign()
	if err != nil {
		return nil, a.unsigned(err)
	}
	for {
		response, refused := a.once(sig)
		if refused == nil {
			return response, nil
		}
		if a.caller.Err() == context.Canceled {
			return nil, cancelledError(a.caller, a.logical.requestID, a.progress.attempts)
		}
		decision, wait := a.decide(refused)
		switch decision {
		case giveUp:
			return nil, a.giveUp(refused)
		case again:
			if err := a.pause(wait, refused); err != nil {
				return nil, err
			}
			sig, err = a.sign()
		case refresh:
			sig, err = a.client.auth.refresh(a.ctx, sig.generation)
		case mintAnew:
			a.mintAnew()
		}
		if err != nil {
			return nil, a.unsigned(err)
		}
	}
}

func (a *attempts) sign() (signature, error) {
	if a.logical.unsigned {
		return signature{}, nil
	}
	return a.client.auth.sign(a.ctx)
}

func (a *attempts) once(sig signature) (answer, *refusal) {
	ctx, cancel := context.WithTimeout(a.ctx, a.logical.requestTimeout)
	defer cancel()
	a.progress.attempts++
	return a.logical.attempt(ctx, a.logical, sig)
}

// decide says what to do about a refused attempt, and remembers it.
func (a *attempts) decide(r *refusal) (decision, time.Duration) {
	p := &a.progress
	if class, _ := classify(r); class == classFault {
		p.faults++
	}
	p.outcomeOpen = p.outcomeOpen || r.resent
	decision, wait := decide(r, p, a.client.config.retry.AttemptsMax)
	a.client.log.Debug("an attempt was refused", "method", a.logical.method, "request_id", a.logical.requestID,
		"attempt", p.attempts, "code", r.code, "reason", r.reason(), "message", r.message)
	if reason := r.reason(); reason != "" {
		a.lastReason = reason
	}
	p.outcomeOpen = p.outcomeOpen || !r.nothingHappened()
	p.refreshed = p.refreshed || decision == refresh
	return decision, wait
}

// pause waits before the next attempt, or gives up if the time does not suffice.
func (a *attempts) pause(atLeast time.Duration, r *refusal) error {
	wait := atLeast + a.client.config.retry.backoff(a.progress.attempts, rand.Float64())
	if deadline, ok := a.ctx.Deadline(); ok && wait >= time.Until(deadline) {
		err := a.giveUp(r)
		if len(err.causes) == 0 {
			err.causes = []error{context.DeadlineExceeded}
		}
		return err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-a.ctx.Done():
		return endedError(a.caller, a.logical.requestID, a.progress.attempts)
	}
}

// mintAnew makes a fresh id by the clock that was just learnt: the former one was refused for its time, and never
// executed.
func (a *attempts) mintAnew() {
	a.logical.requestID = a.client.MintRequestID().String()
	header := a.logical.request.GetHeader()
	setHeader(a.logical.request, &semelv1.RequestHeader{RequestId: a.logical.requestID, Client: header.GetClient()})
	a.progress.mintedAnew = true
}

// giveUp is the error for the caller.
func (a *attempts) giveUp(r *refusal) *Error {
	err := newError(r, a.logical.requestID, a.progress.attempts)
	if r.origin == originNoAnswer && a.lastReason != "" {
		err.Message += "; an attempt before was refused with " + a.lastReason
	}
	return err.causedBy(a.ctx)
}

// unsigned is the error of a call for which there was no token to be had.
func (a *attempts) unsigned(err error) error {
	if a.caller.Err() == context.Canceled {
		return cancelledError(a.caller, a.logical.requestID, a.progress.attempts)
	}
	var failed *Error
	if errors.As(err, &failed) {
		return failed.ofCall(a.logical.requestID)
	}
	return err
}

// endedError is of a call whose context has ended while nothing was under way.
func endedError(caller context.Context, requestID string, attempts int) *Error {
	if caller.Err() == context.Canceled {
		return cancelledError(caller, requestID, attempts)
	}
	err := newError(localRefusal(codes.DeadlineExceeded, originNoAnswer, "the time of the call is over"), requestID, attempts)
	err.causes = []error{context.DeadlineExceeded}
	return err
}
