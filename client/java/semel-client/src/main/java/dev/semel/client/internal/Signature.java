// What a call is signed with. Plain data.
package dev.semel.client.internal;

import io.grpc.CallCredentials;

/**
 * What a call is signed with, and the generation by which to say that it was refused.
 *
 * @param token what goes behind {@code Bearer}; null for nothing
 * @param credentials the same for gRPC; null for nothing
 * @param generation counts the tokens of a client; 0 if they are not renewed
 * @param renewAt when it should be renewed, on the steady clock; null if it stays as it is
 */
public record Signature(String token, CallCredentials credentials, long generation, Long renewAt) {
    /** Nothing. */
    static final Signature NONE = new Signature(null, null, 0, null);

    static Signature of(String token, long generation, Long renewAt) {
        return new Signature(token, new BearerCredentials(token), generation, renewAt);
    }

    /** Never shows the token. */
    @Override
    public String toString() {
        return "Signature[generation=" + generation + "]";
    }
}
