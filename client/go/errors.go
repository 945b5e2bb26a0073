package semel

// The one error of this package. It owns what a caller can learn from a failed call and decides nothing.

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"semel.dev/go/semelv1"
)

// Kind says who is behind an [Error].
type Kind string

const (
	// KindRefused: a Semel server refused the call; see the reason.
	KindRefused Kind = "refused"
	// KindNotSemel: somebody answered, but no Semel server: a proxy, a wrong address, a lost header. What became of the
	// call is not known; sending it again under the same id is safe.
	KindNotSemel Kind = "not_semel"
	// KindTransport: nobody answered: no connection, a lost one, or a time-out. What became of the call is not known;
	// sending it again under the same id is safe.
	KindTransport Kind = "transport"
	// KindUsage: the call was not sent, for the way it was made is wrong.
	KindUsage Kind = "usage"
	// KindCancelled: the caller gave up, by cancelling its context. What became of the call is not known.
	KindCancelled Kind = "cancelled"
)

// Violation is one thing that is wrong with a request.
type Violation struct {
	// Field is the path of the field, for instance `spec.processor`.
	Field string
	// Description says what is wrong with it.
	Description string
}

// Error is why a call failed, after everything that may be tried was tried. It unwraps to [context.Canceled] or
// [context.DeadlineExceeded] where the caller's context or the overall timeout ended the call, and gRPC's own
// status.FromError understands it.
type Error struct {
	// Kind says who is behind it.
	Kind Kind
	// Code is the gRPC status code.
	Code codes.Code
	// Reason is the reason that a Semel server gave, for instance [ReasonRequestIDReused]; empty if none did.
	Reason string
	// Message is for people, as the server wrote it.
	Message string
	// AuthStatus is what became of the credentials. Unspecified means that no Semel server spoke: it is no verdict.
	AuthStatus semelv1.AuthStatus
	// MayRetry says whether the same request may be sent again as it stands, under the same id, with some hope. It is
	// false where something has to be mended first: the credentials, the id, a field.
	MayRetry bool
	// RequestID is the id under which the call was made: for sending it again, or to ask what became of it. Empty if it
	// was never made.
	RequestID string
	// Attempts is how often the call was sent, apart from what gRPC sent again by itself.
	Attempts int
	// Violations is what is wrong with the request.
	Violations []Violation
	// Metadata is what the reason adds, for instance the first field that differs.
	Metadata map[string]string
	// RetryAfter is how long the server wishes to be left alone; zero if it did not say.
	RetryAfter time.Duration
	// Header is that of the refusal; nil if no Semel server spoke.
	Header *semelv1.ResponseHeader

	causes []error
}

// Error says what happened, with the reason first where there is one, and the request id.
func (e *Error) Error() string {
	if e.Kind == KindUsage {
		return "semel: " + e.Message
	}
	text := e.Message
	switch {
	case e.Reason != "":
		text = e.Reason + ": " + text
	case e.Kind == KindNotSemel:
		text = "no Semel server answered: " + text
	}
	return fmt.Sprintf("semel: %s (%s, request %s, sent %d times)", text, e.Code, e.RequestID, e.Attempts)
}

// Unwrap gives the context's error and its cause, where the context ended the call.
func (e *Error) Unwrap() []error { return e.causes }

// GRPCStatus is the code and the message as a gRPC status.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Code, e.Error()) }

// OldestRevision is the oldest revision that the server keeps, from which a watch can begin; only with
// [ReasonResumeCompacted].
func (e *Error) OldestRevision() (revision int64, ok bool) {
	revision, err := strconv.ParseInt(e.Metadata["oldest_revision"], 10, 64)
	return revision, err == nil && e.Reason == ReasonResumeCompacted
}

// ReasonOf is the reason that a Semel server gave for this error; empty if it gave none.
func ReasonOf(err error) string {
	if e := asError(err); e != nil {
		return e.Reason
	}
	return ""
}

// RequestIDOf is the request id of the call that failed with this error; empty if it never had one.
func RequestIDOf(err error) string {
	if e := asError(err); e != nil {
		return e.RequestID
	}
	return ""
}

// MayRetry says whether the call may be sent again as it stands, under the same id; see [Error].
func MayRetry(err error) bool {
	e := asError(err)
	return e != nil && e.MayRetry
}

func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// newError makes an error of the last refusal of a call.
func newError(r *refusal, requestID string, attempts int) *Error {
	class, wait := classify(r)
	e := &Error{
		Kind:       kindOf(r.origin),
		Code:       r.code,
		Reason:     r.reason(),
		Message:    r.message,
		AuthStatus: r.header.GetAuth().GetStatus(),
		MayRetry:   class.isHopeful(),
		RequestID:  requestID,
		Attempts:   attempts,
		RetryAfter: wait,
		Header:     r.header,
	}
	if e.Reason != "" {
		e.Metadata = r.info.GetMetadata()
	}
	for _, violation := range r.badRequest.GetFieldViolations() {
		e.Violations = append(e.Violations, Violation{violation.GetField(), violation.GetDescription()})
	}
	return e
}

func kindOf(origin origin) Kind {
	switch origin {
	case originServer:
		return KindRefused
	case originOther:
		return KindNotSemel
	}
	return KindTransport
}

// usageError is of a call that was not sent.
func usageError(format string, args ...any) *Error {
	return &Error{Kind: KindUsage, Code: codes.InvalidArgument, Message: fmt.Sprintf(format, args...)}
}

// cancelledError is of a call whose caller has cancelled its context.
func cancelledError(ctx context.Context, requestID string, attempts int) *Error {
	e := &Error{
		Kind:      KindCancelled,
		Code:      codes.Canceled,
		Message:   "the caller has cancelled the call; ask what became of it under its request id",
		MayRetry:  true,
		RequestID: requestID,
		Attempts:  attempts,
	}
	return e.causedBy(ctx)
}

// causedBy notes that the context ended the call.
func (e *Error) causedBy(ctx context.Context) *Error {
	if err := ctx.Err(); err != nil {
		e.causes = append(e.causes, err)
		if cause := context.Cause(ctx); cause != err {
			e.causes = append(e.causes, cause)
		}
	}
	return e
}

// ofCall is the same error, as that of another call which could not go on without the failed one.
func (e *Error) ofCall(requestID string) *Error {
	other := *e
	other.RequestID = requestID
	return &other
}
