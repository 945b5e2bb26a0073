//! Runs over one stream (`SubmitRuns`) instead of a call each. The stream is only another way for an attempt: what a
//! refusal means, when to send again and under which id stays where it is for every call.

mod driver;
mod many;
mod pipe;
mod session;
mod submitter;

pub use many::SubmitMany;
pub(crate) use pipe::{Pipe, Ticket};
pub use submitter::{RunSubmitter, Submission};
