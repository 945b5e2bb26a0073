//! Apps, shown.

use semel_proto::v1::{
    App, CreateAppResponse, DeleteAppResponse, GetAppResponse, Grant, ListAppsResponse, Role, RotateAppSecretResponse,
    UpdateAppResponse,
};
use serde_json::{Value, json};

use super::{Show, enum_name, fields, header_json, list, page_json, string, time_cell};
use crate::cli::out;

/// A grant as people write it.
pub(super) fn grant_text(grant: &Grant) -> String {
    format!("{}:{}", enum_name!(Role, "ROLE_", grant.role).to_lowercase(), out::cell(&grant.apps))
}

pub(super) fn grants_json(grants: &[Grant]) -> Value {
    grants.iter().map(|grant| json!({ "role": enum_name!(Role, "ROLE_", grant.role), "apps": grant.apps })).collect()
}

pub(super) fn grants_text(grants: &[Grant]) -> String {
    grants.iter().map(grant_text).collect::<Vec<_>>().join(" ")
}

pub(super) fn app_json(app: &App) -> Value {
    json!({
        "name": app.name,
        "description": app.description,
        "grants": grants_json(&app.grants),
        "etag": app.etag,
        "create_time": string(app.create_time.as_ref()),
        "update_time": string(app.update_time.as_ref()),
        "secret_create_time": string(app.secret_create_time.as_ref()),
    })
}

fn app_fields(app: Option<&App>) -> Vec<(&'static str, String)> {
    let Some(app) = app else { return Vec::new() };
    vec![
        ("app", out::cell(&app.name)),
        ("description", out::clean(&app.description)),
        ("grants", grants_text(&app.grants)),
        ("etag", out::cell(&app.etag)),
        ("created", time_cell(app.create_time.as_ref())),
        ("changed", time_cell(app.update_time.as_ref())),
        ("secret made", time_cell(app.secret_create_time.as_ref())),
    ]
}

/// Answers that hold an app.
macro_rules! show_app {
    ($($answer:ty),*) => {$(
        impl Show for $answer {
            fn json(&self) -> Value {
                json!({ "header": header_json(self.header.as_ref()), "app": self.app.as_ref().map(app_json) })
            }

            fn text(&self) -> String {
                fields(app_fields(self.app.as_ref()))
            }
        }
    )*};
}
show_app!(GetAppResponse, UpdateAppResponse);

/// Answers that hold an app and its new secret.
macro_rules! show_secret {
    ($($answer:ty),*) => {$(
        impl Show for $answer {
            fn json(&self) -> Value {
                json!({
                    "header": header_json(self.header.as_ref()),
                    "app": self.app.as_ref().map(app_json),
                    "secret": self.secret,
                })
            }

            fn text(&self) -> String {
                let mut rows = app_fields(self.app.as_ref());
                rows.push(("secret", out::cell(&self.secret)));
                fields(rows)
            }
        }
    )*};
}
show_secret!(CreateAppResponse, RotateAppSecretResponse);

impl Show for ListAppsResponse {
    fn json(&self) -> Value {
        json!({
            "header": header_json(self.header.as_ref()),
            "apps": self.apps.iter().map(app_json).collect::<Vec<_>>(),
            "page": page_json(self.page.as_ref()),
        })
    }

    fn text(&self) -> String {
        let row = |app: &App| {
            vec![
                out::cell(&app.name),
                grants_text(&app.grants),
                time_cell(app.create_time.as_ref()),
                out::cell(&app.description),
            ]
        };
        list(&["APP", "GRANTS", "CREATED", "DESCRIPTION"], self.apps.iter().map(row).collect())
    }
}

impl Show for DeleteAppResponse {
    fn json(&self) -> Value {
        json!({ "header": header_json(self.header.as_ref()) })
    }

    fn text(&self) -> String {
        "deleted".to_owned()
    }
}
