//! The input of the built-in processors: a JSON object, read strictly. What it means is each processor's own.

use serde::de::DeserializeOwned;

/// Why a payload cannot be read. It stays so however often it is tried.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Error {
    /// The payload says that it is something else, or says nothing.
    #[error("the payload is of the content type {0:?}; send `application/json`")]
    ContentType(String),
    /// It is not what the processor takes.
    #[error("cannot read the payload: {0}")]
    Json(String),
}

/// Reads a payload.
pub(crate) fn parse<T: DeserializeOwned>(content_type: &str, data: &[u8]) -> Result<T, Error> {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Error::ContentType(content_type.to_owned()));
    }
    serde_json::from_slice(data).map_err(|error| Error::Json(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_is_read() {
        assert_eq!(parse::<Vec<u8>>("application/json", b"[1]"), Ok(vec![1]));
        assert_eq!(parse::<Vec<u8>>("Application/JSON; charset=utf-8", b"[1]"), Ok(vec![1]));
        assert_eq!(parse::<Vec<u8>>("text/plain", b"[1]"), Err(Error::ContentType("text/plain".to_owned())));
        assert!(matches!(parse::<Vec<u8>>("application/json", b"[1"), Err(Error::Json(_))));
    }
}
