//! Logical calls against a scripted server: what is kept, what is sent again, and what a caller learns.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod connections;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant, UNIX_EPOCH};

use semel_client::{
    CallOptions, Client, Code, Credentials, ErrorKind, RequestId, RetryOptions,
    v1::{AuthStatus, CheckAuthRequest, IssueTokenRequest, RequestHeader, RunJobRequest, RunState},
};
use support::{
    calls::{Fake, Step, client, options},
    refusals::Refuse,
    soon,
};

async fn client_with_secret(fake: &Fake) -> Client {
    let credentials = Credentials::Secret { app: "pay".to_owned(), secret: "hush".to_owned() };
    Client::connect(options(fake).credentials(credentials)).await.unwrap()
}

fn job() -> RunJobRequest {
    RunJobRequest { job: "settle".to_owned(), ..Default::default() }
}

fn refuse(code: Code, reason: &'static str) -> Step {
    Step::Refuse(Refuse::new(code, reason))
}

fn assert_one_id(fake: &Fake, calls: usize) {
    let ids = fake.ids();
    assert_eq!(ids.len(), calls, "{ids:?}");
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(ids[0].parse::<RequestId>().unwrap().as_uuid().get_version_num(), 7);
}

#[tokio::test]
async fn the_id_is_minted_once_and_kept_over_everything_that_may_pass() {
    let fake = Fake::start([
        refuse(Code::Unavailable, "DRAINING"),
        refuse(Code::Unavailable, "NO_OWNER"),
        refuse(Code::Unavailable, "AUTH_UNAVAILABLE"),
        refuse(Code::ResourceExhausted, "OVERLOADED"),
        refuse(Code::DeadlineExceeded, "OUTCOME_UNKNOWN"),
        Step::Proxy(Code::Unavailable),
        Step::Proxy(Code::Cancelled),
        Step::Proxy(Code::DeadlineExceeded),
        Step::NoHeader,
    ])
    .await;
    let answer = client(&fake).await.run_job(job()).await.unwrap();
    assert_one_id(&fake, 10);
    assert_eq!(answer.header.unwrap().request_id, fake.ids()[0]);
}

#[tokio::test]
async fn every_call_has_an_id_of_its_own_a_client_and_an_app() {
    let fake = Fake::start([]).await;
    let client = Client::connect(options(&fake).client_name("settler")).await.unwrap();
    client.run_job(job()).await.unwrap();
    client.run_job(RunJobRequest { app: "other".to_owned(), ..job() }).await.unwrap();
    let seen = fake.seen();
    assert_ne!(seen[0].request_id, seen[1].request_id);
    assert_eq!((seen[0].app.as_str(), seen[1].app.as_str()), ("pay", "other"));
    let sender = seen[0].client.clone().unwrap();
    assert_eq!((sender.name.as_str(), sender.language.as_str()), ("settler", "rust"));
    assert!(seen[0].timeout.is_some(), "the server learns how long the caller waits");
}

#[tokio::test]
async fn an_id_of_the_callers_own_is_kept() {
    let fake = Fake::start([]).await;
    let client = client(&fake).await;
    let id = client.mint_request_id();
    client.with_request_id(id).run_job(job()).await.unwrap();
    let header = RequestHeader { request_id: id.to_string(), ..Default::default() };
    client.run_job(RunJobRequest { header: Some(header.clone()), ..job() }).await.unwrap();
    client.with_request_id(id).run_job(RunJobRequest { header: Some(header.clone()), ..job() }).await.unwrap();
    assert_eq!(fake.ids(), vec![id.to_string(); 3]);

    let other = client.mint_request_id();
    let error = client.with_request_id(other).run_job(RunJobRequest { header: Some(header), ..job() }).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(fake.ids().len(), 3, "a contradiction is not sent");
}

#[tokio::test]
async fn what_binds_is_not_sent_again_and_says_all_it_has_to_say() {
    for (code, reason) in [
        (Code::PermissionDenied, "FORBIDDEN"),
        (Code::FailedPrecondition, "REQUEST_ID_REUSED"),
        (Code::InvalidArgument, "REQUEST_ID_MISSING"),
        (Code::InvalidArgument, "REQUEST_ID_MALFORMED"),
        (Code::NotFound, "NOT_FOUND"),
        (Code::Aborted, "ETAG_MISMATCH"),
        (Code::FailedPrecondition, "RUN_FINISHED"),
        (Code::Unauthenticated, "CREDENTIALS_MISSING"),
    ] {
        let fake = Fake::start([refuse(code, reason)]).await;
        let error = client(&fake).await.run_job(job()).await.unwrap_err();
        assert_eq!((error.code(), error.reason(), error.attempts()), (code, Some(reason), 1));
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(!error.may_retry());
        assert_eq!(error.request_id(), fake.ids()[0]);
        assert_eq!(fake.ids().len(), 1);
    }
}

