//! The dedup window's rules: which ids are taken, what is remembered of a request, and when two requests are one.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::{
    command::Method,
    id::{Millis, RequestId, Revision, Timestamp},
    rejection::Rejection,
    reply::Reply,
    trace::TraceContext,
};

/// How long and how much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How far back ids are remembered; older ones are refused.
    pub length: Millis,
    /// How far in the future an id may lie.
    pub future_max: Millis,
    /// How many requests of one app are remembered at most.
    pub records_per_app_max: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            length: Millis::from_secs(24 * 3600),
            future_max: Millis::from_secs(5 * 60),
            records_per_app_max: 10_000_000,
        }
    }
}

impl Window {
    /// Whether an id may be executed or replayed at all (promise D6). Asked before the record is looked for, so that
    /// the answer does not depend on how far expiry has come.
    ///
    /// # Errors
    /// [`Rejection::RequestIdExpired`] and [`Rejection::RequestIdInFuture`].
    pub fn admit(&self, id: RequestId, now: Timestamp) -> Result<(), Rejection> {
        let minted_at = id.minted_at();
        if minted_at < self.oldest(now) {
            return Err(Rejection::RequestIdExpired { window: self.length, minted_at });
        }
        if minted_at > now.plus(self.future_max) {
            return Err(Rejection::RequestIdInFuture { ahead: Millis(minted_at.0 - now.0) });
        }
        Ok(())
    }

    /// Ids that were minted before this are refused, and their records may go.
    pub fn oldest(&self, now: Timestamp) -> Timestamp {
        now.minus(self.length)
    }

    /// Until when sending the request again cannot execute it again.
    pub fn safe_retry_until(&self, id: RequestId) -> Timestamp {
        id.minted_at().plus(self.length)
    }
}

/// What a request says, in short. Made by the transport over decoded fields.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Fingerprint {
    /// The version of the way it was made.
    #[n(0)]
    pub version: u8,
    /// A hash over all content.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub digest: [u8; 16],
    /// A checksum for each leaf that is not at its default, by leaf.
    #[n(2)]
    pub leaves: Vec<(u16, u32)>,
}

impl Fingerprint {
    /// The first leaf in which two fingerprints differ; none if they are equal.
    pub fn first_difference(&self, other: &Self) -> Option<u16> {
        if self.version == other.version && self.digest == other.digest {
            return None;
        }
        let mut mine = self.leaves.iter().peekable();
        let mut theirs = other.leaves.iter().peekable();
        loop {
            match (mine.peek(), theirs.peek()) {
                (Some(a), Some(b)) if a == b => {
                    mine.next();
                    theirs.next();
                }
                (Some(a), Some(b)) => return Some(a.0.min(b.0)),
                (Some(only), None) | (None, Some(only)) => return Some(only.0),
                // Equal checksums under unequal hashes: something differs, and its name is lost.
                (None, None) => return Some(0),
            }
        }
    }
}

/// What is remembered of a request that took effect. Commits together with the effect (promise D2).
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct DedupRecord {
    /// By which method.
    #[n(0)]
    pub method: Method,
    /// By whom.
    #[cbor(n(1), with = "crate::codec::shared_str")]
    pub principal: Arc<str>,
    /// What it said.
    #[n(2)]
    pub fingerprint: Fingerprint,
    /// The log position of its effect.
    #[n(3)]
    pub revision: Revision,
    /// When it took effect.
    #[n(4)]
    pub execute_time: Timestamp,
    /// What was answered.
    #[n(5)]
    pub reply: Reply,
    /// How often the id was seen.
    #[n(6)]
    pub arrivals: u64,
    /// What was told of tries elsewhere; none if nothing ever was.
    #[n(7)]
    pub told: Option<Told>,
    /// The place in a trace at which it took effect; none if it said none. What arrives again is linked to it.
    #[n(8)]
    pub trace: Option<Box<TraceContext>>,
}

/// What arrivals of a request told of other tries of it, by the metadata that retry layers send: of each the highest. A try
/// that never came here is known by this alone. Zero: nothing was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Told {
    /// How many tries of gRPC's own went before (`grpc-previous-rpc-attempts`).
    #[n(0)]
    pub previous_attempts: u32,
    /// Which try of a proxy it was, counted from one (`x-envoy-attempt-count`).
    #[n(1)]
    pub proxy_attempts: u32,
}

impl Told {
    /// Of both the highest.
    pub fn most(self, other: Self) -> Self {
        Self {
            previous_attempts: self.previous_attempts.max(other.previous_attempts),
            proxy_attempts: self.proxy_attempts.max(other.proxy_attempts),
        }
    }
}

