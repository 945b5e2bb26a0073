//! The names and numbers by which things are known. Each is a type of its own, so that two of them cannot be swapped.

use std::{fmt, sync::Arc};

use minicbor::{Decode, Encode};

use crate::limits;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Timestamp(#[n(0)] pub i64);

impl Timestamp {
    /// This moment, `millis` later. Saturates.
    #[must_use]
    pub fn plus(self, millis: Millis) -> Self {
        Self(self.0.saturating_add(millis.0))
    }

    /// This moment, `millis` earlier. Saturates.
    #[must_use]
    pub fn minus(self, millis: Millis) -> Self {
        Self(self.0.saturating_sub(millis.0))
    }
}

/// A span of milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Millis(#[n(0)] pub i64);

impl Millis {
    /// So many seconds.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs * 1000)
    }
}

/// A position in the log of committed events. Counts up by one with each command that took effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Revision(#[n(0)] pub u64);

impl Revision {
    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The number of an attempt within its run, from 1 on. It only grows, so it is the fencing token too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct AttemptNumber(#[n(0)] pub u32);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_uuid(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_uuid(f, &self.0)
            }
        }
    };
}

uuid_id! {
    /// The identity of a logical call: a UUIDv7, minted once by the caller.
    RequestId
}
uuid_id! {
    /// The identity of a run: a UUIDv7 whose time is that of its creation, so that runs lie on disk in the order in
    /// which they were made.
    RunId
}
uuid_id! {
    /// The identity of a worker process, minted by it.
    WorkerId
}
uuid_id! {
    /// The identity of a token.
    TokenId
}

fn write_uuid(f: &mut fmt::Formatter<'_>, bytes: &[u8; 16]) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (index, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&index) {
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
    f.write_str(std::str::from_utf8(&text).expect("digits and dashes"))
}

impl RequestId {
    /// When the id says that it was minted: its first 48 bits.
    pub fn minted_at(self) -> Timestamp {
        v7_time(&self.0)
    }
}

impl RunId {
    /// The id of the run that is made at this stamp. Unique because a revision makes at most one run; the entropy only
    /// keeps ids from being guessed.
    pub fn new(now: Timestamp, revision: Revision, entropy: u32) -> Self {
        let time = u64::try_from(now.0.max(0)).unwrap_or(0);
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&time.to_be_bytes()[2..]);
        let counter = revision.0 & ((1 << 42) - 1);
        let high = u16::try_from(counter >> 30).expect("12 bits fit into 16");
        bytes[6..8].copy_from_slice(&(0x7000 | high).to_be_bytes());
        let low = u32::try_from(counter & ((1 << 30) - 1)).expect("30 bits fit into 32");
        bytes[8..12].copy_from_slice(&(0x8000_0000 | low).to_be_bytes());
        bytes[12..].copy_from_slice(&entropy.to_be_bytes());
        Self(bytes)
    }

    /// When the run was made.
    pub fn time(self) -> Timestamp {
        v7_time(&self.0)
    }
}

fn v7_time(bytes: &[u8; 16]) -> Timestamp {
    let mut time = [0; 8];
    time[2..].copy_from_slice(&bytes[..6]);
    Timestamp(i64::from_be_bytes(time))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $parse:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a name as it comes from outside.
            ///
            /// # Errors
            /// Says what is wrong with it.
            pub fn parse(name: &str) -> Result<Self, String> {
                let parse: fn(&str) -> Result<(), String> = $parse;
                parse(name).map(|()| Self(name.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.str(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                // What lies on disk was checked when it came in; checking it by today's rules could lose it.
                Ok(Self(d.str()?.into()))
            }
        }
    };
}

name! {
    /// The name of an app: path segments of `a-z 0-9 - _`, joined by `/`.
    AppName,
    |name| {
        let good = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || b"-_".contains(&letter);
        let segments = || name.split('/').all(|segment| !segment.is_empty() && segment.bytes().all(good));
        if name.len() <= limits::APP_NAME_BYTES_MAX && segments() {
            return Ok(());
        }
        Err(format!(
            "must be 1 to {} characters: segments of a-z, 0-9, - and _, joined by single slashes",
            limits::APP_NAME_BYTES_MAX
        ))
    }
}

impl AppName {
    /// The app whose secret is the first admin's credential, and under which requests about apps are remembered.
    pub fn system() -> Self {
        Self("system".into())
    }
}

name! {
    /// The name of a job within its app.
    JobName,
    |name| plain_name(name, limits::JOB_NAME_BYTES_MAX, b"-_.")
}

name! {
    /// The name of what a worker can do.
    ProcessorName,
    |name| plain_name(name, limits::PROCESSOR_NAME_BYTES_MAX, b"-_./")
}

name! {
    /// The name of a trigger within its job.
    TriggerName,
    |name| plain_name(name, limits::TRIGGER_NAME_BYTES_MAX, b"-_.")
}

fn plain_name(name: &str, max: usize, marks: &[u8]) -> Result<(), String> {
    let good = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || marks.contains(&letter);
    if (1..=max).contains(&name.len()) && name.bytes().all(good) {
        return Ok(());
    }
    let marks: Vec<String> = marks.iter().map(|&mark| char::from(mark).to_string()).collect();
    Err(format!("must be 1 to {max} of a-z, 0-9 and {}", marks.join(" ")))
}

/// Names a job: its app and its own name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct JobKey {
    /// The app.
    #[n(0)]
    pub app: AppName,
    /// The job.
    #[n(1)]
    pub job: JobName,
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app, self.job)
    }
}

