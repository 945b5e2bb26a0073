//! More than the server gets done: who is refused first, what the refused are told, and what holds all the same.

mod classes;
mod ground;
mod load;
mod quotas;
mod service_config;
