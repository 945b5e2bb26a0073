//! What each reason of a refusal means for whoever typed the command: the exit code, whether it may be sent again, and
//! what to do next. The table is closed: a test holds it against the protocol. Data only.

/// The exit codes, as the help of the whole command lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It is done.
    Done = 0,
    /// It failed in a way that has no code of its own.
    General = 1,
    /// The command or the request is wrong.
    Usage = 2,
    /// There is no such thing, or its state does not allow this.
    State = 3,
    /// The credentials were refused, or do not allow this.
    Denied = 4,
    /// Not now, or the outcome is not known.
    Later = 5,
    /// The run that was waited for did not succeed.
    RunFailed = 6,
}

/// Whether the same request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// As it stands.
    Yes,
    /// With other credentials.
    WithCredentials,
    /// When it is mended.
    Mended,
    /// With another id.
    WithNewId,
    /// Only once it is known what became of it.
    LookUpFirst,
    /// No.
    No,
}

impl Again {
    /// In words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Yes => "yes, under the same id",
            Self::WithCredentials => "with good credentials, under the same id",
            Self::Mended => "when it is mended",
            Self::WithNewId => "with a right id",
            Self::LookUpFirst => "look up first what became of it, then decide",
            Self::No => "no",
        }
    }
}

/// What a reason means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hint {
    pub(crate) reason: &'static str,
    pub(crate) exit: Exit,
    pub(crate) again: Again,
    pub(crate) next: &'static str,
}

const fn hint(reason: &'static str, exit: Exit, again: Again, next: &'static str) -> Hint {
    Hint { reason, exit, again, next }
}

/// All reasons of `semel.v1`.
const HINTS: &[Hint] = &[
    hint(
        "CREDENTIALS_MISSING",
        Exit::Denied,
        Again::WithCredentials,
        "give --secret-file or --token; after a server's first start the admin secret is in DATA_DIR/admin-secret",
    ),
    hint(
        "CREDENTIALS_MALFORMED",
        Exit::Denied,
        Again::WithCredentials,
        "check that the secret (sk_…) or token was copied whole, without quotes or spaces",
    ),
    hint(
        "CREDENTIALS_INVALID",
        Exit::Denied,
        Again::WithCredentials,
        "check that they belong to this server (--server) and to an app that still exists; an admin can make a new \
         secret with `semel app rotate-secret`",
    ),
    hint(
        "CREDENTIALS_EXPIRED",
        Exit::Denied,
        Again::WithCredentials,
        "get a fresh token with `semel token issue`, then send it again under the same --request-id",
    ),
    hint(
        "CREDENTIALS_REVOKED",
        Exit::Denied,
        Again::WithCredentials,
        "these were taken back, or their app was deleted: ask whoever manages the app for new ones",
    ),
    hint("AUTH_UNAVAILABLE", Exit::Later, Again::Yes, "nobody judged the credentials yet: wait a moment"),
    hint(
        "FORBIDDEN",
        Exit::Denied,
        Again::No,
        "see with `semel token check` what these credentials may do; an admin can grant more with `semel app update`",
    ),
    hint(
        "AUTH_THROTTLED",
        Exit::Denied,
        Again::WithCredentials,
        "wait out the delay, and mend the credentials first: each failed attempt makes the delay longer",
    ),
    hint("REQUEST_ID_MISSING", Exit::Usage, Again::WithNewId, "leave --request-id out to have one minted"),
    hint(
        "REQUEST_ID_MALFORMED",
        Exit::Usage,
        Again::WithNewId,
        "a request id is a UUIDv7 in its 36 character form; leave --request-id out to have one minted",
    ),
    hint(
        "REQUEST_ID_IN_FUTURE",
        Exit::Usage,
        Again::WithNewId,
        "the clock of the machine that minted the id is ahead: set it right, then leave --request-id out",
    ),
    hint(
        "REQUEST_ID_REUSED",
        Exit::State,
        Again::No,
        "this id belongs to another request; for the same request repeat it exactly, for a new one leave --request-id \
         out; `semel request get` shows what the id did",
    ),
    hint(
        "REQUEST_ID_EXPIRED",
        Exit::State,
        Again::LookUpFirst,
        "the server no longer remembers this id and did not execute it: look whether its effect is there (`semel run \
         list`), and only if it is not, send it without --request-id",
    ),
    hint("OVERLOADED", Exit::Later, Again::Yes, "the server has more to do than it can: wait out the delay"),
    hint(
        "QUOTA_EXCEEDED",
        Exit::Later,
        Again::Yes,
        "the app has used up its quota: wait until runs have ended or requests have left the window, or ask the \
         operator to raise it",
    ),
    hint("DRAINING", Exit::Later, Again::Yes, "the server is about to stop: send it again when it is back"),
    hint("NO_OWNER", Exit::Later, Again::Yes, "no server owns this shard just now: send it again in a moment"),
    hint(
        "OUTCOME_UNKNOWN",
        Exit::Later,
        Again::Yes,
        "it may or may not have taken effect: send it again under the same --request-id, which is safe, or ask `semel \
         request get`",
    ),
    hint(
        "INTERNAL",
        Exit::General,
        Again::Yes,
        "the server has a fault of its own and its log says which: send it again under the same --request-id, and tell \
         its operator",
    ),
    hint("LEASE_STALE", Exit::State, Again::No, "the attempt is no longer this worker's: stop working on it"),
    hint(
        "TRIGGER_CYCLE",
        Exit::State,
        Again::Mended,
        "no job may follow its own runs, by whatever way round: take one of the `after` triggers out; a rate or a delay \
         repeats a job",
    ),
    hint(
        "BACKFILL_UNDER_WAY",
        Exit::State,
        Again::No,
        "`semel trigger get` shows how far it is; `semel trigger backfill --cancel` ends it",
    ),
    hint("BACKFILL_UNFIT", Exit::Usage, Again::Mended, "give another range with --from and --to"),
    hint(
        "RESUME_COMPACTED",
        Exit::State,
        Again::No,
        "the events since then are gone: begin with how things stand (--snapshot), or let the watch do so by itself \
         (--bridge)",
    ),
    hint("INVALID", Exit::Usage, Again::Mended, "mend what is listed; all of it is listed"),
    hint("NOT_FOUND", Exit::State, Again::No, "check the name and the app (--app); `list` shows what there is"),
    hint("ALREADY_EXISTS", Exit::State, Again::No, "take another name, or update what is there"),
    hint("ETAG_MISMATCH", Exit::State, Again::No, "read it again with `get`, decide anew, and give the new --etag"),
    hint("RUN_FINISHED", Exit::State, Again::No, "its state binds; `semel run get` shows how it ended"),
    hint("RUN_NOT_RETRYABLE", Exit::State, Again::No, "it is under way: wait for its end, or cancel it first"),
    hint("JOB_HAS_LIVE_RUNS", Exit::State, Again::No, "cancel its runs or wait for them, then delete it"),
    hint("APP_NOT_EMPTY", Exit::State, Again::No, "delete its jobs first; `semel job list` shows them"),
];

