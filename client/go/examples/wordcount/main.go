// Command wordcount shows the three sides of Semel: `wordcount work` counts the words of files, `wordcount submit FILE...` makes
// a run for each file, and `wordcount watch` tells how they end, and goes on where it stopped.
//
//	SEMEL_SERVER=http://127.0.0.1:7400 SEMEL_APP=words SEMEL_SECRET=sk_... wordcount work
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	semel "semel.dev/go"
	"semel.dev/go/semelv1"
)

const (
	job       = "count-words"
	processor = "count"
	// Where the watcher keeps how far it came.
	tokenFile = "wordcount.token"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "wordcount:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	app := os.Getenv("SEMEL_APP")
	client, err := semel.New(os.Getenv("SEMEL_SERVER"), semel.WithApp(app), semel.WithSecret(app, os.Getenv("SEMEL_SECRET")))
	if err != nil {
		return err
	}
	defer client.Close()
	switch {
	case len(args) == 1 && args[0] == "work":
		return work(ctx, client)
	case len(args) > 1 && args[0] == "submit":
		return submit(ctx, client, args[1:])
	case len(args) == 1 && args[0] == "watch":
		return watch(ctx, client)
	}
	return errors.New("say work, submit FILE..., or watch")
}

// work counts until it is interrupted; what it is at then may end.
func work(ctx context.Context, client *semel.Client) error {
	spec := &semelv1.JobSpec{Processor: processor, Description: "counts the words of a file"}
	var refused *semel.Error
	_, err := client.CreateJob(ctx, &semelv1.CreateJobRequest{Job: job, Spec: spec})
	if err != nil && !(errors.As(err, &refused) && refused.Reason == semel.ReasonAlreadyExists) {
		return err
	}
	worker := semel.NewWorker(client, semel.WithSlots(4))
	worker.Handle(processor, count)
	summary, err := worker.Run(ctx)
	fmt.Printf("counted %d files, %d could not be read\n", summary.Succeeded, summary.Failed)
	return err
}

// count is the handler. Counting changes nothing, so counting twice does no harm.
func count(ctx context.Context, attempt *semel.Attempt) (*semelv1.Payload, error) {
	path := string(attempt.Payload().GetData())
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, semel.Permanent(err) // it will not be there the next time either
	}
	if err != nil {
		return nil, err
	}
	words := 0
	for line := range strings.Lines(string(text)) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		words += len(strings.Fields(line))
	}
	fmt.Fprintf(attempt.Stdout(), "%s has %d words\n", path, words)
	return &semelv1.Payload{Data: fmt.Append(nil, words), ContentType: "text/plain"}, nil
}

// submit makes a run for each file, over one stream. A file that is under way already is not counted a second time.
func submit(ctx context.Context, client *semel.Client, files []string) error {
	runs := func(yield func(*semelv1.RunJobRequest) bool) {
		for _, file := range files {
			path, err := filepath.Abs(file)
			if err != nil {
				path = file
			}
			request := &semelv1.RunJobRequest{
				Job: job, Payload: &semelv1.Payload{Data: []byte(path)}, Labels: map[string]string{"batch": "words"},
				UniqueKey: &semelv1.UniqueKey{Key: path},
			}
			if !yield(request) {
				return
			}
		}
	}
	at := 0
	for made, err := range client.SubmitMany(ctx, runs) {
		if err != nil {
			return fmt.Errorf("%s: %w", files[min(at, len(files)-1)], err)
		}
		fmt.Println(made.GetRunId(), files[at])
		at++
	}
	return nil
}

// watch tells each end once, also over its own restarts: the token is kept when its line is out.
func watch(ctx context.Context, client *semel.Client) error {
	request := &semelv1.WatchRequest{Jobs: []string{job}, TerminalOnly: true}
	if token, err := os.ReadFile(tokenFile); err == nil {
		request.Start = &semelv1.WatchRequest_ResumeToken{ResumeToken: string(token)}
	} else {
		request.Start = &semelv1.WatchRequest_FromRevision{FromRevision: 1}
	}
	kinds := []semel.WatchKind{semel.WatchEvent, semel.WatchProgress}
	for item, err := range client.Watch(ctx, request) {
		if err != nil {
			return err
		}
		if !slices.Contains(kinds, item.Kind) {
			continue
		}
		if item.Kind == semel.WatchEvent {
			fmt.Println(item.Event.GetRun().GetRunId(), item.Event.GetKind())
		}
		if err := os.WriteFile(tokenFile, []byte(item.ResumeToken()), 0o600); err != nil {
			return err
		}
	}
	return nil
}
