//! The dedup window: rows, counts, arrivals and expiry.

use std::collections::BTreeMap;

use semel_core::{
    id::AppName,
    window::{Arrivals, DedupRecord, Told},
};

use super::{Place, Session, fixtures::*};
use crate::store::{Batch, DedupKey};

fn counts(of: &[(&str, u64)]) -> BTreeMap<AppName, u64> {
    of.iter().map(|(app, count)| (app_name(app), *count)).collect()
}

/// So many arrivals, of which the last told of as many tries.
fn seen(count: u32) -> Arrivals {
    Arrivals { count: count.into(), told: Some(Told { previous_attempts: count, proxy_attempts: 0 }) }
}

pub(super) fn requests_are_counted_by_app(place: &impl Place) {
    let mut session = Session::start(place);
    session.commit(&batch_of_requests(1, &[request_key("a", 1, 1), request_key("b", 2, 2), request_key("a", 3, 3)]));
    session.commit(&batch_of_requests(2, &[request_key("a", 4, 4), request_key("a/b", 5, 5)]));
    drop(session);
    assert_eq!(Session::start(place).loaded.window_counts, counts(&[("a", 3), ("a/b", 1), ("b", 1)]));
}

pub(super) fn a_request_is_never_remembered_twice(place: &impl Place) {
    let key = request_key("a", 1, 1);
    let mut session = Session::start(place);
    session.commit(&batch_of_requests(1, std::slice::from_ref(&key)));
    let other = DedupRecord { arrivals: 99, ..small_dedup() };
    assert!(session.try_commit(&Batch { requests: vec![(key.clone(), other)], ..batch(2) }).is_err());
    assert_eq!(session.reader.request(&key).expect("a read"), Some(small_dedup()));
    drop(session);
    assert_eq!(Session::start(place).loaded.window_counts, counts(&[("a", 1)]));
}

pub(super) fn one_id_under_two_apps_is_two_requests(place: &impl Place) {
    let mut session = Session::start(place);
    session.commit(&batch_of_requests(1, &[request_key("a", 1, 1), request_key("b", 1, 1)]));
    assert_eq!(session.reader.requests(&requests_of("a")).expect("a read").items.len(), 1);
    let committed = session.commit(&Batch { expire: Some((at(100), 1)), ..batch(2) });
    assert_eq!(committed.expired, counts(&[("a", 1)]));
    assert!(session.reader.request(&request_key("a", 1, 1)).expect("a read").is_none());
    assert!(session.reader.request(&request_key("b", 1, 1)).expect("a read").is_some());
}

pub(super) fn expiry_takes_the_oldest_in_slices_and_counts_exactly(place: &impl Place) {
    let app_of = |number: i64| if number % 3 == 0 { "b" } else { "a" };
    let keys: Vec<DedupKey> = (1..=25).map(|number| request_key(app_of(number), number, 1)).collect();
    let mut session = Session::start(place);
    session.commit(&batch_of_requests(1, &keys));

    let slice = |session: &mut Session| session.commit(&Batch { expire: Some((at(21), 8)), ..batch(2) }).expired;
    assert_eq!(slice(&mut session), counts(&[("a", 6), ("b", 2)]), "1 to 8");
    assert_eq!(slice(&mut session), counts(&[("a", 5), ("b", 3)]), "9 to 16");
    drop(session);
    let mut session = Session::start(place);
    assert_eq!(session.loaded.window_counts, counts(&[("a", 6), ("b", 3)]));
    assert_eq!(slice(&mut session), counts(&[("a", 3), ("b", 1)]), "17 to 20");
    assert_eq!(slice(&mut session), counts(&[]));
    let left = keys.iter().filter(|key| session.reader.request(key).expect("a read").is_some());
    assert_eq!(left.collect::<Vec<_>>(), keys[20..].iter().collect::<Vec<_>>());

    let all = session.commit(&Batch { expire: Some((semel_core::id::Timestamp(i64::MAX), 100)), ..batch(3) });
    assert_eq!(all.expired, counts(&[("a", 3), ("b", 2)]));
    drop(session);
    assert_eq!(Session::start(place).loaded.window_counts, counts(&[]));
}

pub(super) fn expiry_spares_what_was_minted_at_its_bound(place: &impl Place) {
    let keys = [request_key("a", 9, u64::from(u32::MAX)), request_key("a", 10, 0), request_key("a", 11, 0)];
    let mut session = Session::start(place);
    session.commit(&batch_of_requests(1, &keys));
    let committed = session.commit(&Batch { expire: Some((at(10), 100)), ..batch(2) });
    assert_eq!(committed.expired, counts(&[("a", 1)]));
    let there = keys.each_ref().map(|key| session.reader.request(key).expect("a read").is_some());
    assert_eq!(there, [false, true, true]);
    assert_eq!(session.reader.oldest_request().expect("a read"), Some(keys[1].request_id));
    assert!(session.commit(&Batch { expire: Some((at(100), 0)), ..batch(3) }).expired.is_empty(), "at most none");
    let long_ago = semel_core::id::Timestamp(-5);
    assert!(session.commit(&Batch { expire: Some((long_ago, 100)), ..batch(4) }).expired.is_empty());
}

pub(super) fn a_request_that_is_expired_in_its_own_batch_is_not_counted(place: &impl Place) {
    let mut session = Session::start(place);
    let keys = [request_key("a", 1, 1), request_key("a", 50, 2), request_key("b", 2, 3)];
    let committed = session.commit(&Batch { expire: Some((at(10), 100)), ..batch_of_requests(1, &keys) });
    assert_eq!(committed.expired, counts(&[("a", 1), ("b", 1)]));
    drop(session);
    assert_eq!(Session::start(place).loaded.window_counts, counts(&[("a", 1)]));
}

pub(super) fn arrivals_are_written_to_the_requests_that_are_there(place: &impl Place) {
    let [old, new, gone] = [1, 2, 3].map(|number| request_key("a", number, 1));
    let mut session = Session::start(place);
    session.commit(&batch_of_requests(1, std::slice::from_ref(&old)));
    session.commit(&Batch {
        arrivals: [(&old, 3), (&new, 2), (&gone, 9), (&old, 4)].map(|(key, count)| (key.clone(), seen(count))).to_vec(),
        ..batch_of_requests(2, std::slice::from_ref(&new))
    });
    let arrived = |count| Some(small_dedup().with(seen(count)));
    assert_eq!(session.reader.request(&old).expect("a read"), arrived(4), "the last one counts, all else stays");
    assert_eq!(session.reader.request(&new).expect("a read"), arrived(2));
    assert_eq!(session.reader.request(&gone).expect("a read"), None);
    drop(session);
    assert_eq!(Session::start(place).loaded.window_counts, counts(&[("a", 2)]), "an arrival is no request");
}
