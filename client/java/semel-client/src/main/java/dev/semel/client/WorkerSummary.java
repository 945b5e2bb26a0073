// What a worker did. Plain data.
package dev.semel.client;

/**
 * What a worker did, as the server acknowledged it.
 *
 * @param attempts attempts whose processor was started
 * @param succeeded attempts that were reported as succeeded
 * @param failed attempts that were reported as failed
 * @param cancelled attempts that were reported as cancelled
 * @param released attempts that were given back
 * @param stale attempts that were over before they could be reported: timed out, or given to another worker
 * @param unreported attempts whose report was not acknowledged before the worker had to stop; their leases run out
 */
public record WorkerSummary(
        long attempts, long succeeded, long failed, long cancelled, long released, long stale, long unreported) {}
