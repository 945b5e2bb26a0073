package semel

// One attempt of a call: over which connection, with which metadata, and whether a Semel server was at the other end. It
// never sends anything twice, apart from what gRPC's own service config says.

import (
	"context"
	"crypto/tls"
	_ "embed"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	grpccredentials "google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"semel.dev/go/semelv1"
)

const (
	// The largest message in either direction, as the server has it.
	messageBytesMax = 8 << 20
	// The receive windows: room for large answers and for many of them at a time.
	streamWindowBytes     = 2 << 20
	connectionWindowBytes = 8 << 20
	// A connection that is dead without a word is noticed after at most the sum of these two, also while it idles.
	keepaliveInterval = 20 * time.Second
	keepaliveTimeout  = 10 * time.Second
	connectTimeout    = 5 * time.Second
)

// reconnectPace is how a lost connection is made again. It is faster than gRPC's own, or calls that are sent again would
// find no connection for two minutes after a server was away for long.
var reconnectPace = backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second}

// serviceConfig is a copy of client/service_config.json; a test and check.sh keep them equal.
//
//go:embed service_config.json
var serviceConfig string

// dial makes the connection, which connects with the first call.
func dial(endpoint string, c *config) (*grpc.ClientConn, error) {
	target, secure, err := targetOf(endpoint)
	if err != nil {
		return nil, err
	}
	if !secure && !c.plaintextAllowed && c.credentials.areSet() && !isOnThisMachine(target) {
		return nil, usageError("cannot use the endpoint %q: it is not on this machine, and anybody on the way could read "+
			"the credentials; use https://, or WithPlaintextAllowed if the network is trusted, as behind a mesh that "+
			"encrypts", endpoint)
	}
	transport := insecure.NewCredentials()
	if secure {
		tlsConfig := c.tls
		if tlsConfig == nil {
			tlsConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		transport = grpccredentials.NewTLS(tlsConfig)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithUserAgent(c.clientName + "/" + Version),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithStatsHandler(attemptWatcher{}),
		grpc.WithInitialWindowSize(streamWindowBytes),
		grpc.WithInitialConnWindowSize(connectionWindowBytes),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(messageBytesMax), grpc.MaxCallSendMsgSize(messageBytesMax)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnectPace, MinConnectTimeout: connectTimeout}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: keepaliveInterval, Timeout: keepaliveTimeout, PermitWithoutStream: true}),
	}
	if c.retry.AttemptsMax == 1 {
		options = append(options, grpc.WithDisableRetry())
	}
	conn, err := grpc.NewClient(target, append(options, c.dialOptions...)...)
	if err != nil {
		return nil, usageError("cannot use the endpoint %q: %v", endpoint, err)
	}
	return conn, nil
}

// ServiceConfig is gRPC's own part of the retries, as JSON, for plain stubs: give it to grpc.WithDefaultServiceConfig. The
// client has it already, and knows of each copy that gRPC sends by it.
func ServiceConfig() string { return serviceConfig }

