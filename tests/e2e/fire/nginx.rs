//! Through real nginx.
