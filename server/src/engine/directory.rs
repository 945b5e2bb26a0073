//! A copy of all credentials for the auth layer, published whole whenever one changes. Read without asking the engine.

use std::sync::Arc;

use foldhash::HashMap;
use semel_core::{
    State,
    app::App,
    id::{AppName, Timestamp, TokenId},
    policy::Principal,
};

/// All apps with what is needed to recognise them.
#[derive(Debug, Default)]
pub struct Directory {
    apps: HashMap<AppName, AppEntry>,
    by_secret: HashMap<[u8; 32], AppName>,
    revoked: HashMap<TokenId, Timestamp>,
}

/// What is needed to recognise an app.
#[derive(Clone, Debug)]
pub struct AppEntry {
    /// Hashes of the secrets that are good, each until when.
    pub secrets: Vec<([u8; 32], Option<Timestamp>)>,
    /// It, with all that it may do: whoever has its secret is shown as this one.
    pub principal: Arc<Principal>,
    /// Tokens issued up to then are revoked.
    pub tokens_revoked_until: Option<Timestamp>,
    /// When the app was made: tokens of an older app of the same name are not its own.
    pub create_time: Timestamp,
}

fn principal(app: &App) -> Principal {
    Principal { name: format!("app:{}", app.name).into(), app: Some(app.name.clone()), grants: app.effective_grants() }
}

impl Directory {
    pub(super) fn of(state: &State) -> Self {
        let mut directory = Self::default();
        for app in state.apps() {
            let mut secrets = vec![(app.secret.hash, None)];
            secrets.extend(app.former_secret.iter().map(|former| (former.hash, Some(former.expire_time))));
            for (hash, _) in &secrets {
                directory.by_secret.insert(*hash, app.name.clone());
            }
            let entry = AppEntry {
                secrets,
                principal: Arc::new(principal(app)),
                tokens_revoked_until: app.tokens_revoked_until,
                create_time: app.create_time,
            };
            directory.apps.insert(app.name.clone(), entry);
        }
        directory.revoked = state.revoked_tokens().iter().map(|(id, end)| (*id, *end)).collect();
        directory
    }

    /// One app.
    pub fn app(&self, name: &AppName) -> Option<&AppEntry> {
        self.apps.get(name)
    }

    /// All apps.
    pub fn names(&self) -> impl Iterator<Item = &AppName> {
        self.apps.keys()
    }

    /// The app that has a secret with this hash, whether that is still good or not. The secrets have 256 random bits and
    /// are looked up by their hash, so the time that it takes tells nothing of use.
    pub fn app_of_secret(&self, hash: &[u8; 32]) -> Option<&AppEntry> {
        self.apps.get(self.by_secret.get(hash)?)
    }

    /// Whether a token was taken back by its id.
    pub fn is_revoked(&self, token_id: TokenId) -> bool {
        self.revoked.contains_key(&token_id)
    }
}
