//! An error as one line: what it says, and why, down to the first cause.

/// The text of an error with those of its causes behind it, each after a colon.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
