// An answer with what is known of the call beside it. Plain data.
package dev.semel.client;

/**
 * The answer of a call, and what is known of the call itself.
 *
 * @param response the answer; its header says whether the call took effect now or earlier
 * @param requestId the id of the logical call
 * @param attempts how often this client sent it
 * @param <R> the message of the answer
 */
public record Answer<R>(R response, String requestId, int attempts) {}
