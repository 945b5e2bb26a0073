// The credentials of a client while it runs: it owns the present token and renews it. It never judges a refusal; that a
// token must be renewed is told to it, or read off the token's own end.
package dev.semel.client.internal;

import com.google.protobuf.Message;
import dev.semel.client.Answer;
import dev.semel.client.Credentials;
import dev.semel.client.SemelException;
import dev.semel.v1.AuthServiceGrpc;
import dev.semel.v1.IssueTokenRequest;
import dev.semel.v1.IssueTokenResponse;
import io.grpc.Context;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/** The credentials of a client while it runs. */
public final class Auth {
    private static final System.Logger LOG = System.getLogger(Auth.class.getName());
    /** The longest wait before renewing is tried again while the present token still holds. */
    private static final Duration RENEW_AGAIN_MAX = Duration.ofSeconds(10);
    /** What is assumed of a token whose answer does not say when it ends. */
    private static final Duration LIFETIME_UNSTATED = Duration.ofMinutes(5);

    private final Core core;
    private final Credentials.Secret secret;
    private final Signature fixed;
    private Token present;
    /** The renewal that is under way, which all callers share. */
    private CompletableFuture<Signature> renewal;

    private record Token(Signature signature, long renewAt, long endsAt) {}

    Auth(Core core, Credentials credentials) {
        this.core = core;
        secret = credentials instanceof Credentials.Secret given ? given : null;
        fixed = credentials instanceof Credentials.Token token ? Signature.of(token.token(), 0, null) : Signature.NONE;
    }

    /** Whether this client can fetch fresh credentials by itself. */
    public boolean canRefresh() {
        return secret != null;
    }

    /** Puts the app and the secret that this client has into a request which asks for a token and names none. */
    @SuppressWarnings("unchecked") // Only an IssueTokenRequest becomes another one.
    <Q extends Message> Q fill(Q request) {
        boolean asks = secret != null
                && request instanceof IssueTokenRequest issue
                && issue.getSecret().isEmpty()
                && (issue.getApp().isEmpty() || issue.getApp().equals(secret.app()));
        return asks ? (Q) withSecret(((IssueTokenRequest) request).toBuilder()) : request;
    }

    private IssueTokenRequest withSecret(IssueTokenRequest.Builder request) {
        return request.setApp(secret.app()).setSecret(secret.secret()).build();
    }

    /** The signature for a call that is about to be sent. Fails as the call for a token did, if there has to be one. */
    public synchronized CompletableFuture<Signature> sign() {
        if (secret == null) {
            return CompletableFuture.completedFuture(fixed);
        }
        long now = System.nanoTime();
        if (present == null || now - present.endsAt >= 0) {
            return renew();
        }
        if (now - present.renewAt >= 0) {
            renew(); // Who waits for it is nobody: the present token goes on meanwhile.
        }
        return CompletableFuture.completedFuture(present.signature);
    }

    /** Gets a fresh token in place of that of a generation, unless somebody has done so already. */
    public synchronized CompletableFuture<Signature> refresh(long generation) {
        if (secret == null) {
            return CompletableFuture.completedFuture(fixed);
        }
        boolean done = present != null && present.signature.generation() > generation;
        return done ? CompletableFuture.completedFuture(present.signature) : renew();
    }

    /** To be called with the lock held. The future that is given back is the caller's own. */
    private CompletableFuture<Signature> renew() {
        CompletableFuture<Signature> shared = renewal;
        if (shared == null) {
            CompletableFuture<Signature> fresh = new CompletableFuture<>();
            shared = fresh;
            renewal = fresh;
            long askedAt = System.nanoTime();
            IssueTokenRequest request = withSecret(IssueTokenRequest.newBuilder());
            var call = LogicalCall.of(core, AuthServiceGrpc.getIssueTokenMethod(), request);
            // It is everybody's: that one caller gives up must not end it.
            Context.ROOT.run(() -> call.run().whenComplete((answer, error) -> {
                Signature signature = settle(askedAt, answer, error);
                if (signature == null) {
                    fresh.completeExceptionally(SemelExceptions.of(error));
                } else {
                    fresh.complete(signature);
                }
            }));
        }
        return shared.copy();
    }

    private synchronized Signature settle(long askedAt, Answer<IssueTokenResponse> answer, Throwable error) {
        renewal = null;
        if (answer == null) {
            renewLater(error);
            return null;
        }
        Duration lifetime = lifetime(answer.response());
        long renewAt = askedAt + lifetime.toNanos() / 4 * 3;
        long generation = present == null ? 1 : present.signature.generation() + 1;
        Signature signature = Signature.of(answer.response().getToken(), generation, renewAt);
        present = new Token(signature, renewAt, askedAt + lifetime.toNanos());
        return signature;
    }

    /** Lets the callers be for a while after the token could not be renewed. */
    private void renewLater(Throwable error) {
        SemelException why = SemelExceptions.of(error);
        long now = System.nanoTime();
        if (present != null && now - present.endsAt < 0) {
            LOG.log(System.Logger.Level.WARNING, "cannot renew the token yet, going on with the present one: " + why);
            Duration wait = Times.min(Duration.ofNanos((present.endsAt - now) / 4), RENEW_AGAIN_MAX);
            present = new Token(present.signature, now + wait.toNanos(), present.endsAt);
        }
    }

    /** How long a token holds, by the server's clock alone: from the time of the answer to the end that it states. */
    static Duration lifetime(IssueTokenResponse answer) {
        if (!answer.hasExpireTime() || !answer.getHeader().hasServerTime()) {
            return LIFETIME_UNSTATED;
        }
        Duration lifetime =
                Duration.between(Times.of(answer.getHeader().getServerTime()), Times.of(answer.getExpireTime()));
        return lifetime.isNegative() ? Duration.ZERO : Times.min(lifetime, Times.MAX);
    }
}
