package semel

// The credentials of a client while it runs: it owns the present token and renews it. It never judges a refusal; that a
// token must be renewed is told to it, or read off the token's own end.

import (
	"context"
	"strings"
	"sync"
	"time"

	"semel.dev/go/semelv1"
)

const (
	// The longest wait before renewing is tried again while the present token still holds.
	renewAgainMax = 10 * time.Second
	// What is assumed of a token whose answer does not say when it ends.
	lifetimeUnstated = 5 * time.Minute
)

// renewAt is when a token of this lifetime is renewed, so that its end is never met in ordinary use.
func renewAt(lifetime time.Duration) time.Duration { return lifetime / 4 * 3 }

// signature is what a call is signed with, and the generation by which to say that it was refused.
type signature struct {
	token      hidden
	generation uint64
	renewAt    time.Time // when it should be renewed; zero if it stays as it is
}

// auth signs calls: with nothing, with something that stays as it is, or with tokens that it gets for a secret.
type auth struct {
	client *Client
	fixed  signature
	app    string
	secret hidden

	mu      sync.Mutex
	present *token

	// Held while a token is fetched, across the call, for that is its purpose: who comes meanwhile waits here and then
	// finds the new token. If the fetching caller goes away, the next one in line fetches.
	gate chan struct{}
}

type token struct {
	signature signature
	renewAt   time.Time
	endsAt    time.Time
}

func newAuth(client *Client, c credentials) (*auth, error) {
	for _, text := range []string{c.token.reveal(), c.secret.reveal()} {
		if strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
			return nil, usageError("the credentials hold characters that cannot be sent; check for line breaks")
		}
	}
	return &auth{
		client: client,
		fixed:  signature{token: c.token},
		app:    c.app,
		secret: c.secret,
		gate:   make(chan struct{}, 1),
	}, nil
}

func (a *auth) canRefresh() bool { return a.secret.isSet() }

// sign gives the signature for a call that is about to be sent.
func (a *auth) sign(ctx context.Context) (signature, error) {
	if !a.canRefresh() {
		return a.fixed, nil
	}
	present := a.current()
	now := time.Now()
	if present == nil || !now.Before(present.endsAt) {
		return a.refresh(ctx, present.generation())
	}
	if now.Before(present.renewAt) {
		return present.signature, nil
	}
	return a.renewAhead(ctx, present), nil
}

// presently gives the signature that holds now, if there is one, and asks nobody.
func (a *auth) presently() (signature, bool) {
	if !a.canRefresh() {
		return a.fixed, true
	}
	present := a.current()
	if present == nil || !time.Now().Before(present.endsAt) {
		return signature{}, false
	}
	return present.signature, true
}

// renewAhead renews a token that still holds: one caller does so, the others go on with it, and so does this one if it
// fails.
func (a *auth) renewAhead(ctx context.Context, present *token) signature {
	select {
	case a.gate <- struct{}{}:
	default:
		return present.signature
	}
	defer func() { <-a.gate }()
	before := min(a.client.config.requestTimeout, time.Until(present.endsAt))
	ctx, cancel := context.WithTimeout(ctx, before)
	defer cancel()
	renewed, err := a.fetch(ctx, present.generation())
	if err != nil {
		a.client.log.Warn("cannot renew the token yet, going on with the present one", "error", err)
		a.renewLater()
		return present.signature
	}
	return renewed
}

// renewLater lets the callers be for a while after the token could not be renewed.
func (a *auth) renewLater() {
	a.mu.Lock()
	defer a.mu.Unlock()
	later := *a.present
	now := time.Now()
	later.renewAt = now.Add(min(later.endsAt.Sub(now)/4, renewAgainMax))
	a.present = &later
}

// refresh gets a fresh token in place of that of the generation, unless somebody has done so already.
func (a *auth) refresh(ctx context.Context, generation uint64) (signature, error) {
	if !a.canRefresh() {
		return a.fixed, nil
	}
	select {
	case a.gate <- struct{}{}:
	case <-ctx.Done():
		return signature{}, endedError(ctx, "", 0)
	}
	defer func() { <-a.gate }()
	return a.fetch(ctx, generation)
}

// fetch gets a token, unless there is one of a later generation by now. To be called with the gate held.
func (a *auth) fetch(ctx context.Context, generation uint64) (signature, error) {
	if present := a.current(); present.generation() > generation {
		return present.signature, nil
	}
	askedAt := time.Now()
	issued, err := a.issue(ctx)
	if err != nil {
		return signature{}, err
	}
	lifetime := lifetimeOf(issued)
	renew := askedAt.Add(renewAt(lifetime))
	fresh := &token{
		signature: signature{token: hide(issued.GetToken()), generation: generation + 1, renewAt: renew},
		renewAt:   renew,
		endsAt:    askedAt.Add(lifetime),
	}
	a.mu.Lock()
	a.present = fresh
	a.mu.Unlock()
	a.client.log.Debug("got a token", "app", a.app, "lifetime", lifetime)
	return fresh.signature, nil
}

// issue is a logical call of its own, unsigned, with its own id and its own retries.
func (a *auth) issue(ctx context.Context) (*semelv1.IssueTokenResponse, error) {
	request := &semelv1.IssueTokenRequest{App: a.app, Secret: a.secret.reveal()}
	return call[semelv1.IssueTokenResponse](ctx, a.client, semelv1.AuthService_IssueToken_FullMethodName, request, nil)
}

func (a *auth) current() *token {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.present
}

func (t *token) generation() uint64 {
	if t == nil {
		return 0
	}
	return t.signature.generation
}

// lifetimeOf is how long a token holds, by the server's clock alone: from the time of the answer to the end that it
// states.
func lifetimeOf(issued *semelv1.IssueTokenResponse) time.Duration {
	ends, now := issued.GetExpireTime(), issued.GetHeader().GetServerTime()
	if ends == nil || now == nil {
		return lifetimeUnstated
	}
	return max(ends.AsTime().Sub(now.AsTime()), 0)
}
