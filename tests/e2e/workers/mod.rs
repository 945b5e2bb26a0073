//! Workers over the wire: credit, leases and fencing, reports, credentials of a stream, cancelling, time-outs, logs.

mod cancel;
mod credentials;
mod credit;
mod leases;
mod logs;
mod opening;
mod reports;
mod sdk;
