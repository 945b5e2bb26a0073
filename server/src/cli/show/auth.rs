//! Tokens and verdicts, shown.

use semel_proto::v1::{CheckAuthResponse, IssueTokenResponse, RevokeTokenResponse};
use serde_json::{Value, json};

use super::{
    Show,
    app::{grants_json, grants_text},
    auth_json, enum_name, fields, header_json, string, time_cell,
};
use crate::cli::{failure::auth_words, out};

impl Show for IssueTokenResponse {
    fn json(&self) -> Value {
        json!({
            "header": header_json(self.header.as_ref()),
            "token": self.token,
            "expire_time": string(self.expire_time.as_ref()),
            "token_id": self.token_id,
        })
    }

    /// Only the token, so that a shell can take it; what else there is goes to standard error.
    fn text(&self) -> String {
        out::cell(&self.token)
    }
}

impl Show for CheckAuthResponse {
    fn json(&self) -> Value {
        json!({
            "header": header_json(self.header.as_ref()),
            "auth": self.auth.as_ref().map(auth_json),
            "grants": grants_json(&self.grants),
        })
    }

    fn text(&self) -> String {
        let Some(auth) = &self.auth else { return String::new() };
        let status = enum_name!(semel_proto::v1::AuthStatus, "AUTH_STATUS_", auth.status);
        fields(vec![
            ("status", format!("{status}: {}", auth_words(auth.status()))),
            ("principal", out::cell(&auth.principal)),
            ("by", enum_name!(semel_proto::v1::AuthMethod, "AUTH_METHOD_", auth.method)),
            ("ends", time_cell(auth.expire_time.as_ref())),
            ("grants", grants_text(&self.grants)),
        ])
    }
}

impl Show for RevokeTokenResponse {
    fn json(&self) -> Value {
        json!({ "header": header_json(self.header.as_ref()) })
    }

    fn text(&self) -> String {
        "revoked".to_owned()
    }
}
