// All calls of the protocol in one type.
package dev.semel.client;

/** All unary calls of the protocol: of a {@link SemelClient}, or of one {@linkplain SemelClient#with with settings}. */
public interface SemelCalls extends AppCalls, AuthCalls, JobCalls, RequestCalls, RunCalls, ServerCalls, TriggerCalls {}