#[tokio::test]
async fn a_refusal_is_decoded_whole() {
    let refusal = Refuse::new(Code::InvalidArgument, "INVALID")
        .auth(AuthStatus::NotRequired)
        .violation("job", "must not be empty")
        .violation("priority", "must be from -100 to 100")
        .adding("limit", "100");
    let fake = Fake::start([Step::Refuse(refusal)]).await;
    let error = client(&fake).await.run_job(job()).await.unwrap_err();
    assert_eq!(error.auth_status(), AuthStatus::NotRequired);
    assert!(error.header().unwrap().server_time.is_some());
    let fields: Vec<_> = error.violations().into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["job", "priority"]);
    assert_eq!(error.metadata()["limit"], "100");
    assert!(error.to_string().starts_with("INVALID: refused with INVALID"), "{error}");
}

#[tokio::test]
async fn a_proxys_refusal_is_no_verdict_on_the_credentials() {
    for code in [Code::Unauthenticated, Code::PermissionDenied] {
        let fake = Fake::start([Step::Proxy(code)]).await;
        let error = client_with_secret(&fake).await.run_job(job()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSemel);
        assert_eq!(error.auth_status(), AuthStatus::Unspecified);
        assert_eq!((error.reason(), error.attempts()), (None, 1));
        assert_eq!(fake.tokens().len(), 1, "no token is fetched for a proxy's word");
    }
}

#[tokio::test]
async fn an_expired_token_is_renewed_and_the_call_keeps_its_id() {
    let fake = Fake::start([]).await;
    let client = client_with_secret(&fake).await;
    client.run_job(job()).await.unwrap();
    fake.expire_tokens();
    client.run_job(job()).await.unwrap();
    let seen = fake.seen();
    let bearers: Vec<_> = seen.iter().map(|seen| seen.bearer.as_deref().unwrap()).collect();
    assert_eq!(bearers, ["Bearer token-1", "Bearer token-1", "Bearer token-2"]);
    assert_eq!(seen[1].request_id, seen[2].request_id);
    assert_ne!(seen[0].request_id, seen[1].request_id);
    assert_eq!(fake.tokens()[0].secret, "hush");
}

#[tokio::test]
async fn credentials_that_stay_refused_are_renewed_once() {
    for (reason, auth) in [
        ("CREDENTIALS_EXPIRED", AuthStatus::Expired),
        ("CREDENTIALS_REVOKED", AuthStatus::Revoked),
        ("CREDENTIALS_INVALID", AuthStatus::Invalid),
        ("CREDENTIALS_MALFORMED", AuthStatus::Malformed),
        ("CREDENTIALS_MISSING", AuthStatus::Missing),
    ] {
        let step = Step::Refuse(Refuse::new(Code::Unauthenticated, reason).auth(auth));
        let fake = Fake::start([step.clone(), step]).await;
        let error = client_with_secret(&fake).await.run_job(job()).await.unwrap_err();
        assert_eq!((error.reason(), error.auth_status(), error.attempts()), (Some(reason), auth, 2));
        assert_one_id(&fake, 2);
        assert_eq!(fake.tokens().len(), 2);
    }
}

#[tokio::test]
async fn a_token_that_was_given_is_used_as_it_is_and_never_renewed() {
    let step = Step::Refuse(Refuse::new(Code::Unauthenticated, "CREDENTIALS_EXPIRED").auth(AuthStatus::Expired));
    let fake = Fake::start([step]).await;
    let given = options(&fake).credentials(Credentials::Token("given".to_owned()));
    let error = Client::connect(given).await.unwrap().run_job(job()).await.unwrap_err();
    assert_eq!(error.auth_status(), AuthStatus::Expired);
    assert_eq!(fake.seen()[0].bearer.as_deref(), Some("Bearer given"));
    assert!(fake.tokens().is_empty());
}

