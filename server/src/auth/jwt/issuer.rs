//! What is known of one issuer: its keys, how fresh they are, and which tokens wait for newer ones. Judging only looks
//! here; where keys are wanted that are not there, it wakes the task that fetches them and asks the caller to come again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use semel_core::id::Millis;
use tokio::sync::Notify;

use super::{jwks::KeySet, jws::Algorithm, settings::IssuerSettings};

/// Between two fetches that unknown keys ask for.
pub(super) const EARLY_FETCH_MIN: Millis = Millis(10_000);
/// When to come again while keys are being fetched.
const SOON: Millis = Millis(1000);
/// Tokens that wait for a newer key set; beyond it they are not remembered, and asked to come again.
const WAITING_MAX: usize = 1000;

/// See the module.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) settings: IssuerSettings,
    /// Wakes the task that fetches.
    pub(super) wanted: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: Option<Loaded>,
    failing: bool,
    /// How many fetches have brought keys, and how many have not.
    fetched: u64,
    failed: u64,
    /// How many fetches have begun.
    begun: u64,
    /// When an early fetch was asked for the last time.
    asked: Option<Millis>,
    /// By the hash of a token: how many fetches had begun when it came for the first time.
    waiting: HashMap<[u8; 32], u64>,
}

#[derive(Clone, Debug)]
struct Loaded {
    set: Arc<KeySet>,
    /// Counts sets that differ.
    generation: u64,
    /// Which fetch brought it.
    fetch: u64,
    /// When that fetch began.
    at: Millis,
}

/// How the keys of an issuer stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerState {
    /// As the operator named it.
    pub issuer: String,
    /// Fetches that brought keys, and that did not.
    pub fetched: u64,
    /// See there.
    pub failed: u64,
    /// How long ago the fetch began that brought the keys; none if there are none.
    pub age: Option<Millis>,
}

/// The key of a token.
pub(super) enum Key {
    /// Is at this place of this set.
    Found { keys: Arc<KeySet>, generation: u64, position: usize },
    /// Is none of the issuer's.
    Unknown,
    /// Cannot be told before so long.
    NotNow(Millis),
}

/// A fetch that has begun.
#[derive(Clone, Copy)]
pub(super) struct Fetch {
    number: u64,
    at: Millis,
}

impl Issuer {
    pub(super) fn new(settings: IssuerSettings) -> Self {
        Self { settings, wanted: Notify::new(), state: Mutex::default() }
    }

    /// Which set of keys is good now, if one is.
    pub(super) fn generation(&self, now: Millis) -> Option<u64> {
        self.lock().good(now, self.settings.max_stale).map(|loaded| loaded.generation)
    }

    /// Looks for the key that a token is signed with.
    pub(super) fn key(&self, id: Option<&str>, algorithm: Algorithm, token: [u8; 32], now: Millis) -> Key {
        let mut state = self.lock();
        let Some(loaded) = state.good(now, self.settings.max_stale) else {
            return Key::NotNow(self.ask(&mut state, now));
        };
        let (set, generation, fetch) = (loaded.set.clone(), loaded.generation, loaded.fetch);
        if let Some(position) = set.choose(id, algorithm) {
            return Key::Found { keys: set, generation, position };
        }
        // Which key it is has been said, and it does not fit; or it has not been said, and newer keys say no more.
        if id.is_none_or(|id| set.knows(id)) {
            return Key::Unknown;
        }
        match state.waiting.get(&token) {
            Some(came) if fetch > *came && !state.failing => Key::Unknown,
            Some(_) => Key::NotNow(self.ask(&mut state, now)),
            None => {
                let begun = state.begun;
                if state.waiting.len() >= WAITING_MAX {
                    state.waiting.retain(|_, came| *came >= fetch);
                }
                if state.waiting.len() < WAITING_MAX {
                    state.waiting.insert(token, begun);
                }
                Key::NotNow(self.ask(&mut state, now))
            }
        }
    }

    pub(super) fn begin(&self, now: Millis) -> Fetch {
        let mut state = self.lock();
        state.begun += 1;
        Fetch { number: state.begun, at: now }
    }

    /// Keys came. `true` if the fetches before had failed, or there were none.
    pub(super) fn loaded(&self, fetch: Fetch, set: KeySet) -> bool {
        let mut state = self.lock();
        let (same, generation) = match &state.keys {
            Some(before) if *before.set == set => (Some(before.set.clone()), before.generation),
            before => (None, before.as_ref().map_or(0, |before| before.generation) + 1),
        };
        let set = same.unwrap_or_else(|| Arc::new(set));
        let news = state.failing || state.keys.is_none();
        state.keys = Some(Loaded { set, generation, fetch: fetch.number, at: fetch.at });
        state.failing = false;
        state.fetched += 1;
        news
    }

    /// Keys did not come. `true` if it is the first time after they had.
    pub(super) fn failed(&self) -> bool {
        let mut state = self.lock();
        state.failed += 1;
        !std::mem::replace(&mut state.failing, true)
    }

    /// How its keys stand.
    pub(super) fn state(&self, now: Millis) -> IssuerState {
        let state = self.lock();
        IssuerState {
            issuer: self.settings.issuer.clone(),
            fetched: state.fetched,
            failed: state.failed,
            age: state.keys.as_ref().map(|loaded| Millis(now.0 - loaded.at.0)),
        }
    }

    /// Asks for an early fetch, unless that was done a moment ago. Says when to come again.
    fn ask(&self, state: &mut State, now: Millis) -> Millis {
        let next = state.asked.map_or(now.0, |asked| asked.0 + EARLY_FETCH_MIN.0);
        // Where a fetch was asked for just now, it is under way.
        if now.0 < next {
            let just_asked = state.asked.is_some_and(|asked| now.0 - asked.0 < SOON.0);
            return if just_asked { SOON } else { Millis((next - now.0).max(SOON.0)) };
        }
        state.asked = Some(now);
        self.wanted.notify_one();
        SOON
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn good(&self, now: Millis, max_stale: Millis) -> Option<&Loaded> {
        self.keys.as_ref().filter(|loaded| now.0 - loaded.at.0 <= max_stale.0)
    }
}
