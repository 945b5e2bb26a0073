//! The setting `auth.identities`: a list of tables, one for each name of certificates. And what it has in common with other
//! lists of callers: how a list of tables is given, and what a caller belongs to and may do.

use semel_core::{app::Grant, id::AppName};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{given::Given, keys::show_grants};
use crate::auth::{Identity, UriPattern};

/// Rows of one list.
pub(super) const IDENTITIES_MAX: usize = 1000;
const FORM: &str = "must be a list of tables, such as [{ uri = \"spiffe://prod.example/ns/pay/*\", app = \"pay\", \
                    grants = [{ role = \"submitter\", apps = \"pay\" }] }]";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stated {
    uri: String,
    app: Option<String>,
    #[serde(default = "nothing")]
    grants: toml::Value,
}

/// An empty list.
pub(super) fn nothing() -> toml::Value {
    toml::Value::Array(Vec::new())
}

/// Reads a list of tables: as a file has it, or the same in TOML as text. `noun` names a row where one is wrong.
pub(super) fn tables<T: DeserializeOwned>(
    given: &Given<'_>,
    noun: &str,
    form: &str,
    max: usize,
) -> Result<Vec<T>, String> {
    let list = match given {
        Given::Toml(value) => (*value).clone(),
        Given::Text("") => nothing(),
        Given::Text(text) => {
            let mut table = format!("list = {text}").parse::<toml::Table>().map_err(|_| form)?;
            table.remove("list").ok_or(form)?
        }
    };
    let toml::Value::Array(list) = list else { return Err(form.to_owned()) };
    if list.len() > max {
        return Err(format!("has {} rows; at most {max} are taken", list.len()));
    }
    let row = |(index, table): (usize, toml::Value)| {
        table.try_into().map_err(|error: toml::de::Error| numbered(noun, index, error.message()))
    };
    list.into_iter().enumerate().map(row).collect()
}

/// What is wrong with the row of this index.
pub(super) fn numbered(noun: &str, index: usize, problem: &str) -> String {
    format!("{noun} number {}: {problem}", index + 1)
}

/// To which app a caller belongs, and what it may do.
pub(super) fn grantee(app: Option<&str>, grants: &toml::Value) -> Result<(Option<AppName>, Vec<Grant>), String> {
    let app = app.map(AppName::parse).transpose().map_err(|problem| format!("app {problem}"))?;
    Ok((app, Given::Toml(grants).grants()?))
}

/// Reads the list.
pub(super) fn read(given: &Given<'_>) -> Result<Vec<Identity>, String> {
    let mut identities: Vec<Identity> = Vec::new();
    for (index, stated) in tables::<Stated>(given, "identity", FORM, IDENTITIES_MAX)?.into_iter().enumerate() {
        let wrong = |problem: String| numbered("identity", index, &problem);
        let uri = UriPattern::parse(&stated.uri).map_err(wrong)?;
        let (app, grants) = grantee(stated.app.as_deref(), &stated.grants).map_err(wrong)?;
        if identities.iter().any(|other| other.uri == uri) {
            return Err(wrong(format!("{} is there already; put all its grants into one row", uri.show())));
        }
        identities.push(Identity { uri, app, grants });
    }
    Ok(identities)
}

/// Shows the list in the form of the file.
pub(super) fn show(identities: &[Identity]) -> Value {
    let row = |identity: &Identity| {
        let app = identity.app.as_ref().map(ToString::to_string);
        json!({ "uri": identity.uri.show(), "app": app, "grants": show_grants(&identity.grants) })
    };
    identities.iter().map(row).collect()
}