// isOnThisMachine says whether nobody else can read what is sent to a target.
func isOnThisMachine(target string) bool {
	if strings.HasPrefix(target, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(strings.TrimPrefix(target, "dns:///"))
	if err != nil {
		return false
	}
	address := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || address != nil && address.IsLoopback()
}

// targetOf reads an endpoint, and gives gRPC's name for it.
func targetOf(endpoint string) (target string, secure bool, err error) {
	if path, ok := strings.CutPrefix(endpoint, "unix:"); ok && path != "" {
		return endpoint, false, nil
	}
	address, err := url.Parse(endpoint)
	if err != nil || address.Hostname() == "" || address.User != nil || strings.Trim(address.Path, "/") != "" ||
		address.RawQuery != "" || address.Fragment != "" {
		return "", false, usageError("cannot use the endpoint %q: write it as http://host:port, https://host:port "+
			"or unix:/path", endpoint)
	}
	switch address.Scheme {
	case "http":
		return "dns:///" + withPort(address, ":80"), false, nil
	case "https":
		return "dns:///" + withPort(address, ":443"), true, nil
	}
	return "", false, usageError("cannot use the endpoint %q: it must begin with http://, https:// or unix:", endpoint)
}

func withPort(address *url.URL, port string) string {
	if address.Port() == "" {
		return strings.TrimSuffix(address.Host, ":") + port
	}
	return address.Host
}

// attemptTrace is what gRPC tells of an attempt, beside its status.
type attemptTrace struct {
	sent     atomic.Bool // something went out
	answered atomic.Bool // the status came from the other end, and was not made up on this one
	resent   atomic.Bool // gRPC sent it again by itself, so one more outcome may be open
}

type traceKey struct{}

// attemptWatcher fills in the trace of an attempt.
type attemptWatcher struct{}

func (attemptWatcher) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (attemptWatcher) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (attemptWatcher) HandleConn(context.Context, stats.ConnStats)                       {}

func (attemptWatcher) HandleRPC(ctx context.Context, event stats.RPCStats) {
	trace, ok := ctx.Value(traceKey{}).(*attemptTrace)
	if !ok {
		return
	}
	switch event := event.(type) {
	case *stats.Begin:
		trace.answered.Store(false)
		if trace.sent.Load() && !event.IsTransparentRetryAttempt {
			trace.resent.Store(true)
		}
	case *stats.OutHeader:
		trace.sent.Store(true)
	case *stats.InTrailer:
		trace.answered.Store(true)
	}
}

// traced prepares the context of an attempt or of a stream: its trace, and its credentials.
func traced(ctx context.Context, sig signature) (context.Context, *attemptTrace) {
	trace := &attemptTrace{}
	ctx = context.WithValue(ctx, traceKey{}, trace)
	if sig.token.isSet() {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+sig.token.reveal())
	}
	return ctx, trace
}

// unary sends a request once and waits for its answer.
func (c *Client) unary(ctx context.Context, l *logical, sig signature) (answer, *refusal) {
	ctx, trace := traced(ctx, sig)
	var trailer metadata.MD
	response := l.newResponse()
	sentAt := time.Now()
	err := c.conn.Invoke(ctx, l.method, l.request, response, grpc.Trailer(&trailer))
	elapsed := time.Since(sentAt)
	if l.serverWait > 0 {
		elapsed = 0
	}
	if err != nil {
		r := c.refusalOf(err, trailer, trace)
		c.clock.learn(r.header, elapsed)
		return nil, r
	}
	header := response.GetHeader()
	if message := strangerIn(header, l.requestID); message != "" {
		r := localRefusal(codes.OK, originOther, message)
		r.resent = trace.resent.Load()
		return nil, r
	}
	c.clock.learn(header, elapsed)
	return response, nil
}

// strangerIn says why an answer does not count. One without a word on the credentials may come from anything on the way,
// and one to another request from a cache. Empty if it counts.
func strangerIn(header *semelv1.ResponseHeader, requestID string) string {
	if !spoke(header) {
		return "the answer says nothing of the credentials; check the address and what stands in between"
	}
	if !strings.EqualFold(header.GetRequestId(), requestID) {
		return "the answer is one to another request; look for a proxy that caches"
	}
	return ""
}

// refusalOf reads the error of an attempt or of a stream.
func (c *Client) refusalOf(err error, trailer metadata.MD, trace *attemptTrace) *refusal {
	st, ok := status.FromError(err)
	if !ok {
		st = status.FromContextError(err)
	}
	r := refusalOfStatus(st.Proto())
	r.resent = trace.resent.Load()
	r.takePushback(trailer)
	switch {
	case r.origin == originServer, trace.answered.Load(), isForeign(r.message):
	case trace.sent.Load():
		r.origin = originNoAnswer
	default:
		r.origin = originNotSent
	}
	return r
}

// isForeign recognises the statuses that gRPC makes up here of answers which are no gRPC: somebody spoke, after all.
func isForeign(message string) bool {
	for _, prefix := range []string{
		"unexpected HTTP status code received from server",
		"malformed header: missing HTTP",
		"transport: received unexpected content-type",
		"transport: malformed",
		"server closed the stream without sending trailers",
	} {
		if strings.HasPrefix(message, prefix) {
			return true
		}
	}
	return false
}

// clone copies a request but for its contents, which are shared: the header of the copy can be set.
func clone(request proto.Message) proto.Message {
	from := request.ProtoReflect()
	to := from.New()
	from.Range(func(field fieldDescriptor, value reflectValue) bool {
		to.Set(field, value)
		return true
	})
	return to.Interface()
}
