//! Why an error came to be. Libraries of the transport say "transport error" and keep the rest behind it.

use std::{error::Error, iter};

/// An error, and those behind it.
pub(crate) fn of<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    iter::successors(Some(error), |error| (*error).source())
}

/// What the innermost of them says.
pub(crate) fn root(error: &(dyn Error + 'static)) -> String {
    of(error).last().unwrap_or(error).to_string()
}
