//! Holds the clients of Semel to the same cases, each by its driver, against real servers and what networks do. The runner
//! is `main`; what it runs stands in `cases`; how to use it and how to add a case stands in the README.

pub mod answer;
pub mod bench;
pub mod case;
pub mod cases;
pub mod client;
pub mod driver;
pub mod echo;
pub mod ground;
pub mod json;
pub mod ledger;
pub mod messages;
pub mod refusals;
pub mod relay;
pub mod skew;
pub mod storm;
pub mod suite;
pub mod table;
pub mod tls;
pub mod watching;
pub mod working;
