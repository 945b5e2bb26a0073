package semel_test

// Against a real server: SEMEL_BIN names a built one.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	semel "semel.dev/go"
	"semel.dev/go/semelv1"
)

// startServer starts a server in a folder of its own; gives its endpoint and the admin's secret.
func startServer(t *testing.T) (endpoint, admin string) {
	t.Helper()
	binary := os.Getenv("SEMEL_BIN")
	if binary == "" {
		if os.Getenv("SEMEL_REQUIRE_BIN") == "1" {
			t.Fatal("SEMEL_BIN names no built server")
		}
		t.Skip("SEMEL_BIN names no built server")
	}
	folder := t.TempDir()
	ready := filepath.Join(folder, "ready.json")
	data := filepath.Join(folder, "data")
	server := exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", data, "--ready-file", ready)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
	})
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(ready)
		if err != nil {
			continue
		}
		var is struct{ Address string }
		if err := json.Unmarshal(text, &is); err != nil {
			t.Fatal(err)
		}
		secret, err := os.ReadFile(filepath.Join(data, "admin-secret"))
		if err != nil {
			t.Fatal(err)
		}
		return "http://" + is.Address, strings.TrimSpace(string(secret))
	}
	t.Fatal("the server did not start")
	return "", ""
}

// pay is a client of the app pay, which has the job count.
func pay(t *testing.T) *semel.Client {
	t.Helper()
	endpoint, secret := startServer(t)
	admin := connect(t, endpoint, semel.WithToken(secret))
	app, err := admin.CreateApp(t.Context(), &semelv1.CreateAppRequest{App: "pay"})
	if err != nil {
		t.Fatal(err)
	}
	client := connect(t, endpoint, semel.WithApp("pay"), semel.WithSecret("pay", app.GetSecret()))
	spec := &semelv1.JobSpec{Processor: "count"}
	if _, err := client.CreateJob(t.Context(), &semelv1.CreateJobRequest{Job: "count", Spec: spec}); err != nil {
		t.Fatal(err)
	}
	return client
}