#[tokio::test]
async fn concurrent_callers_share_one_renewal() {
    let fake = Fake::start([]).await;
    let client = client_with_secret(&fake).await;
    for round in 1..=2 {
        let calls: Vec<_> = (0..50)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.run_job(job()).await })
            })
            .collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert_eq!(fake.tokens().len(), round);
        fake.expire_tokens();
    }
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let fake = Fake::start([]).await;
    fake.token_lifetime(Duration::from_millis(400));
    let client = client_with_secret(&fake).await;
    let mut calls = tokio::time::interval(Duration::from_millis(5));
    soon("a third token", async {
        while fake.tokens().len() < 3 {
            calls.tick().await;
            client.run_job(job()).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_token_that_cannot_be_got_fails_the_call_under_its_own_id() {
    let fake = Fake::start([]).await;
    let invalid = Refuse::new(Code::Unauthenticated, "CREDENTIALS_INVALID").auth(AuthStatus::Invalid);
    fake.token_script([Step::Proxy(Code::Unavailable), Step::Refuse(invalid)]);
    let client = client_with_secret(&fake).await;
    let id = client.mint_request_id();
    let error = client.with_request_id(id).run_job(job()).await.unwrap_err();
    assert_eq!((error.reason(), error.request_id()), (Some("CREDENTIALS_INVALID"), id.to_string().as_str()));
    assert_eq!(fake.tokens().len(), 2);
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn a_token_is_issued_for_the_clients_own_secret() {
    let fake = Fake::start([]).await;
    let answer = client_with_secret(&fake).await.issue_token(IssueTokenRequest::default()).await.unwrap();
    assert_eq!(answer.token, "token-1");
    let asked = &fake.tokens()[0];
    assert_eq!((asked.app.as_str(), asked.secret.as_str()), ("pay", "hush"));
}

fn minted_ms(id: &str) -> i64 {
    let time = id.parse::<RequestId>().unwrap().time().unwrap();
    i64::try_from(time.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[tokio::test]
async fn a_wrong_clock_is_learnt_from_a_refusal_and_one_fresh_id_minted() {
    const HOUR_MS: i64 = 3_600_000;
    for offset in [48 * HOUR_MS, -2 * HOUR_MS] {
        let fake = Fake::start([]).await;
        fake.clock_offset_ms(offset);
        let client = client(&fake).await;
        let answer = client.run_job(job()).await.unwrap();
        let ids = fake.ids();
        assert_eq!(ids.len(), 2);
        assert_eq!(answer.header.unwrap().request_id, ids[1]);
        assert!((minted_ms(&ids[1]) - fake.now_ms()).abs() < 60_000, "by the server's clock");

        client.run_job(job()).await.unwrap();
        assert_eq!(fake.ids().len(), 3, "it is learnt for good");
        assert!((client.clock_offset_ms() - offset).abs() < 60_000);
    }
}

#[tokio::test]
async fn the_callers_own_id_is_never_replaced() {
    let fake = Fake::start([]).await;
    fake.clock_offset_ms(48 * 3_600_000);
    let client = client(&fake).await;
    let id = client.mint_request_id();
    let error = client.with_request_id(id).run_job(job()).await.unwrap_err();
    assert_eq!(error.reason(), Some("REQUEST_ID_EXPIRED"));
    assert!(!error.may_retry());
    assert_eq!(fake.ids(), [id.to_string()]);
}

#[tokio::test]
async fn an_id_that_may_have_been_executed_is_never_replaced() {
    for reason in ["REQUEST_ID_EXPIRED", "REQUEST_ID_IN_FUTURE"] {
        for open in [Step::Proxy(Code::Unavailable), refuse(Code::DeadlineExceeded, "OUTCOME_UNKNOWN"), Step::NoHeader]
        {
            let fake = Fake::start([open, refuse(Code::FailedPrecondition, reason)]).await;
            let error = client(&fake).await.run_job(job()).await.unwrap_err();
            assert_eq!(error.reason(), Some(reason));
            assert_one_id(&fake, 2);
        }
    }
}

#[tokio::test]
async fn a_second_refusal_of_a_fresh_id_is_the_callers_to_know() {
    let step = refuse(Code::InvalidArgument, "REQUEST_ID_IN_FUTURE");
    let fake = Fake::start([step.clone(), step]).await;
    let error = client(&fake).await.run_job(job()).await.unwrap_err();
    assert_eq!((error.reason(), error.attempts()), (Some("REQUEST_ID_IN_FUTURE"), 2));
    assert_eq!(error.request_id(), fake.ids()[1]);
}

#[tokio::test]
async fn an_ok_of_somebody_else_is_no_answer() {
    for step in [Step::NoHeader, Step::Unspecified, Step::Stranger] {
        let fake = Fake::start(vec![step; 10]).await;
        let error = client(&fake).await.run_job(job()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSemel);
        assert_eq!(error.auth_status(), AuthStatus::Unspecified);
        assert!(error.may_retry());
        assert_one_id(&fake, 3);
    }
}

#[tokio::test]
async fn faults_are_tried_again_but_not_for_long() {
    for code in [Code::Internal, Code::Unknown] {
        let fake = Fake::start(vec![Step::Proxy(code); 10]).await;
        let error = client(&fake).await.run_job(job()).await.unwrap_err();
        assert_eq!((error.code(), error.attempts()), (code, 3));
        assert_one_id(&fake, 3);
    }
}

#[tokio::test]
async fn the_delay_that_the_server_asks_for_is_kept() {
    let delay = Duration::from_millis(300);
    for step in [
        Refuse::new(Code::ResourceExhausted, "QUOTA_EXCEEDED").after(delay),
        Refuse::new(Code::ResourceExhausted, "AUTH_THROTTLED").after(delay),
        Refuse::new(Code::Unavailable, "DRAINING").pushback("300"),
    ] {
        let fake = Fake::start([Step::Refuse(step)]).await;
        let client = client(&fake).await;
        let start = Instant::now();
        client.run_job(job()).await.unwrap();
        assert!(start.elapsed() >= delay, "{:?}", start.elapsed());
        assert_one_id(&fake, 2);
    }
}

#[tokio::test]
async fn a_delay_beyond_the_callers_time_is_not_waited_for() {
    let step = Refuse::new(Code::ResourceExhausted, "OVERLOADED").after(Duration::from_secs(3600));
    let fake = Fake::start([Step::Refuse(step)]).await;
    let error = soon("the refusal", client(&fake).await.run_job(job())).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    assert!(error.may_retry());
}

#[tokio::test]
async fn exhausted_without_a_delay_and_pushback_that_says_never_both_bind() {
    for step in [
        Refuse::new(Code::ResourceExhausted, "QUOTA_EXCEEDED"),
        Refuse::new(Code::Unavailable, "DRAINING").pushback("-1"),
    ] {
        let fake = Fake::start([Step::Refuse(step)]).await;
        assert_eq!(client(&fake).await.run_job(job()).await.unwrap_err().attempts(), 1);
    }
}

#[tokio::test]
async fn the_overall_time_bounds_all_attempts_together() {
    let fake = Fake::start(vec![refuse(Code::Unavailable, "NO_OWNER"); 10_000]).await;
    let call = CallOptions { overall_timeout: Some(Duration::from_millis(200)), ..CallOptions::default() };
    let retry = RetryOptions { attempts_max: u32::MAX, backoff_max: Duration::from_millis(5), ..Default::default() };
    let client = client(&fake).await.with_options(CallOptions { retry: Some(retry), ..call });
    let error = soon("the end of the time", client.run_job(job())).await.unwrap_err();
    // The very last attempt may be cut short by the end of the time; what went wrong is said all the same.
    assert!(error.to_string().contains("NO_OWNER"), "{error}");
    assert!(error.attempts() > 1);
    assert_one_id(&fake, fake.ids().len());
    assert!(fake.ids().len() <= usize::try_from(error.attempts()).unwrap());
}

#[tokio::test]
async fn an_attempt_without_an_answer_is_given_up_and_sent_again() {
    let fake = Fake::start([Step::Hang]).await;
    let impatient = options(&fake).request_timeout(Duration::from_millis(100));
    Client::connect(impatient).await.unwrap().run_job(job()).await.unwrap();
    assert_one_id(&fake, 2);
    assert!(fake.seen()[0].timeout.as_ref().unwrap().ends_with(['u', 'n', 'm']));
}

#[tokio::test]
async fn a_time_out_leaves_the_outcome_open_and_says_so() {
    let fake = Fake::start([Step::Hang]).await;
    let once = options(&fake).request_timeout(Duration::from_millis(100)).retry(RetryOptions::none());
    let error = Client::connect(once).await.unwrap().run_job(job()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Transport, Code::DeadlineExceeded));
    assert!(error.may_retry());
    assert!(!error.refusal().nothing_happened());
}

#[tokio::test]
async fn with_retries_off_every_call_is_sent_once() {
    for step in [
        refuse(Code::Unavailable, "DRAINING"),
        Step::Proxy(Code::Unavailable),
        refuse(Code::InvalidArgument, "REQUEST_ID_IN_FUTURE"),
        Step::NoHeader,
    ] {
        let fake = Fake::start([step]).await;
        let client = Client::connect(options(&fake).retry(RetryOptions::none())).await.unwrap();
        assert_eq!(client.run_job(job()).await.unwrap_err().attempts(), 1);
        assert_eq!(fake.ids().len(), 1);
    }
}

#[tokio::test]
async fn waiting_for_a_run_goes_on_until_it_has_ended() {
    let fake = Fake::start([Step::Answer, Step::Proxy(Code::Unavailable)]).await;
    fake.finish_after(3);
    let run = client(&fake).await.wait_until_finished("pay", "run-1").await.unwrap();
    assert_eq!(run.state(), RunState::Succeeded);
    assert_eq!(fake.ids().len(), 5);
    assert!(fake.seen().iter().all(|seen| seen.timeout.as_deref().is_some_and(|timeout| timeout != "10S")));
}

#[tokio::test]
async fn a_verdict_is_an_answer_where_it_was_asked_for() {
    let fake = Fake::start([]).await;
    client(&fake).await.check_auth(CheckAuthRequest::default()).await.unwrap();
}
