//! The setting `quota.apps`: a list of tables, one for each app or prefix of apps whose quota differs from that of all.

use semel_core::app::AppPattern;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    given::Given,
    identities::{numbered, tables},
    keys::QUOTA_MAX,
};
use crate::transport::AppQuota;

/// Rows of the list.
const ROWS_MAX: usize = 1000;
const FORM: &str =
    "must be a list of tables, such as [{ apps = \"pay/*\", mutations_per_second = 5000, calls_max = 0 }]";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stated {
    apps: String,
    mutations_per_second: Option<u64>,
    mutations_burst: Option<u64>,
    calls_max: Option<u64>,
}

/// What a row bounds, with the names that the file has.
fn bounds(quota: &AppQuota) -> [(&'static str, Option<u64>); 3] {
    [
        ("mutations_per_second", quota.mutations_per_second),
        ("mutations_burst", quota.mutations_burst),
        ("calls_max", quota.calls_max),
    ]
}

/// Reads the list.
pub(super) fn read(given: &Given<'_>) -> Result<Vec<AppQuota>, String> {
    let mut quotas: Vec<AppQuota> = Vec::new();
    for (index, stated) in tables::<Stated>(given, "quota", FORM, ROWS_MAX)?.into_iter().enumerate() {
        let wrong = |problem: String| numbered("quota", index, &problem);
        let apps = AppPattern::parse(&stated.apps).map_err(|problem| wrong(format!("apps {problem}")))?;
        if let Some(before) = quotas.iter().find(|before| before.apps.covers(&apps)) {
            return Err(wrong(format!("{apps} never counts, for {} stands before it", before.apps)));
        }
        let Stated { mutations_per_second, mutations_burst, calls_max, .. } = stated;
        let quota = AppQuota { apps, mutations_per_second, mutations_burst, calls_max };
        if let Some((name, _)) = bounds(&quota).into_iter().find(|(_, bound)| *bound > Some(QUOTA_MAX)) {
            return Err(wrong(format!("{name} must be from 0 to {QUOTA_MAX}")));
        }
        if bounds(&quota).iter().all(|(_, bound)| bound.is_none()) {
            return Err(wrong(format!(
                "says nothing of {}: give it mutations_per_second, mutations_burst or calls_max",
                quota.apps
            )));
        }
        quotas.push(quota);
    }
    Ok(quotas)
}

/// Shows the list in the form of the file.
pub(super) fn show(quotas: &[AppQuota]) -> Value {
    let row = |quota: &AppQuota| {
        let mut shown = Map::from_iter([("apps".to_owned(), json!(quota.apps.to_string()))]);
        shown.extend(bounds(quota).into_iter().filter_map(|(name, bound)| Some((name.to_owned(), json!(bound?)))));
        Value::Object(shown)
    };
    quotas.iter().map(row).collect()
}