/// What changes in a record when its request arrives again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrivals {
    /// How often the id was seen.
    pub count: u64,
    /// See [`DedupRecord::told`].
    pub told: Option<Told>,
}

impl Arrivals {
    /// One more arrival, that told this.
    pub fn add(&mut self, told: Option<Told>) {
        self.count += 1;
        self.told = match (self.told, told) {
            (Some(before), Some(now)) => Some(before.most(now)),
            (before, now) => before.or(now),
        };
    }
}

/// In what an arrival differs from the request that was remembered under its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Another method.
    Method,
    /// Another principal.
    Principal,
    /// Another content: the leaf.
    Content(u16),
}

impl DedupRecord {
    /// How it arrived so far.
    pub fn seen(&self) -> Arrivals {
        Arrivals { count: self.arrivals, told: self.told }
    }

    /// The same with other arrivals.
    #[must_use]
    pub fn with(self, Arrivals { count, told }: Arrivals) -> Self {
        Self { arrivals: count, told, ..self }
    }

    /// In what an arrival under the same id differs; none if it is the same request again (promise D5).
    pub fn difference(&self, method: Method, principal: &str, fingerprint: &Fingerprint) -> Option<Difference> {
        if self.method != method {
            return Some(Difference::Method);
        }
        if *self.principal != *principal {
            return Some(Difference::Principal);
        }
        self.fingerprint.first_difference(fingerprint).map(Difference::Content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    fn id_at(time: i64) -> RequestId {
        let mut bytes = [0x70; 16];
        bytes[..6].copy_from_slice(&time.to_be_bytes()[2..]);
        RequestId(bytes)
    }

    #[test]
    fn the_window_is_closed_on_both_sides() {
        let window = Window { length: Millis(1000), future_max: Millis(100), records_per_app_max: 1 };
        let now = Timestamp(10_000);
        let admit = |time| window.admit(id_at(time), now);
        assert!(matches!(admit(8_999), Err(Rejection::RequestIdExpired { .. })));
        assert!(admit(9_000).is_ok() && admit(10_000).is_ok() && admit(10_100).is_ok());
        assert!(matches!(admit(10_101), Err(Rejection::RequestIdInFuture { ahead: Millis(101) })));
    }

    #[test]
    fn the_first_difference_is_named_whichever_side_has_the_field() {
        let print = |digest: u8, leaves: &[(u16, u32)]| Fingerprint {
            version: 1,
            digest: [digest; 16],
            leaves: leaves.to_vec(),
        };
        let a = print(1, &[(768, 1), (1025, 2)]);
        assert_eq!(a.first_difference(&a), None);
        assert_eq!(a.first_difference(&print(2, &[(768, 1), (1025, 3)])), Some(1025));
        assert_eq!(a.first_difference(&print(2, &[(768, 1)])), Some(1025));
        assert_eq!(print(2, &[(768, 1)]).first_difference(&a), Some(1025));
        assert_eq!(a.first_difference(&print(2, &[(512, 9), (768, 1), (1025, 2)])), Some(512));
        assert_eq!(a.first_difference(&print(2, &[(768, 1), (1025, 2)])), Some(0));
    }

    #[test]
    fn a_day_back_and_five_minutes_ahead_are_the_default() {
        let (window, now) = (Window::default(), Timestamp(1_750_000_000_000));
        let day = 24 * 3600 * 1000;
        for (age, good) in [(0, true), (day, true), (day + 1, false), (-300_000, true), (-300_001, false)] {
            assert_eq!(window.admit(id_at(now.0 - age), now).is_ok(), good, "{age} ms old");
        }
    }

    #[test]
    fn an_expired_id_is_refused_with_its_time_and_the_window() {
        let window = Window { length: Millis(1000), ..Window::default() };
        let refused = window.admit(id_at(7), Timestamp(5000));
        assert_eq!(refused, Err(Rejection::RequestIdExpired { window: Millis(1000), minted_at: Timestamp(7) }));
    }

    #[test]
    fn an_id_is_safe_to_send_exactly_as_long_as_it_is_admitted() {
        let window = Window { length: Millis(1000), ..Window::default() };
        let id = id_at(50_000);
        let until = window.safe_retry_until(id);
        assert_eq!(until, Timestamp(51_000));
        assert!(window.admit(id, until).is_ok());
        let after = until.plus(Millis(1));
        assert!(window.admit(id, after).is_err());
        assert!(id.minted_at() < window.oldest(after), "its record may go just when it is refused");
        assert!(id.minted_at() >= window.oldest(until), "and not before");
    }

    #[test]
    fn a_window_of_nothing_and_one_of_all_time_do_not_overflow() {
        let shut = Window { length: Millis(0), future_max: Millis(0), records_per_app_max: 1 };
        assert!(shut.admit(id_at(5), Timestamp(5)).is_ok());
        assert!(shut.admit(id_at(5), Timestamp(6)).is_err() && shut.admit(id_at(6), Timestamp(5)).is_err());
        let open = Window { length: Millis(i64::MAX), future_max: Millis(i64::MAX), records_per_app_max: 1 };
        for time in [0, 1, (1 << 48) - 1] {
            assert!(open.admit(id_at(time), Timestamp(i64::MAX)).is_ok());
            assert!(open.admit(id_at(time), Timestamp(0)).is_ok());
        }
    }

    fn record() -> DedupRecord {
        DedupRecord {
            method: Method::RunJob,
            principal: "app:pay".into(),
            fingerprint: Fingerprint { version: 1, digest: [1; 16], leaves: vec![(768, 1)] },
            revision: Revision(1),
            execute_time: Timestamp(1),
            reply: Reply::Done,
            arrivals: 1,
            told: None,
            trace: None,
        }
    }

    #[test]
    fn the_same_request_again_differs_in_nothing() {
        let record = record();
        assert_eq!(record.difference(Method::RunJob, "app:pay", &record.fingerprint), None);
    }

    #[test]
    fn method_then_principal_then_content_are_compared() {
        let (record, other) = (record(), Fingerprint { version: 1, digest: [2; 16], leaves: vec![(768, 2)] });
        let same = record.fingerprint.clone();
        let difference = |method, principal, print: &Fingerprint| record.difference(method, principal, print);
        assert_eq!(difference(Method::CancelRun, "app:shop", &other), Some(Difference::Method));
        assert_eq!(difference(Method::RunJob, "app:shop", &other), Some(Difference::Principal));
        assert_eq!(difference(Method::RunJob, "app:pay", &other), Some(Difference::Content(768)));
        assert_eq!(difference(Method::RunJob, "app:pay/eu", &same), Some(Difference::Principal));
        for method in Method::ALL.into_iter().filter(|method| *method != Method::RunJob) {
            assert_eq!(difference(method, "app:pay", &same), Some(Difference::Method), "{method:?}");
        }
    }

    #[test]
    fn a_fingerprint_made_in_another_way_is_another_one() {
        let mut other = record().fingerprint;
        other.version = 2;
        assert_eq!(record().fingerprint.first_difference(&other), Some(0));
    }

    #[test]
    fn the_first_of_two_differences_is_named() {
        let print = |digest: u8, leaves: &[(u16, u32)]| Fingerprint {
            version: 1,
            digest: [digest; 16],
            leaves: leaves.to_vec(),
        };
        let a = print(1, &[(5, 1), (6, 1)]);
        assert_eq!(a.first_difference(&print(2, &[(5, 2), (6, 2)])), Some(5));
        assert_eq!(a.first_difference(&print(2, &[(6, 2)])), Some(5));
        assert_eq!(a.first_difference(&print(2, &[])), Some(5));
        assert_eq!(a.first_difference(&print(2, &[(5, 1), (6, 1), (7, 1)])), Some(7));
    }

    /// A remembered request as it was written before tries elsewhere were noted.
    #[derive(Encode)]
    struct OldDedupRecord {
        #[n(0)]
        method: Method,
        #[n(1)]
        principal: String,
        #[n(2)]
        fingerprint: Fingerprint,
        #[n(3)]
        revision: Revision,
        #[n(4)]
        execute_time: Timestamp,
        #[n(5)]
        reply: Reply,
        #[n(6)]
        arrivals: u64,
    }

    #[test]
    fn a_request_that_told_nothing_and_is_in_no_trace_is_written_as_before() {
        let DedupRecord { method, principal, fingerprint, revision, execute_time, reply, arrivals, .. } = record();
        let principal = principal.to_string();
        let old = OldDedupRecord { method, principal, fingerprint, revision, execute_time, reply, arrivals };
        let new = DedupRecord { told: None, ..record() };
        assert_eq!(codec::encode(&old), codec::encode(&new));
        assert_eq!(codec::decode::<DedupRecord>(&codec::encode(&old)).expect("it can be read"), new);
    }
}
