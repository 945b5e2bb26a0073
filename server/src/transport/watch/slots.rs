//! Who is woken for what. A watcher has a slot, which holds no events: one mark, which says from which position on there
//! may be something for it, and its waker. Everything before the mark is known to hold nothing for it, so a watcher of
//! one run is not woken by the others, and its position passes over them at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use semel_core::id::{AppName, Revision};
use semel_proto::v1::EventKind;

use super::{
    filter::{Key, Kinds},
    ring::Entry,
};

/// Watchers of one server. Each costs some kilobytes, and every one that watches all is a message with each event.
pub(crate) const WATCHERS_MAX: usize = 1 << 17;
/// Watchers of the callers of one app: so that no app takes all of them.
pub(crate) const WATCHERS_PER_APP_MAX: usize = 1 << 16;

/// Watchers that are woken before others have their turn.
const WOKEN_TOGETHER: usize = 128;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    mark: Option<Revision>,
    waker: Option<Waker>,
    /// Something but an event makes the watcher look: its credentials, the end of the server.
    nudged: bool,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There may be something from this position on.
    pub(crate) fn mark(&self, from: Revision) {
        self.mark_asleep(from).into_iter().for_each(Waker::wake);
    }

    /// The same for somebody who sees to it that the watcher is woken.
    fn mark_asleep(&self, from: Revision) -> Option<Waker> {
        let mut state = self.lock();
        state.mark = Some(state.mark.map_or(from, |mark| mark.min(from)));
        state.waker.take()
    }

    /// From where on there may be something that the watcher has not looked at yet.
    fn unseen(&self) -> Option<Revision> {
        self.lock().mark
    }

    /// Has the watcher look, although there may be no event for it.
    pub(crate) fn nudge(&self) {
        let waker = {
            let mut state = self.lock();
            state.nudged = true;
            state.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// From where on there may be something; none if there is nothing in all that was published.
    pub(crate) fn take_mark(&self) -> Option<Revision> {
        self.lock().mark.take()
    }

    /// Has this waker woken with the next mark or nudge. False if there was one since the last look: then look again.
    pub(crate) fn sleep(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        if state.mark.is_some() || std::mem::take(&mut state.nudged) {
            return false;
        }
        if !state.waker.as_ref().is_some_and(|former| former.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        true
    }
}

/// Watchers that are marked, and not woken yet.
#[must_use = "a watcher that is not woken sleeps on"]
#[derive(Debug, Default)]
pub(crate) struct Marked(Vec<Waker>);

impl Marked {
    /// Wakes a few at a time, and lets them have their turn before the next: what they say is then on its way before others
    /// say theirs. Ten thousand that are woken at once would all put what they say into memory first.
    pub(crate) async fn wake_in_turns(self) {
        let mut wakers = self.0.into_iter();
        while wakers.len() > 0 {
            wakers.by_ref().take(WOKEN_TOGETHER).for_each(Waker::wake);
            tokio::task::yield_now().await;
        }
    }

    /// Wakes all, where nobody has to take turns.
    #[cfg(test)]
    pub(crate) fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}

/// A slot among others, with the kinds of events that it is woken for.
#[derive(Debug)]
struct Place {
    slot: Arc<Slot>,
    kinds: Kinds,
}

/// All slots, by what they are woken for.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    by_key: HashMap<Key, HashMap<u64, Place>>,
    /// How many watchers the callers of an app have; those without an app count together.
    by_app: HashMap<Option<AppName>, usize>,
    count: usize,
    /// How many watch a label.
    by_label: usize,
    next: u64,
}

/// Why there is no room for another watcher.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The server has as many as it may.
    Server,
    /// The callers of this app have.
    App(Option<AppName>),
}

impl Slots {
    /// Takes a watcher in.
    ///
    /// # Errors
    /// When there are too many.
    pub(crate) fn insert(
        &mut self,
        keys: &[Key],
        kinds: Kinds,
        app: Option<AppName>,
        slot: &Arc<Slot>,
    ) -> Result<u64, Full> {
        if self.count >= WATCHERS_MAX {
            return Err(Full::Server);
        }
        let of_app = self.by_app.entry(app.clone()).or_default();
        if *of_app >= WATCHERS_PER_APP_MAX {
            return Err(Full::App(app));
        }
        *of_app += 1;
        self.count += 1;
        self.next += 1;
        self.by_label += labels_in(keys);
        for key in keys {
            let place = Place { slot: slot.clone(), kinds };
            self.by_key.entry(key.clone()).or_default().insert(self.next, place);
        }
        Ok(self.next)
    }

