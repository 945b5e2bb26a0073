package semel

// What a refused call says. This file reads a gRPC status, or its like in a stream, into one value; whether to send the
// call again is decided in retry.go.

import (
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/anypb"

	"semel.dev/go/semelv1"
)

// errorDomain marks the reasons of a Semel server.
const errorDomain = "semel.v1"

// origin is who spoke.
type origin int

const (
	originOther    origin = iota // somebody on the way, or a server that is no Semel
	originServer                 // a Semel server
	originNotSent                // nobody: nothing was sent
	originNoAnswer               // nobody: the connection was lost, or no answer came in time
)

// pushback is what gRPC's own push-back says.
type pushback int

const (
	pushbackNone pushback = iota
	pushbackAfter
	pushbackNever
)

// refusal is a refusal, decoded: from the status of a call, or from an item of a stream.
type refusal struct {
	code    codes.Code
	message string
	origin  origin
	// The header. Only kept when it says what became of the credentials, for otherwise no Semel server wrote it.
	header        *semelv1.ResponseHeader
	info          *errdetails.ErrorInfo
	badRequest    *errdetails.BadRequest
	retryInfo     *errdetails.RetryInfo
	retryDelay    time.Duration
	pushback      pushback
	pushbackDelay time.Duration
	resent        bool // gRPC sent the attempt more than once by itself, so one more outcome may be open
}

// localRefusal is one that nobody sent.
func localRefusal(code codes.Code, origin origin, message string) *refusal {
	return &refusal{code: code, origin: origin, message: message}
}

// refusalOfStatus reads the status of a call, or the refusal of an item in a stream.
func refusalOfStatus(status *statuspb.Status) *refusal {
	r := &refusal{code: codes.Code(status.GetCode()), message: status.GetMessage()}
	for _, detail := range status.GetDetails() {
		r.takeDetail(detail)
	}
	return r
}

func (r *refusal) takeDetail(detail *anypb.Any) {
	message, err := detail.UnmarshalNew()
	if err != nil {
		return // a detail of a later version, or of somebody else
	}
	switch detail := message.(type) {
	case *semelv1.ResponseHeader:
		if r.header == nil && spoke(detail) {
			r.header, r.origin = detail, originServer
		}
	case *errdetails.ErrorInfo:
		if r.info == nil {
			r.info = detail
		}
	case *errdetails.BadRequest:
		if r.badRequest == nil {
			r.badRequest = detail
		}
	case *errdetails.RetryInfo:
		if r.retryInfo == nil {
			r.retryInfo, r.retryDelay = detail, max(detail.GetRetryDelay().AsDuration(), 0)
		}
	}
}

// takePushback reads gRPC's push-back: a number of milliseconds; anything else forbids to send again.
func (r *refusal) takePushback(trailer metadata.MD) {
	values := trailer.Get("grpc-retry-pushback-ms")
	if len(values) == 0 {
		return
	}
	ms, err := strconv.ParseUint(values[0], 10, 31)
	if err != nil || len(values) > 1 {
		r.pushback = pushbackNever
		return
	}
	r.pushback, r.pushbackDelay = pushbackAfter, time.Duration(ms)*time.Millisecond
}

// reason is the one that a Semel server gave, for instance NOT_FOUND; empty if none did.
func (r *refusal) reason() string {
	if r.origin != originServer || r.info.GetDomain() != errorDomain {
		return ""
	}
	return r.info.GetReason()
}

// hasDelay says whether the server asked to wait.
func (r *refusal) hasDelay() bool { return r.retryInfo != nil || r.pushback == pushbackAfter }

// nothingHappened says whether it is certain that the call took no effect: a Semel server said no, or nothing was sent.
// A time-out, a lost connection and a proxy's word leave it open.
func (r *refusal) nothingHappened() bool {
	switch r.origin {
	case originNotSent:
		return true
	case originServer:
		switch r.code {
		case codes.DeadlineExceeded, codes.Canceled, codes.Internal, codes.Unknown:
			return false
		}
		return true
	}
	return false
}

// spoke says whether a header shows that a Semel server wrote it. A verdict that this client does not know yet counts.
func spoke(header *semelv1.ResponseHeader) bool {
	return header.GetAuth().GetStatus() != semelv1.AuthStatus_AUTH_STATUS_UNSPECIFIED
}
