//! The tasks that bring the keys of issuers, one for each, and bring them anew. They end with the value that holds them.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time};
use tracing::{info, warn};

use super::{Issuers, fetch, issuer::Issuer};
use crate::clock::Clock;

/// The first wait after a failure; it doubles with each further one.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// The tasks that fetch. Dropping it ends them.
#[derive(Debug)]
pub struct Refreshers(JoinSet<()>);

impl Refreshers {
    /// Begins to fetch.
    pub fn start(issuers: &Issuers, clock: &Clock) -> Self {
        let mut tasks = JoinSet::new();
        for issuer in &issuers.issuers {
            tasks.spawn(keep_fresh(issuer.clone(), clock.clone()));
        }
        Self(tasks)
    }

    /// Ends them and waits until they have.
    pub async fn stop(mut self) {
        self.0.shutdown().await;
    }
}

async fn keep_fresh(issuer: Arc<Issuer>, clock: Clock) {
    let mut backoff = BACKOFF_MIN;
    loop {
        let wait = if refresh(&issuer, &clock).await {
            backoff = BACKOFF_MIN;
            issuer.settings.refresh
        } else {
            let longer = (backoff * 2).min(BACKOFF_MAX);
            std::mem::replace(&mut backoff, longer).min(issuer.settings.refresh)
        };
        tokio::select! {
            () = time::sleep(crate::clock::around(wait)) => {}
            () = issuer.wanted.notified() => {}
        }
    }
}

/// Fetches once; whether it succeeded.
async fn refresh(issuer: &Issuer, clock: &Clock) -> bool {
    let name = &issuer.settings.issuer;
    let begun = issuer.begin(clock.steady());
    match fetch::fetch(&issuer.settings.keys).await {
        Ok(set) => {
            if issuer.loaded(begun, set) {
                info!(issuer = %name, "the keys of the issuer are there");
            }
            true
        }
        Err(error) => {
            if issuer.failed() {
                warn!(issuer = %name, keys = %issuer.settings.keys, %error, "cannot get the keys of the issuer; trying on");
            }
            false
        }
    }
}
