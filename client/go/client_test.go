package semel

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"semel.dev/go/internal/uuidv7"
	"semel.dev/go/semelv1"
)

func TestTheClockFollowsTheServerByTheHalfWayMoment(t *testing.T) {
	local := time.Unix(1_700_000_000, 0)
	clock := serverClock{wall: func() time.Time { return local }}
	if !clock.now().Equal(local) {
		t.Fatal("before anything was learnt it is this machine's")
	}
	hourAgo := &semelv1.ResponseHeader{ServerTime: timestamppb.New(local.Add(-time.Hour))}
	clock.learn(hourAgo, 2*time.Second)
	if offset := clock.now().Sub(local); offset != time.Second-time.Hour {
		t.Errorf("expected the server an hour behind, less half the way, got %s", offset)
	}
	clock.learn(&semelv1.ResponseHeader{}, 0)
	if offset := clock.now().Sub(local); offset != time.Second-time.Hour {
		t.Errorf("a header without a time teaches nothing, got %s", offset)
	}
}

func TestAnIDIsAUUIDOfVersion7(t *testing.T) {
	// RFC 9562, appendix A.6: 0x017F22E279B0, 0xCC3, 0x18C4DC0C0C07398F.
	random := [10]byte{0x03, 0x30, 0xd8, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f}
	if id := uuidv7.Of(0x017f22e279b0, random); id.String() != "017f22e2-79b0-7cc3-98c4-dc0c0c07398f" {
		t.Errorf("expected the example of the RFC, got %s", id)
	}
	id := uuidv7.Mint(time.UnixMilli(1_750_000_000_123))
	seconds, nanos := id.Time().UnixTime()
	if id.Version() != 7 || time.Unix(seconds, nanos).UnixMilli() != 1_750_000_000_123 {
		t.Errorf("expected version 7 and its time, got %s", id)
	}
}

func TestTheServiceConfigIsTheOneOfAllClients(t *testing.T) {
	shared, err := os.ReadFile("../service_config.json")
	if err != nil {
		t.Skip("outside of a checkout there is no other copy")
	}
	if string(shared) != ServiceConfig() {
		t.Error("service_config.json is not client/service_config.json any more: copy it")
	}
}

func TestCredentialsDoNotTravelWhereOthersCouldReadThem(t *testing.T) {
	secret := WithSecret("pay", "hush")
	for _, fine := range []string{
		"http://127.0.0.1:1", "http://127.3.2.1:1", "http://[::1]:1", "http://localhost:1", "https://semel:1", "unix:/run/semel.sock",
	} {
		if _, err := New(fine, secret); err != nil {
			t.Errorf("%s: %v", fine, err)
		}
	}
	for _, open := range []string{"http://semel:1", "http://10.0.0.1:1", "http://[fe80::1]:1", "http://localhost.example:1"} {
		var known *Error
		_, err := New(open, secret)
		if !errors.As(err, &known) || known.Kind != KindUsage || strings.Contains(known.Message, "hush") {
			t.Errorf("%s: expected a mistake of usage, got %v", open, err)
		}
		if _, err := New(open, secret, WithPlaintextAllowed()); err != nil {
			t.Errorf("%s, allowed: %v", open, err)
		}
		if _, err := New(open); err != nil {
			t.Errorf("%s, nothing to lose: %v", open, err)
		}
	}
	if _, err := New("ftp://127.0.0.1:1"); err == nil {
		t.Error("expected a mistake of usage")
	}
}

func TestASecretNeverShows(t *testing.T) {
	client, err := New("http://127.0.0.1:1", WithSecret("pay", "hush"))
	if err != nil {
		t.Fatal(err)
	}
	if shown := fmt.Sprintf("%v %+v %#v", client.config, client.config, client.auth); strings.Contains(shown, "hush") {
		t.Error("the secret shows")
	}
}

func TestLeasesHoldFromTheSendingOfWhatWasAnswered(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	at := func(seconds int) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	l := newLease(now)
	l.opened(&semelv1.Opened{}, now, now)
	l.sent(at(5))
	l.sent(at(10))
	if l.justLost(at(30)) || !l.justLost(at(31)) || l.justLost(at(32)) {
		t.Error("expected the leases to be lost once, after 30 s without an answer")
	}
	l.answered()
	if l.justLost(at(35)) || !l.justLost(at(36)) {
		t.Error("expected the answer to hold from the sending of the first heartbeat")
	}
}

func TestWhatIsReportedOfAHandlersEnd(t *testing.T) {
	failed := errors.New("boom")
	for name, c := range map[string]struct {
		stop    stopReason
		err     error
		outcome string
	}{
		"well":                        {stopNo, nil, "succeeded"},
		"badly":                       {stopNo, failed, "failed"},
		"well, though told to stop":   {stopCancelled, nil, "succeeded"},
		"stopped when cancelled":      {stopCancelled, failed, "cancelled"},
		"stopped for the shutdown":    {stopDraining, failed, "released"},
		"stopped for a lost lease":    {stopLeaseLost, failed, "released"},
		"over, whatever became of it": {stopOver, nil, ""},
	} {
		if outcome := outcomeOf(reportOf(c.stop, nil, c.err)); outcome != c.outcome {
			t.Errorf("%s: expected %q, got %q", name, c.outcome, outcome)
		}
	}
	told := reportOf(stopNo, nil, fmt.Errorf("no card: %w", Permanent(failed))).GetFailed()
	if !told.GetPermanent() || told.GetError() != "no card: boom" {
		t.Errorf("expected a permanent failure with its text, got %v", told)
	}
	wait := reportOf(stopNo, nil, RetryAfter(failed, time.Minute)).GetFailed().GetRetryAfter().AsDuration()
	if wait != time.Minute {
		t.Errorf("expected a wait of a minute, got %s", wait)
	}
	if long := shortened(strings.Repeat("ä", 5000), reportErrorMax); len([]rune(long)) != reportErrorMax {
		t.Errorf("expected %d characters, got %d", reportErrorMax, len([]rune(long)))
	}
}
