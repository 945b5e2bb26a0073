//! End to end: a whole server, real clients, the wire between them. One test binary, a file per behaviour.

mod e2e;
