//! Exit codes, blocks and JSON of failures.

use std::time::Duration;

use semel_client::{ErrorKind, Origin, Refusal, details};
use semel_proto::{
    ERROR_DOMAIN, rpc,
    v1::{AuthResult, AuthStatus, ResponseHeader},
};

use super::*;

/// A refusal with a gRPC code, as a number.
fn refusal(code: i32, reason: &str, status: AuthStatus) -> Refusal {
    let auth = AuthResult { status: status.into(), principal: "app:pay".to_owned(), ..AuthResult::default() };
    Refusal {
        info: Some(details::ErrorInfo {
            reason: reason.to_owned(),
            domain: ERROR_DOMAIN.to_owned(),
            metadata: [("field".to_owned(), "payload".to_owned())].into(),
        }),
        header: Some(ResponseHeader { auth: Some(auth), ..ResponseHeader::default() }),
        origin: Origin::Server,
        ..bare(code)
    }
}

fn bare(code: i32) -> Refusal {
    Refusal::from_status(rpc::Status { code, message: "no \u{1b}[2J".to_owned(), details: Vec::new() })
}

fn call(kind: ErrorKind, refusal: Refusal, mutation: bool) -> Failure {
    let request_id = "01980000-0000-7000-8000-000000000000".to_owned();
    Failure::Call(Box::new(Call { kind, refusal, request_id, attempts: 1, mutation, next: None }))
}

fn refused(code: i32, reason: &str) -> Failure {
    call(ErrorKind::Refused, refusal(code, reason, AuthStatus::Passed), true)
}

#[test]
fn each_kind_of_refusal_has_its_code() {
    for (code, reason, exit) in [
        (16, "CREDENTIALS_MISSING", Exit::Denied),
        (16, "CREDENTIALS_EXPIRED", Exit::Denied),
        (7, "FORBIDDEN", Exit::Denied),
        (8, "AUTH_THROTTLED", Exit::Denied),
        (14, "AUTH_UNAVAILABLE", Exit::Later),
        (3, "REQUEST_ID_MALFORMED", Exit::Usage),
        (3, "INVALID", Exit::Usage),
        (9, "REQUEST_ID_REUSED", Exit::State),
        (9, "REQUEST_ID_EXPIRED", Exit::State),
        (8, "OVERLOADED", Exit::Later),
        (8, "QUOTA_EXCEEDED", Exit::Later),
        (14, "DRAINING", Exit::Later),
        (4, "OUTCOME_UNKNOWN", Exit::Later),
        (5, "NOT_FOUND", Exit::State),
        (6, "ALREADY_EXISTS", Exit::State),
        (10, "ETAG_MISMATCH", Exit::State),
        (9, "RUN_FINISHED", Exit::State),
        (13, "INTERNAL", Exit::General),
    ] {
        assert_eq!(refused(code, reason).exit(), exit, "{reason}");
    }
}

#[test]
fn a_reason_that_is_not_known_yet_goes_by_its_code() {
    for (code, exit) in [
        (1, Exit::Later),
        (2, Exit::General),
        (3, Exit::Usage),
        (4, Exit::Later),
        (5, Exit::State),
        (7, Exit::Denied),
        (8, Exit::Later),
        (9, Exit::State),
        (13, Exit::General),
        (14, Exit::Later),
        (16, Exit::Denied),
    ] {
        assert_eq!(refused(code, "SOMETHING_NEW").exit(), exit, "{code}");
        assert_eq!(call(ErrorKind::NotSemel, bare(code), true).exit(), exit, "{code}");
    }
    assert_eq!(call(ErrorKind::Usage, bare(3), true).exit(), Exit::Usage);
    assert_eq!(Failure::usage("no").exit(), Exit::Usage);
    assert_eq!(Failure::Faults(Vec::new()).exit(), Exit::Usage);
    assert_eq!(Failure::OutputClosed.exit(), Exit::Done);
}

#[test]
fn a_block_says_what_was_refused_and_what_to_do_next() {
    let mut refusal = refusal(9, "REQUEST_ID_REUSED", AuthStatus::Passed);
    refusal.bad_request = Some(details::BadRequest {
        field_violations: vec![details::FieldViolation {
            field: "spec".to_owned(),
            description: "is empty".to_owned(),
        }],
    });
    let block = call(ErrorKind::Refused, refusal, true).block();
    for expected in [
        "refused: no ",
        "FAILED_PRECONDITION",
        "REQUEST_ID_REUSED",
        "PASSED as app:pay: they are good",
        "spec: is empty",
        "field = payload",
        "send again?  no",
        "leave --request-id out",
        "01980000-0000-7000-8000-000000000000 (sent 1 time)",
    ] {
        assert!(block.contains(expected), "{expected:?} is missing:\n{block}");
    }
    assert!(!block.contains('\u{1b}'), "a message must not speak to the terminal");
}

#[test]
fn a_lost_answer_names_the_id_to_send_again() {
    let lost = Refusal { origin: Origin::NoAnswer, ..bare(14) };
    let failure = call(ErrorKind::Transport, lost.clone(), true);
    assert!(failure.block().contains("--request-id 01980000-0000-7000-8000-000000000000"));
    assert_eq!((failure.json()["outcome_known"].clone(), failure.exit()), (json!(false), Exit::Later));
    let read = call(ErrorKind::Transport, lost, false);
    assert_eq!(read.json()["outcome_known"], json!(true));
    assert!(!read.block().contains("--request-id"));
}

#[test]
fn an_earlier_lost_attempt_leaves_the_outcome_open() {
    let known = |attempts| {
        let refusal = refusal(16, "CREDENTIALS_REVOKED", AuthStatus::Revoked);
        let request_id = String::new();
        let call = Call { kind: ErrorKind::Refused, refusal, request_id, attempts, mutation: true, next: None };
        call.json()["outcome_known"].clone()
    };
    assert_eq!((known(1), known(2)), (json!(true), json!(false)));
}

#[test]
fn a_program_reads_the_same() {
    let mut refusal = refusal(8, "OVERLOADED", AuthStatus::NotRequired);
    refusal.retry_delay = Some(Duration::from_millis(1500));
    let json = call(ErrorKind::Refused, refusal, true).json();
    assert_eq!(json["kind"], "REFUSED");
    assert_eq!(json["code"], "RESOURCE_EXHAUSTED");
    assert_eq!(json["reason"], "OVERLOADED");
    assert_eq!(json["auth_status"], "NOT_REQUIRED");
    assert_eq!(json["may_retry"], true);
    assert_eq!(json["retry_after_ms"], 1500);
    assert_eq!(json["send_again"], "yes, under the same id, after 1s500ms");
    assert_eq!(json["exit_code"], 5);
    assert_eq!(json["header"]["auth"]["principal"], "app:pay");
    assert_eq!(json["metadata"]["field"], "payload");
}

#[test]
fn a_proxy_is_not_taken_for_a_server() {
    let failure = call(ErrorKind::NotSemel, bare(16), true);
    let block = failure.block();
    assert!(
        block.contains("no Semel server answered") && block.contains("no verdict: no Semel server spoke"),
        "{block}"
    );
    assert_eq!(failure.json()["auth_status"], "UNSPECIFIED");
}
