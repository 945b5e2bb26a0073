//! What is written down for operators beside the log for people: a line for every call (`access`), and who changed what or was
//! refused (`audit`). Neither ever holds a payload or a credential, and neither holds up a call: both are written by threads of
//! their own, behind queues with a bound, and say themselves how many lines they had no room for.

pub mod access;
pub mod audit;
mod text;
mod writer;
