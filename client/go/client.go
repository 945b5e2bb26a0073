package semel

// The client as its users see it. The way of a call stands in call.go, the list of methods in methods.go.

import (
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	"semel.dev/go/internal/uuidv7"
	"semel.dev/go/semelv1"
)

// Version is that of this package.
const Version = "0.1.0"

// Client is a client of a Semel server. It is safe for concurrent use, and one is enough for a program: all calls, streams
// and workers share its connection, its token and its clock.
type Client struct {
	config config
	conn   *grpc.ClientConn
	auth   *auth
	clock  serverClock
	info   *semelv1.ClientInfo
	log    *slog.Logger
	closed sync.Once
}

// New makes a client of the server at the endpoint: http://127.0.0.1:7400, https://semel.example.org, or
// unix:/run/semel.sock. It connects with the first call, so the server need not be there yet, and makes lost connections
// again by itself. Fails only where the endpoint or an option is wrong, with [KindUsage].
func New(endpoint string, options ...Option) (*Client, error) {
	c := &Client{config: config{
		requestTimeout: requestTimeoutDefault,
		overallTimeout: overallTimeoutDefault,
		clientName:     "semel-client",
		wall:           time.Now,
	}}
	for _, option := range options {
		option.applyClient(&c.config)
	}
	if err := c.config.check(); err != nil {
		return nil, err
	}
	c.config.retry = c.config.retry.withDefaults()
	c.log = c.config.logger
	if c.log == nil {
		c.log = slog.Default()
	}
	c.clock.wall = c.config.wall
	c.info = &semelv1.ClientInfo{Name: c.config.clientName, Version: Version, Language: "go"}
	var err error
	if c.auth, err = newAuth(c, c.config.credentials); err != nil {
		return nil, err
	}
	if c.conn, err = dial(endpoint, &c.config); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *config) check() error {
	switch {
	case c.requestTimeout <= 0 || c.overallTimeout <= 0:
		return usageError("timeouts must be longer than nothing")
	case c.retry.AttemptsMax < 0 || c.retry.BackoffFirst < 0 || c.retry.BackoffMax < 0:
		return usageError("the retry options must not be negative")
	case c.clientName == "":
		return usageError("the client needs a name")
	case c.wall == nil:
		return usageError("the clock is nil")
	}
	return nil
}

// Close ends the connection. Calls and streams that are under way end with an error.
func (c *Client) Close() error {
	var err error
	c.closed.Do(func() { err = c.conn.Close() })
	return err
}

// MintRequestID mints an id by the server's clock, as far as that is known: to be stored beside what a program is about
// to do, before the call is made under it with [WithRequestID].
func (c *Client) MintRequestID() uuid.UUID { return uuidv7.Mint(c.clock.now()) }

// ClockOffset is by how much the server's clock is ahead of this machine's, as of the last answer.
func (c *Client) ClockOffset() time.Duration { return time.Duration(c.clock.offset.Load()) }
