package main

// The form of commands, answers and errors.

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	semel "semel.dev/go"
)

// command holds the fields of all commands.
type command struct {
	ID             int64           `json:"id"`
	Op             string          `json:"op"`
	Client         string          `json:"client"`
	Endpoint       string          `json:"endpoint"`
	App            string          `json:"app"`
	Credentials    *credentials    `json:"credentials"`
	Options        options         `json:"options"`
	UnixMs         int64           `json:"unix_ms"`
	Random         string          `json:"random"`
	Method         string          `json:"method"`
	Request        json.RawMessage `json:"request"`
	RequestID      string          `json:"request_id"`
	RequestTimeout ms              `json:"request_timeout"`
	OverallTimeout ms              `json:"overall_timeout"`
	Target         int64           `json:"target"`
	Count          int             `json:"count"`
	Concurrency    int             `json:"concurrency"`
	RunID          string          `json:"run_id"`
	Timeout        ms              `json:"timeout"`
	Watch          string          `json:"watch"`
	Token          string          `json:"token"`
	Worker         string          `json:"worker"`
	Processors     []string        `json:"processors"`
	Slots          int             `json:"slots"`
	DrainTimeout   *ms             `json:"drain_timeout"`
	Duration       ms              `json:"duration"`
	PerMessage     int             `json:"per_message"`
}

type credentials struct {
	Token  string `json:"token"`
	Secret string `json:"secret"`
	App    string `json:"app"`
}

type options struct {
	RequestTimeout ms       `json:"request_timeout"`
	OverallTimeout ms       `json:"overall_timeout"`
	AttemptsMax    int      `json:"attempts_max"`
	BackoffFirst   ms       `json:"backoff_first"`
	BackoffMax     ms       `json:"backoff_max"`
	ClockOffset    ms       `json:"clock_offset"`
	TLS            tlsFiles `json:"tls"`
}

// tlsFiles names files: the CA to believe, and a client certificate with its key.
type tlsFiles struct {
	CA   string `json:"ca"`
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

// ms is a number of milliseconds.
type ms float64

func (m ms) duration() time.Duration { return time.Duration(float64(m) * float64(time.Millisecond)) }

// message reads a message of the protocol.
func (c *command) message(into proto.Message) error {
	if len(c.Request) == 0 || string(c.Request) == "null" {
		return nil
	}
	if err := protojson.Unmarshal(c.Request, into); err != nil {
		return fmt.Errorf("the request cannot be read: %w", err)
	}
	return nil
}

// jsonOf writes a message of the protocol.
func jsonOf(message proto.Message) (json.RawMessage, error) {
	return protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
}

// errorOf is the client's error as the runner reads it.
func errorOf(e *semel.Error) map[string]any {
	violations := [][2]string{}
	for _, violation := range e.Violations {
		violations = append(violations, [2]string{violation.Field, violation.Description})
	}
	metadata := e.Metadata
	if metadata == nil {
		metadata = map[string]string{}
	}
	var oldest any
	if revision, ok := e.OldestRevision(); ok {
		oldest = revision
	}
	return map[string]any{
		"kind":            e.Kind,
		"code":            codeName(e.Code),
		"reason":          e.Reason,
		"auth_status":     e.AuthStatus.String(),
		"may_retry":       e.MayRetry,
		"request_id":      e.RequestID,
		"attempts":        e.Attempts,
		"message":         e.Message,
		"violations":      violations,
		"metadata":        metadata,
		"oldest_revision": oldest,
	}
}

// codeName spells a code as the protocol does: DEADLINE_EXCEEDED and CANCELLED.
func codeName(code codes.Code) string {
	if code == codes.Canceled {
		return "CANCELLED"
	}
	name := code.String()
	var spelt strings.Builder
	for i, letter := range name {
		if i > 0 && letter >= 'A' && letter <= 'Z' && name[i-1] >= 'a' {
			spelt.WriteByte('_')
		}
		spelt.WriteRune(letter)
	}
	return strings.ToUpper(spelt.String())
}
