//! The setting `auth.issuers`: a list of tables, one for each outside issuer. Read whole, because its parts mean nothing
//! alone; every fault names the issuer by its number.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    given::Given,
    identities::{IDENTITIES_MAX, grantee, nothing, numbered, tables},
    keys::{show_grants, show_millis},
    millis, show_duration,
};
use crate::auth::jwt::{Identity, IssuerSettings, JwksUrl, KeySource, SubjectPattern};

/// Issuers in the list.
const ISSUERS_MAX: usize = 16;
const FORM: &str = "must be a list of tables: write [[auth.issuers]] with issuer, audience, and jwks_url or jwks_file";

const SECOND: Duration = Duration::from_secs(1);
const LEEWAY_MAX: Duration = Duration::from_secs(300);
const REFRESH_MAX: Duration = Duration::from_secs(24 * 3600);
const MAX_STALE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stated {
    issuer: String,
    audience: String,
    jwks_file: Option<PathBuf>,
    jwks_url: Option<String>,
    leeway: Option<toml::Value>,
    refresh: Option<toml::Value>,
    max_stale: Option<toml::Value>,
    principal_claim: Option<String>,
    #[serde(default)]
    identities: Vec<StatedIdentity>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatedIdentity {
    subject: String,
    app: Option<String>,
    #[serde(default = "nothing")]
    grants: toml::Value,
}

/// Reads the list.
pub(super) fn read(given: &Given<'_>) -> Result<Vec<IssuerSettings>, String> {
    let mut issuers: Vec<IssuerSettings> = Vec::new();
    for (index, stated) in tables::<Stated>(given, "issuer", FORM, ISSUERS_MAX)?.into_iter().enumerate() {
        let wrong = |problem: String| numbered("issuer", index, &problem);
        let read = issuer(stated).map_err(wrong)?;
        if issuers.iter().any(|other| other.issuer == read.issuer) {
            return Err(wrong(format!("{:?} is there already", read.issuer)));
        }
        issuers.push(read);
    }
    Ok(issuers)
}

fn issuer(stated: Stated) -> Result<IssuerSettings, String> {
    check_name(&stated.issuer)?;
    if stated.audience.is_empty() {
        return Err("audience must not be empty: it is what tokens for this server say that they are for".to_owned());
    }
    let keys = match (stated.jwks_file, stated.jwks_url) {
        (Some(path), None) if !path.as_os_str().is_empty() => KeySource::File(path),
        (None, Some(url)) => KeySource::Url(JwksUrl::parse(&url).map_err(|problem| format!("jwks_url: {problem}"))?),
        _ => return Err("must have one of jwks_file and jwks_url".to_owned()),
    };
    if stated.identities.len() > IDENTITIES_MAX {
        return Err(format!("holds {} identities; at most {IDENTITIES_MAX} are taken", stated.identities.len()));
    }
    let mut settings = IssuerSettings::new(stated.issuer, stated.audience, keys);
    if let Some(leeway) = span("leeway", stated.leeway.as_ref(), Duration::ZERO, LEEWAY_MAX)? {
        settings.leeway = millis(leeway);
    }
    if let Some(refresh) = span("refresh", stated.refresh.as_ref(), SECOND, REFRESH_MAX)? {
        settings.refresh = refresh;
    }
    if let Some(max_stale) = span("max_stale", stated.max_stale.as_ref(), SECOND, MAX_STALE_MAX)? {
        settings.max_stale = millis(max_stale);
    }
    // Keys that are good for less long than until they are read again would be good now and then.
    if settings.max_stale.0 < 2 * millis(settings.refresh).0 {
        return Err("max_stale must be at least twice refresh".to_owned());
    }
    if let Some(claim) = stated.principal_claim.filter(|claim| !claim.is_empty()) {
        settings.principal_claim = claim;
    }
    settings.identities = stated.identities.into_iter().map(identity).collect::<Result<_, _>>()?;
    Ok(settings)
}

fn check_name(issuer: &str) -> Result<(), String> {
    match issuer {
        "" => Err("issuer must not be empty: it is the claim `iss`, letter by letter".to_owned()),
        "semel" => Err("\"semel\" is what this server's own tokens say; the issuer must have another name".to_owned()),
        name if name.len() > 255 || name.contains('#') || name.chars().any(char::is_control) => {
            Err(format!("{name:?} is no issuer: at most 255 bytes, without `#` and control characters"))
        }
        _ => Ok(()),
    }
}

fn span(name: &str, value: Option<&toml::Value>, min: Duration, max: Duration) -> Result<Option<Duration>, String> {
    let read = value.map(|value| Given::Toml(value).duration(min, max)).transpose();
    read.map_err(|problem| format!("{name} {problem}"))
}

fn identity(stated: StatedIdentity) -> Result<Identity, String> {
    let subject = SubjectPattern::parse(&stated.subject)?;
    let (app, grants) = grantee(stated.app.as_deref(), &stated.grants)
        .map_err(|problem| format!("the identity {:?}: {problem}", stated.subject))?;
    Ok(Identity { subject, app, grants })
}

/// Shows the list in the form of the file.
pub(super) fn show(issuers: &[IssuerSettings]) -> Value {
    let identity = |row: &Identity| {
        json!({
            "subject": row.subject.as_str(),
            "app": row.app.as_ref().map(ToString::to_string),
            "grants": show_grants(&row.grants),
        })
    };
    let issuer = |settings: &IssuerSettings| {
        let field = match settings.keys {
            KeySource::File(_) => "jwks_file",
            KeySource::Url(_) => "jwks_url",
        };
        json!({
            "issuer": settings.issuer,
            "audience": settings.audience,
            field: settings.keys.to_string(),
            "leeway": show_millis(settings.leeway.0),
            "refresh": show_duration(settings.refresh),
            "max_stale": show_millis(settings.max_stale.0),
            "principal_claim": settings.principal_claim,
            "identities": settings.identities.iter().map(identity).collect::<Vec<_>>(),
        })
    };
    issuers.iter().map(issuer).collect()
}
