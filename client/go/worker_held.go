package semel

// An attempt that a worker holds: whether its handler runs, why it is to stop, and what is still to be sent about it. Plain
// state, and what is made of a handler's end.

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"semel.dev/go/semelv1"
)

const (
	// What the server takes of an error text, in characters.
	reportErrorMax = 4096
	// A result must fit into a message with what is around it; the server's own limit is lower still.
	resultBytesMax = messageBytesMax - 64<<10
)

// stopReason is why a handler was told to stop; a stronger one takes the place of a weaker one.
type stopReason int

const (
	stopNo        stopReason = iota
	stopLeaseLost            // the server was not heard of for as long as the lease lasts
	stopDraining             // the worker shuts down
	stopCancelled            // somebody cancelled the run: say so when it has stopped
	stopOver                 // the attempt is over for the server: say nothing
)

type heldAttempt struct {
	key        attemptKey
	assignment *semelv1.Assignment
	room       *logRoom
	interrupt  context.CancelFunc
	isRunning  bool
	stop       stopReason
	// What is to be sent, in order. Only the first one is ever under way, so the order holds whatever is refused.
	queue        []*outgoing
	inFlight     bool
	chunks       []*logChunk // the log that has gathered
	progress     *attemptProgressed
	progressFrom time.Time // when progress may be sent again
}

// logChunk is a piece of a log.
type logChunk struct {
	stream semelv1.LogStream
	data   []byte
	cost   int // the room that it takes until it is acknowledged
}

// outgoing is a message that changes something, and so is sent until it is acknowledged: a report or a piece of a log.
type outgoing struct {
	report    *semelv1.Report
	chunk     *logChunk
	isStandIn bool   // it stands in for a report that the server would not take
	requestID string // minted when it is sent for the first time
	sends     int    // how often it was sent under that id
	refusals  int    // how often it was refused in a way that may pass
	sentAt    time.Time
	notBefore time.Time
}

func (o *outgoing) message(key attemptKey) *semelv1.WorkRequest {
	message := &semelv1.WorkRequest{Header: &semelv1.RequestHeader{RequestId: o.requestID}}
	if o.report != nil {
		o.report.RunId, o.report.Attempt = key.runID, key.number
		message.Kind = &semelv1.WorkRequest_Report{Report: o.report}
		return message
	}
	log := &semelv1.Log{RunId: key.runID, Attempt: key.number, Stream: o.chunk.stream, Data: o.chunk.data}
	message.Kind = &semelv1.WorkRequest_Log{Log: log}
	return message
}

// write adds to the log. Says whether it should be sent at once.
func (h *heldAttempt) write(stream semelv1.LogStream, data []byte) bool {
	var last *logChunk
	if len(h.chunks) > 0 {
		last = h.chunks[len(h.chunks)-1]
	}
	if last == nil || last.stream != stream || len(last.data)+len(data) > logChunkBytes {
		last = &logChunk{stream: stream}
		h.chunks = append(h.chunks, last)
	}
	last.data = append(last.data, data...)
	last.cost += len(data) + logWriteCost
	return len(h.chunks) > 1 || len(last.data) >= logChunkBytes
}

// gatherLog moves the log that has gathered into the queue.
func (h *heldAttempt) gatherLog() {
	for _, chunk := range h.chunks {
		h.queue = append(h.queue, &outgoing{chunk: chunk})
	}
	h.chunks = nil
}

// reportOf is what is reported of an attempt whose handler has ended; nil if it is over for the server.
func reportOf(stop stopReason, result *semelv1.Payload, err error) *semelv1.Report {
	switch {
	case stop == stopOver:
		return nil
	case err == nil:
		return succeededReport(result)
	case stop == stopCancelled:
		return &semelv1.Report{Outcome: &semelv1.Report_Cancelled_{Cancelled: &semelv1.Report_Cancelled{}}}
	case stop == stopDraining:
		return releasedReport("the worker shut down")
	case stop == stopLeaseLost:
		return releasedReport("the worker lost touch with the server")
	}
	return failedReport(err)
}

func succeededReport(result *semelv1.Payload) *semelv1.Report {
	if result == nil {
		result = &semelv1.Payload{}
	}
	if size := proto.Size(result); size > resultBytesMax {
		text := fmt.Sprintf("the result of %d bytes is larger than a message can be; give back a reference to it", size)
		return failedReport(Permanent(errors.New(text)))
	}
	return &semelv1.Report{Outcome: &semelv1.Report_Succeeded_{Succeeded: &semelv1.Report_Succeeded{Result: result}}}
}

func failedReport(err error) *semelv1.Report {
	known := asProcessError(err)
	failed := &semelv1.Report_Failed{Error: shortened(err.Error(), reportErrorMax), Permanent: known.permanent}
	if known.retryAfter > 0 {
		failed.RetryAfter = durationpb.New(known.retryAfter)
	}
	return &semelv1.Report{Outcome: &semelv1.Report_Failed_{Failed: failed}}
}

func releasedReport(reason string) *semelv1.Report {
	return &semelv1.Report{Outcome: &semelv1.Report_Released_{Released: &semelv1.Report_Released{Reason: reason}}}
}

// outcomeOf is the word for what is reported.
func outcomeOf(report *semelv1.Report) string {
	switch report.GetOutcome().(type) {
	case *semelv1.Report_Succeeded_:
		return "succeeded"
	case *semelv1.Report_Failed_:
		return "failed"
	case *semelv1.Report_Cancelled_:
		return "cancelled"
	case *semelv1.Report_Released_:
		return "released"
	}
	return ""
}

// shortened cuts a text to so many characters, and makes it one that a message can hold.
func shortened(text string, max int) string {
	valid := []rune(text)
	if len(valid) > max {
		valid = valid[:max]
	}
	if len(valid) == utf8.RuneCountInString(text) && utf8.ValidString(text) {
		return text
	}
	return string(valid)
}
