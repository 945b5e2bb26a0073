//! Runs over one stream: every promise of a single call, item by item.

mod client;
mod credentials;
mod flow;
mod items;
