/**
 * The client of Semel, a job scheduler in which a call that was made once takes effect once, however often it arrives, and in
 * which every answer says what became of the caller's credentials.
 *
 * <p>Begin with {@link dev.semel.client.SemelClient}. How calls go stands in {@link dev.semel.client.Calls}, how they fail in
 * {@link dev.semel.client.SemelException}, how to follow what happens in {@link dev.semel.client.Watch}, how to do the work in
 * {@link dev.semel.client.Worker}. The messages are those of the protocol, in {@code dev.semel.v1}.
 */
package dev.semel.client;