/// Names a trigger: its job and its own name. Cheap to copy: three counters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct TriggerKey {
    /// The job.
    #[n(0)]
    pub job: JobKey,
    /// The trigger.
    #[n(1)]
    pub name: TriggerName,
}

impl fmt::Display for TriggerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.job, self.name)
    }
}

/// Names a worker: its app and the id of its process. A worker mints its id itself, so it means something only within
/// the app that the worker was let in for: whoever learns it and shows it elsewhere is another worker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerKey {
    /// The process.
    pub worker_id: WorkerId,
    /// The app.
    pub app: AppName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_is_a_version_7_uuid_that_grows_with_the_revision() {
        let at = Timestamp(1_750_000_000_123);
        let ids: Vec<RunId> = (1..5000).map(|revision| RunId::new(at, Revision(revision), 7)).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert_eq!(ids[0].time(), at);
        let text = ids[0].to_string();
        assert_eq!((text.len(), &text[14..15]), (36, "7"));
        assert!("89ab".contains(&text[19..20]));
    }

    #[test]
    fn app_names_are_paths() {
        for good in ["pay", "pay/settle", "a-b_c/0"] {
            assert!(AppName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "pay/", "/pay", "a//b", "Pay", "pay settle", "pay/*", &"x".repeat(129)] {
            assert!(AppName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_run_id_keeps_its_form_at_the_ends_of_its_parts() {
        for (now, revision) in [(0, 0), (-1, u64::MAX), ((1 << 48) - 1, (1 << 42) - 1), (i64::MAX, 1 << 42)] {
            let text = RunId::new(Timestamp(now), Revision(revision), u32::MAX).to_string();
            assert_eq!(&text[14..15], "7", "{text}");
            assert!("89ab".contains(&text[19..20]), "{text}");
        }
        assert_eq!(RunId::new(Timestamp(-1), Revision(1), 0).time(), Timestamp(0));
    }

    #[test]
    fn runs_of_later_milliseconds_have_greater_ids_whatever_their_revision() {
        let earlier = RunId::new(Timestamp(1), Revision((1 << 42) - 1), u32::MAX);
        assert!(earlier < RunId::new(Timestamp(2), Revision(0), 0));
    }

    #[test]
    fn ids_of_one_moment_differ_by_revision_and_by_chance() {
        let id = |revision, entropy| RunId::new(Timestamp(5), Revision(revision), entropy);
        let ids: std::collections::BTreeSet<RunId> =
            [id(1, 1), id(2, 1), id(1 << 30, 1), id(1 << 41, 1), id(1, 2)].into();
        assert_eq!(ids.len(), 5);
    }

    #[test]
    fn an_id_says_when_it_was_minted() {
        let mut bytes = [0xff; 16];
        bytes[..6].copy_from_slice(&[0, 0, 0, 1, 0, 2]);
        assert_eq!(RequestId(bytes).minted_at(), Timestamp(65_538));
        assert_eq!(RequestId([0xff; 16]).minted_at(), Timestamp((1 << 48) - 1));
    }

    #[test]
    fn an_id_is_written_as_a_uuid() {
        let bytes = std::array::from_fn(|index| u8::try_from(index).expect("it is small"));
        assert_eq!(TokenId(bytes).to_string(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(format!("{:?}", WorkerId(bytes)), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }

    #[test]
    fn time_saturates_at_its_ends() {
        assert_eq!(Timestamp(i64::MAX).plus(Millis(1)), Timestamp(i64::MAX));
        assert_eq!(Timestamp(i64::MIN).minus(Millis(1)), Timestamp(i64::MIN));
        assert_eq!(Timestamp(5).minus(Millis(7)), Timestamp(-2));
    }

    #[test]
    fn jobs_and_processors_have_plain_names() {
        for good in ["settle", "a.b-c_0", &"x".repeat(128)] {
            assert!(JobName::parse(good).is_ok() && ProcessorName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "Settle", "a b", "a*", "\u{e9}", &"x".repeat(129)] {
            assert!(JobName::parse(bad).is_err() && ProcessorName::parse(bad).is_err(), "{bad}");
        }
        assert!(ProcessorName::parse("img/resize").is_ok());
        let problem = JobName::parse("img/resize").expect_err("a slash parts apps");
        assert_eq!(problem, "must be 1 to 128 of a-z, 0-9 and - _ .");
    }
}
