// The calls about credentials: getting a token, asking what became of one, taking one back. One pair of methods for
// each RPC; none does more than name it.
package dev.semel.client;

import dev.semel.v1.AuthServiceGrpc;
import dev.semel.v1.CheckAuthRequest;
import dev.semel.v1.CheckAuthResponse;
import dev.semel.v1.IssueTokenRequest;
import dev.semel.v1.IssueTokenResponse;
import dev.semel.v1.RevokeTokenRequest;
import dev.semel.v1.RevokeTokenResponse;
import java.util.concurrent.CompletableFuture;

/** The calls about credentials: getting a token, asking what became of one, taking one back. What may be refused, and why, stands in {@code proto/semel/v1/auth_service.proto}. */
public interface AuthCalls extends Calls {
    /**
     * Issues a token for the secret of an app. Where the client holds a secret, app and secret may be left out.
     *
     * @param request the request
     * @return the answer
     */
    default IssueTokenResponse issueToken(IssueTokenRequest request) {
        return call(AuthServiceGrpc.getIssueTokenMethod(), request);
    }

    /**
     * The same as {@link #issueToken}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<IssueTokenResponse> issueTokenAsync(IssueTokenRequest request) {
        return callAsync(AuthServiceGrpc.getIssueTokenMethod(), request);
    }

    /**
     * Says what the server makes of this client's credentials.
     *
     * @param request the request
     * @return the answer
     */
    default CheckAuthResponse checkAuth(CheckAuthRequest request) {
        return call(AuthServiceGrpc.getCheckAuthMethod(), request);
    }

    /**
     * The same as {@link #checkAuth}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<CheckAuthResponse> checkAuthAsync(CheckAuthRequest request) {
        return callAsync(AuthServiceGrpc.getCheckAuthMethod(), request);
    }

    /**
     * Takes back one token, or all tokens of an app. A mutation.
     *
     * @param request the request
     * @return the answer
     */
    default RevokeTokenResponse revokeToken(RevokeTokenRequest request) {
        return call(AuthServiceGrpc.getRevokeTokenMethod(), request);
    }

    /**
     * The same as {@link #revokeToken}, without waiting.
     *
     * @param request the request
     * @return the answer to come
     */
    default CompletableFuture<RevokeTokenResponse> revokeTokenAsync(RevokeTokenRequest request) {
        return callAsync(AuthServiceGrpc.getRevokeTokenMethod(), request);
    }
}
