//! Decide tests.