    /// Lets a watcher go.
    pub(crate) fn remove(&mut self, keys: &[Key], app: &Option<AppName>, id: u64) {
        for key in keys {
            if let Some(places) = self.by_key.get_mut(key) {
                places.remove(&id);
                if places.is_empty() {
                    self.by_key.remove(key);
                }
            }
        }
        self.by_label -= labels_in(keys);
        if let Some(of_app) = self.by_app.get_mut(app) {
            *of_app -= 1;
            if *of_app == 0 {
                self.by_app.remove(app);
            }
        }
        self.count -= 1;
    }

    /// How many watchers there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Marks all for which there is something in these entries, each at the first that concerns it.
    pub(crate) fn mark(&self, entries: &[Arc<Entry>]) -> Marked {
        let mut marked = Marked::default();
        let mut hits: HashMap<Key, Vec<(EventKind, Revision)>> = HashMap::new();
        for entry in entries {
            for event in &entry.events {
                let labels = (self.by_label > 0).then(|| event.told.label_keys()).into_iter().flatten();
                for key in event.told.keys().chain(labels).filter(|key| self.by_key.contains_key(key)) {
                    let kinds = hits.entry(key).or_default();
                    if !kinds.iter().any(|(kind, _)| *kind == event.told.kind) {
                        kinds.push((event.told.kind, entry.revision));
                    }
                }
                if event.told.app.is_none() {
                    self.all(|slot| marked.0.extend(slot.mark_asleep(entry.revision)));
                }
            }
        }
        for (key, kinds) in hits {
            for place in self.by_key.get(&key).into_iter().flat_map(HashMap::values) {
                // The kinds stand in the order of their revisions: the first that the slot wants is its mark.
                if let Some((_, first)) = kinds.iter().find(|(kind, _)| place.kinds.has(*kind)) {
                    marked.0.extend(place.slot.mark_asleep(*first));
                }
            }
        }
        marked
    }

    /// The first position at which there may be something that a watcher has not looked at yet; none if all have.
    pub(crate) fn first_unseen(&self) -> Option<Revision> {
        self.by_key.values().flat_map(HashMap::values).filter_map(|place| place.slot.unseen()).min()
    }

    /// Does something with every slot; with one that stands under several keys, once for each.
    pub(crate) fn all(&self, mut act: impl FnMut(&Slot)) {
        self.by_key.values().flat_map(HashMap::values).for_each(|place| act(&place.slot));
    }
}

fn labels_in(keys: &[Key]) -> usize {
    keys.iter().filter(|key| matches!(key, Key::Label(..))).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_cannot_take_all_places_and_gives_back_what_it_leaves() {
        let app = AppName::parse("a").ok();
        let (mut slots, slot) = (Slots::default(), Arc::new(Slot::default()));
        let ids: Vec<u64> = (0..WATCHERS_PER_APP_MAX)
            .map(|_| slots.insert(&[Key::All], Kinds::ALL, app.clone(), &slot).expect("there is room"))
            .collect();
        assert_eq!(slots.insert(&[Key::All], Kinds::ALL, app.clone(), &slot), Err(Full::App(app.clone())));
        for _ in WATCHERS_PER_APP_MAX..WATCHERS_MAX {
            slots.insert(&[], Kinds::ALL, None, &slot).expect("others find room");
            if slots.by_app[&None] == WATCHERS_PER_APP_MAX {
                break;
            }
        }
        assert_eq!(slots.len(), WATCHERS_MAX);
        let other = AppName::parse("b").ok();
        assert_eq!(slots.insert(&[], Kinds::ALL, other.clone(), &slot), Err(Full::Server));
        ids.into_iter().for_each(|id| slots.remove(&[Key::All], &app, id));
        assert!(slots.by_key.is_empty() && slots.insert(&[], Kinds::ALL, other, &slot).is_ok());
    }

    #[test]
    fn a_mark_is_the_first_position_and_wakes_once() {
        let slot = Slot::default();
        let waker = Waker::noop();
        assert!(slot.sleep(waker));
        slot.mark(Revision(7));
        slot.mark(Revision(5));
        slot.mark(Revision(9));
        assert!(!slot.sleep(waker), "there is something to look at");
        assert_eq!((slot.take_mark(), slot.take_mark()), (Some(Revision(5)), None));
        slot.nudge();
        assert!(!slot.sleep(waker) && slot.sleep(waker), "a nudge counts once");
    }
}
