package semel

// What a program may set on a client and on a single call. Plain data and its defaults; nothing here connects or decides.

import (
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
)

// Defaults of the timeouts; see [WithRequestTimeout] and [WithOverallTimeout].
const (
	requestTimeoutDefault = 10 * time.Second
	overallTimeoutDefault = 60 * time.Second
)

// Option sets up a [Client].
type Option interface{ applyClient(*config) }

// CallOption is about a single call, or about all items of one [Client.SubmitMany].
type CallOption interface{ applyCall(*callConfig) }

// TimeoutOption is both: for all calls of a client, or for one.
type TimeoutOption interface {
	Option
	CallOption
}

type config struct {
	app              string
	credentials      credentials
	requestTimeout   time.Duration
	overallTimeout   time.Duration
	retry            RetryOptions
	clientName       string
	logger           *slog.Logger
	wall             func() time.Time
	tls              *tls.Config
	plaintextAllowed bool
	dialOptions      []grpc.DialOption
}

// credentials is at most one of a token and a secret.
type credentials struct {
	app    string
	secret hidden
	token  hidden
}

// hidden keeps a secret or a token from being printed, by whatever verb and however deep it lies: what lies behind a
// pointer inside of a value is shown as an address.
type hidden struct{ text *string }

func hide(text string) hidden { return hidden{&text} }

func (c credentials) areSet() bool { return c.secret.isSet() || c.token.isSet() }

func (h hidden) isSet() bool { return h.text != nil && *h.text != "" }

func (h hidden) reveal() string {
	if h.text == nil {
		return ""
	}
	return *h.text
}

type callConfig struct {
	requestID      string
	requestTimeout time.Duration
	overallTimeout time.Duration
	info           *CallInfo
}

type clientOption func(*config)

func (f clientOption) applyClient(c *config) { f(c) }

type callOption func(*callConfig)

func (f callOption) applyCall(c *callConfig) { f(c) }

// WithApp names the app that is put into requests which name none. Default: none, and the server takes the app of the
// credentials. Requests that create, update or delete an app always have to name it.
func WithApp(app string) Option {
	return clientOption(func(c *config) { c.app = app })
}

// WithSecret proves who the client is by the secret of an app. The client gets short-lived tokens for it by itself and
// renews them; the secret itself travels only in IssueToken. Takes the place of a token.
func WithSecret(app, secret string) Option {
	return clientOption(func(c *config) { c.credentials = credentials{app: app, secret: hide(secret)} })
}

// WithToken proves who the client is by a token, sent with every call as it is. The client cannot renew it. Takes the
// place of a secret.
func WithToken(token string) Option {
	return clientOption(func(c *config) { c.credentials = credentials{token: hide(token)} })
}

// WithRetry says how calls are sent again.
func WithRetry(retry RetryOptions) Option {
	return clientOption(func(c *config) { c.retry = retry })
}

// WithClientName is the name by which the program tells the server who it is, for logs and support. Default
// `semel-client`.
func WithClientName(name string) Option {
	return clientOption(func(c *config) { c.clientName = name })
}

// WithLogger is where the client writes what it does by itself: retries and renewals at debug, troubles at warn. Default:
// slog's default logger. Secrets and tokens are never written.
func WithLogger(logger *slog.Logger) Option {
	return clientOption(func(c *config) { c.logger = logger })
}

// WithClock is the wall clock to mint request ids by, in place of this machine's; for tests. The client corrects it by
// what it learns of the server's.
func WithClock(now func() time.Time) Option {
	return clientOption(func(c *config) { c.wall = now })
}

// WithTLS is how to speak TLS with an endpoint that begins with https://: RootCAs for authorities of your own, Certificates
// for a client certificate. Default: with the system's roots.
func WithTLS(tlsConfig *tls.Config) Option {
	return clientOption(func(c *config) { c.tls = tlsConfig })
}

// WithPlaintextAllowed lets credentials go over http:// to other machines: for networks that encrypt by themselves, as a mesh
// does. Without it that is a mistake of usage.
func WithPlaintextAllowed() Option {
	return clientOption(func(c *config) { c.plaintextAllowed = true })
}

// WithDialOptions adds options for gRPC, for instance interceptors or stats handlers. They come after the client's own.
func WithDialOptions(options ...grpc.DialOption) Option {
	return clientOption(func(c *config) { c.dialOptions = append(c.dialOptions, options...) })
}

// requestTimeout and overallTimeout are options of both sorts.
type requestTimeout time.Duration

func (t requestTimeout) applyClient(c *config)   { c.requestTimeout = time.Duration(t) }
func (t requestTimeout) applyCall(c *callConfig) { c.requestTimeout = time.Duration(t) }

type overallTimeout time.Duration

func (t overallTimeout) applyClient(c *config)   { c.overallTimeout = time.Duration(t) }
func (t overallTimeout) applyCall(c *callConfig) { c.overallTimeout = time.Duration(t) }

// WithRequestTimeout is how long one attempt of a call may take; the server learns of it. Calls that ask the server to
// wait (WaitRun, GetRunLogs) get that wait on top. Default 10 s.
func WithRequestTimeout(timeout time.Duration) TimeoutOption { return requestTimeout(timeout) }

// WithOverallTimeout is how long one call may take over all its attempts and the waits between them, unless the deadline
// of its context comes first. Default 60 s, with the wait on top as above.
func WithOverallTimeout(timeout time.Duration) TimeoutOption { return overallTimeout(timeout) }

// WithRequestID makes the call under an id that the caller keeps: one of [Client.MintRequestID] that it stored before, or
// that of a call which is sent again. It is never replaced. A call without this gets a fresh one, unless its request
// bears an id in its header.
func WithRequestID(id uuid.UUID) CallOption {
	return callOption(func(c *callConfig) { c.requestID = id.String() })
}

// CallInfo is what became known of a call while it was made.
type CallInfo struct {
	// RequestID is the id under which it was sent last.
	RequestID string
	// Attempts is how often it was sent, apart from what gRPC sent again by itself.
	Attempts int
}

// WithCallInfo fills in info before the call returns, whether it failed or not.
func WithCallInfo(info *CallInfo) CallOption {
	return callOption(func(c *callConfig) { c.info = info })
}