/// What a reason means; nothing for one that is newer than this program.
pub(crate) fn of(reason: &str) -> Option<&'static Hint> {
    HINTS.iter().find(|hint| hint.reason == reason)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Codes of gRPC that a comment names beside their reason.
    const CODES: [&str; 1] = ["OUT_OF_RANGE"];

    /// The reasons that the RPCs' comments name, in the sentences that begin with "Refuses with".
    fn reasons_in_the_protocol() -> BTreeSet<String> {
        let files = [
            include_str!("../../../proto/semel/v1/app_service.proto"),
            include_str!("../../../proto/semel/v1/auth_service.proto"),
            include_str!("../../../proto/semel/v1/job_service.proto"),
            include_str!("../../../proto/semel/v1/run_service.proto"),
            include_str!("../../../proto/semel/v1/request_service.proto"),
            include_str!("../../../proto/semel/v1/watch_service.proto"),
            include_str!("../../../proto/semel/v1/worker_service.proto"),
        ];
        let mut reasons = BTreeSet::new();
        for file in files {
            let comments: String = file.lines().filter_map(|line| line.trim().strip_prefix("//")).collect();
            for part in comments.split("efuses ").skip(1) {
                let sentence = part.split('.').next().unwrap_or_default();
                reasons.extend(
                    sentence
                        .split(|c: char| !is_of_reason(c))
                        .filter(|word| word.len() > 5 && !CODES.contains(word))
                        .map(str::to_owned),
                );
            }
        }
        reasons
    }

    fn is_of_reason(c: char) -> bool {
        c.is_ascii_uppercase() || c == '_'
    }

    #[test]
    fn every_reason_has_a_hint() {
        let server: BTreeSet<String> = crate::transport::reasons().map(str::to_owned).collect();
        let protocol = reasons_in_the_protocol();
        assert!(protocol.len() >= 10 && server.len() >= 20, "not all was read: {protocol:?} {server:?}");
        let missing: Vec<&String> = protocol.union(&server).filter(|reason| of(reason).is_none()).collect();
        assert!(missing.is_empty(), "no hint for {missing:?}");
    }

    #[test]
    fn no_reason_stands_there_twice_and_each_says_what_to_do() {
        for (at, hint) in HINTS.iter().enumerate() {
            assert!(HINTS[..at].iter().all(|other| other.reason != hint.reason), "{} stands there twice", hint.reason);
            assert!(hint.next.len() > 10 && hint.exit != Exit::Done && hint.exit != Exit::RunFailed);
        }
    }
}
