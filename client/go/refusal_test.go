package semel

// Tests of what is read off a refusal.

import (
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"semel.dev/go/semelv1"
)

func statusWith(t *testing.T, details ...proto.Message) *statuspb.Status {
	t.Helper()
	s := &statuspb.Status{Code: int32(codes.Unavailable), Message: "busy"}
	for _, detail := range details {
		packed, err := anypb.New(detail)
		if err != nil {
			t.Fatal(err)
		}
		s.Details = append(s.Details, packed)
	}
	return s
}

func TestRefusalOfAServer(t *testing.T) {
	r := refusalOfStatus(statusWith(t,
		&semelv1.ResponseHeader{Auth: &semelv1.AuthResult{Status: semelv1.AuthStatus(1)}},
		&errdetails.ErrorInfo{Domain: errorDomain, Reason: ReasonOverloaded},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}))
	if r.origin != originServer || r.reason() != ReasonOverloaded || r.retryDelay != time.Second || !r.nothingHappened() {
		t.Errorf("read %+v", r)
	}
}

func TestAReasonWithoutAWordOnTheCredentialsIsNoServers(t *testing.T) {
	r := refusalOfStatus(statusWith(t, &semelv1.ResponseHeader{},
		&errdetails.ErrorInfo{Domain: errorDomain, Reason: ReasonOverloaded}))
	if r.origin != originOther || r.reason() != "" || r.header != nil || r.nothingHappened() {
		t.Errorf("read %+v", r)
	}
}

func TestAnUnknownDetailIsPassedOver(t *testing.T) {
	s := statusWith(t)
	s.Details = []*anypb.Any{{TypeUrl: "type.googleapis.com/semel.v9.Unknown", Value: []byte{1}}}
	if r := refusalOfStatus(s); r.code != codes.Unavailable || r.message != "busy" {
		t.Errorf("read %+v", r)
	}
}

func TestPushback(t *testing.T) {
	for text, want := range map[string]pushback{"250": pushbackAfter, "-1": pushbackNever, "soon": pushbackNever} {
		var r refusal
		r.takePushback(metadata.Pairs("grpc-retry-pushback-ms", text))
		if r.pushback != want {
			t.Errorf("%q: read %v, want %v", text, r.pushback, want)
		}
	}
	var r refusal
	if r.takePushback(nil); r.pushback != pushbackNone {
		t.Errorf("no push-back: read %v", r.pushback)
	}
}
