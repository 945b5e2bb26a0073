package semel

import (
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"semel.dev/go/semelv1"
)

// refusedBy is a Semel server's refusal, as it comes over the wire.
func refusedBy(t *testing.T, code codes.Code, reason string, more ...proto.Message) *refusal {
	t.Helper()
	header := &semelv1.ResponseHeader{
		Auth:       &semelv1.AuthResult{Status: semelv1.AuthStatus_AUTH_STATUS_PASSED},
		ServerTime: timestamppb.New(time.Unix(1_700_000_000, 0)),
	}
	status := &statuspb.Status{Code: int32(code), Message: "no"} //nolint:gosec // a code is small
	details := append([]proto.Message{header, &errdetails.ErrorInfo{Reason: reason, Domain: errorDomain}}, more...)
	for _, detail := range details {
		packed, err := anypb.New(detail)
		if err != nil {
			t.Fatal(err)
		}
		status.Details = append(status.Details, packed)
	}
	return refusalOfStatus(status)
}

func TestWhatFollowsFromARefusal(t *testing.T) {
	delay := &errdetails.RetryInfo{RetryDelay: durationpb.New(700 * time.Millisecond)}
	never := refusedBy(t, codes.Unavailable, ReasonDraining)
	never.pushback = pushbackNever
	first := progress{attempts: 1, canRefresh: true}
	for name, c := range map[string]struct {
		refused  *refusal
		progress progress
		decision decision
		wait     time.Duration
	}{
		"draining passes":                    {refusedBy(t, codes.Unavailable, ReasonDraining), first, again, 0},
		"overload passes after the delay":    {refusedBy(t, codes.ResourceExhausted, ReasonOverloaded, delay), first, again, delay.RetryDelay.AsDuration()},
		"a quota without a delay is final":   {refusedBy(t, codes.ResourceExhausted, "QUOTA_EXCEEDED"), first, giveUp, 0},
		"an unknown outcome passes":          {refusedBy(t, codes.DeadlineExceeded, ReasonOutcomeUnknown), first, again, 0},
		"pushback forbids":                   {never, first, giveUp, 0},
		"expired credentials are renewed":    {refusedBy(t, codes.Unauthenticated, "CREDENTIALS_EXPIRED"), first, refresh, 0},
		"and once only":                      {refusedBy(t, codes.Unauthenticated, "CREDENTIALS_EXPIRED"), progress{attempts: 2, canRefresh: true, refreshed: true}, giveUp, 0},
		"a token cannot be renewed":          {refusedBy(t, codes.Unauthenticated, "CREDENTIALS_EXPIRED"), progress{attempts: 1}, giveUp, 0},
		"a reused id is a bug":               {refusedBy(t, codes.FailedPrecondition, ReasonRequestIDReused), first, giveUp, 0},
		"an id of the future is minted anew": {refusedBy(t, codes.InvalidArgument, ReasonRequestIDInFuture), first, mintAnew, 0},
		"but not one that was given":         {refusedBy(t, codes.InvalidArgument, ReasonRequestIDInFuture), progress{attempts: 1, idGiven: true}, giveUp, 0},
		"nor where an attempt is open":       {refusedBy(t, codes.FailedPrecondition, ReasonRequestIDExpired), progress{attempts: 2, outcomeOpen: true}, giveUp, 0},
		"a proxy's UNAUTHENTICATED is final": {localRefusal(codes.Unauthenticated, originOther, "no"), first, giveUp, 0},
		"a proxy's UNAVAILABLE passes":       {localRefusal(codes.Unavailable, originOther, "no"), first, again, 0},
		"no answer passes":                   {localRefusal(codes.DeadlineExceeded, originNoAnswer, "no"), first, again, 0},
		"a strange OK is a fault":            {localRefusal(codes.OK, originOther, "no"), progress{attempts: 1, faults: 1}, again, 0},
		"the third fault is the last":        {localRefusal(codes.Internal, originOther, "no"), progress{attempts: 3, faults: 3}, giveUp, 0},
		"the last attempt is the last":       {refusedBy(t, codes.Unavailable, ReasonDraining), progress{attempts: 64}, giveUp, 0},
		"another reason goes by its code":    {refusedBy(t, codes.Unavailable, "OF_A_LATER_SERVER"), first, again, 0},
	} {
		decision, wait := decide(c.refused, &c.progress, 64)
		if decision != c.decision || wait != c.wait {
			t.Errorf("%s: expected %d after %s, got %d after %s", name, c.decision, c.wait, decision, wait)
		}
	}
}

func TestWhetherSomethingMayHaveHappened(t *testing.T) {
	for name, c := range map[string]struct {
		refused *refusal
		nothing bool
	}{
		"a server said no":         {refusedBy(t, codes.PermissionDenied, "FORBIDDEN"), true},
		"a server does not know":   {refusedBy(t, codes.DeadlineExceeded, ReasonOutcomeUnknown), false},
		"nothing was sent":         {localRefusal(codes.Unavailable, originNotSent, ""), true},
		"nobody answered":          {localRefusal(codes.Unavailable, originNoAnswer, ""), false},
		"somebody on the way said": {localRefusal(codes.Unavailable, originOther, ""), false},
	} {
		if c.refused.nothingHappened() != c.nothing {
			t.Errorf("%s: expected %t", name, c.nothing)
		}
	}
}

func TestBackoffDoublesUpToItsBound(t *testing.T) {
	pace := RetryOptions{}.withDefaults()
	for retry, most := range map[int]time.Duration{1: 50 * time.Millisecond, 2: 100 * time.Millisecond, 50: 5 * time.Second} {
		if wait := pace.backoff(retry, 0.999999); wait > most || wait < most*9/10 {
			t.Errorf("retry %d: expected about %s, got %s", retry, most, wait)
		}
		if wait := pace.backoff(retry, 0); wait != 0 {
			t.Errorf("retry %d: full jitter begins at nothing, got %s", retry, wait)
		}
	}
}
