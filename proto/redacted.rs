//! `Debug` for the messages that carry a secret: they show that there is one, never what it is. The build script leaves
//! the derived form out for exactly these.

use std::fmt;

use crate::v1::{CreateAppResponse, IssueTokenRequest, IssueTokenResponse, Reauthenticate, RotateAppSecretResponse};

const REDACTED: &str = "[redacted]";

impl fmt::Debug for IssueTokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssueTokenRequest")
            .field("header", &self.header)
            .field("app", &self.app)
            .field("secret", &REDACTED)
            .field("lifetime", &self.lifetime)
            .field("roles", &self.roles)
            .finish()
    }
}

impl fmt::Debug for IssueTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssueTokenResponse")
            .field("header", &self.header)
            .field("token", &REDACTED)
            .field("expire_time", &self.expire_time)
            .field("token_id", &self.token_id)
            .finish()
    }
}

impl fmt::Debug for CreateAppResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateAppResponse")
            .field("header", &self.header)
            .field("app", &self.app)
            .field("secret", &REDACTED)
            .finish()
    }
}

impl fmt::Debug for RotateAppSecretResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotateAppSecretResponse")
            .field("header", &self.header)
            .field("app", &self.app)
            .field("secret", &REDACTED)
            .finish()
    }
}

impl fmt::Debug for Reauthenticate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reauthenticate").field("token", &REDACTED).finish()
    }
}