func connect(t *testing.T, endpoint string, options ...semel.Option) *semel.Client {
	t.Helper()
	client, err := semel.New(endpoint, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestACallMadeTwiceUnderOneIDTakesEffectOnce(t *testing.T) {
	client := pay(t)
	id := client.MintRequestID()
	request := &semelv1.RunJobRequest{Job: "count"}
	first, err := client.RunJob(t.Context(), request, semel.WithRequestID(id))
	if err != nil {
		t.Fatal(err)
	}
	again, err := client.RunJob(t.Context(), request, semel.WithRequestID(id))
	if err != nil || again.GetRunId() != first.GetRunId() {
		t.Fatalf("expected %s again, got %v, %v", first.GetRunId(), again, err)
	}
	if again.GetHeader().GetDisposition() != semelv1.Disposition_DISPOSITION_REPLAYED {
		t.Errorf("expected a replay, got %s", again.GetHeader().GetDisposition())
	}
	_, err = client.RunJob(t.Context(), &semelv1.RunJobRequest{Job: "count", Priority: new(int32)}, semel.WithRequestID(id))
	var refused *semel.Error
	if !errors.As(err, &refused) || refused.Reason != semel.ReasonRequestIDReused || refused.RequestID != id.String() {
		t.Errorf("expected REQUEST_ID_REUSED under the id, got %v", err)
	}
}

func TestACancelledCallIsFoundUnderItsID(t *testing.T) {
	client := pay(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	id := client.MintRequestID()
	_, err := client.RunJob(ctx, &semelv1.RunJobRequest{Job: "count"}, semel.WithRequestID(id))
	var ended *semel.Error
	if !errors.As(err, &ended) || ended.Kind != semel.KindCancelled || !errors.Is(err, context.Canceled) {
		t.Fatalf("expected that the caller gave up, got %v", err)
	}
	if ended.RequestID != id.String() {
		t.Errorf("expected the id %s, got %q", id, ended.RequestID)
	}
	found, err := client.GetRequest(t.Context(), &semelv1.GetRequestRequest{TargetRequestId: id.String()})
	if err != nil || found.GetRequest().GetState() == semelv1.RequestState_REQUEST_STATE_UNSPECIFIED {
		t.Errorf("expected to be told what became of it, got %v, %v", found, err)
	}
}

func TestManyRunsComeBackInOrderAndOneThatIsRefusedEndsNoOther(t *testing.T) {
	client := pay(t)
	runs := func(yield func(*semelv1.RunJobRequest) bool) {
		for n := range 300 {
			job := "count"
			if n == 150 {
				job = "nothing"
			}
			if !yield(&semelv1.RunJobRequest{Job: job, Payload: &semelv1.Payload{Data: fmt.Append(nil, n)}}) {
				return
			}
		}
	}
	n := 0
	seen := map[string]bool{}
	for made, err := range client.SubmitMany(t.Context(), iter.Seq[*semelv1.RunJobRequest](runs)) {
		var refused *semel.Error
		switch {
		case n == 150:
			if !errors.As(err, &refused) || refused.Reason != "NOT_FOUND" {
				t.Errorf("expected NOT_FOUND, got %v", err)
			}
		case err != nil:
			t.Fatalf("run %d: %v", n, err)
		default:
			seen[made.GetRunId()] = true
		}
		n++
	}
	if n != 300 || len(seen) != 299 {
		t.Errorf("expected 300 results and 299 runs, got %d and %d", n, len(seen))
	}
}

func TestAWorkerWorksAndAWatchTellsOfIt(t *testing.T) {
	client := pay(t)
	working, stop := context.WithCancel(t.Context())
	worker := semel.NewWorker(client, semel.WithSlots(2))
	worker.Handle("count", func(_ context.Context, a *semel.Attempt) (*semelv1.Payload, error) {
		fmt.Fprintln(a.Stdout(), "counting")
		a.Progress(0.5, "half")
		if text := string(a.Payload().GetData()); text != "" {
			return &semelv1.Payload{Data: fmt.Append(nil, len(strings.Fields(text)))}, nil
		}
		panic("there is nothing to count")
	})
	type ended struct {
		summary semel.WorkerSummary
		err     error
	}
	over := make(chan ended, 1)
	go func() {
		summary, err := worker.Run(working)
		over <- ended{summary, err}
	}()
	good, err := client.RunJob(t.Context(), &semelv1.RunJobRequest{Job: "count", Payload: &semelv1.Payload{Data: []byte("to be or")}})
	if err != nil {
		t.Fatal(err)
	}
	run, err := client.Wait(t.Context(), "", good.GetRunId())
	if err != nil || string(run.GetResult().GetData()) != "3" {
		t.Fatalf("expected 3 words, got %v, %v", run, err)
	}
	bad, err := client.RunJob(t.Context(), &semelv1.RunJobRequest{Job: "count"})
	if err != nil {
		t.Fatal(err)
	}
	request := &semelv1.WatchRequest{
		TerminalOnly: true, Start: &semelv1.WatchRequest_FromRevision{FromRevision: 1},
	}
	states := map[string]semelv1.EventKind{}
	for item, err := range client.Watch(t.Context(), request) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Kind == semel.WatchEvent {
			states[item.Event.GetRun().GetRunId()] = item.Event.GetKind()
		}
		if len(states) == 2 {
			break
		}
	}
	if states[good.GetRunId()] != semelv1.EventKind_EVENT_KIND_RUN_SUCCEEDED || states[bad.GetRunId()] != semelv1.EventKind_EVENT_KIND_RUN_FAILED {
		t.Errorf("expected one to succeed and the panic to fail, got %v", states)
	}
	stop()
	if end := <-over; end.err != nil || end.summary.Succeeded != 1 || end.summary.Failed != 1 {
		t.Errorf("expected one and one, got %+v", end)
	}
}
