//! The dedup broken on purpose, and the checker that must notice.
