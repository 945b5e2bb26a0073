//! How credentials are treated: the three modes, the roles, the life of tokens and secrets, and the back-off on guesses.

use std::collections::BTreeMap;

use semel_client::v1::{self, AuthMethod, AuthStatus, Role, work_request};
use semel_core::{
    app::{AppPattern, Grant, Role as CoreRole},
    id::{AppName, Millis},
};
use semel_server::{auth::Mode, clock::ManualClock};
use tonic::Code;

use super::{
    dynamic::{call, methods, path, under},
    harness::{TestServer, run_job, spec},
    raw_submitter::{self, RawSubmitter},
    raw_worker::{RawWorker, hello},
    samples::Stage,
    wire::{PayByWire, Refused, Wire, auth_status, fresh, millis, seconds, settle, wall},
};

async fn check(wire: &Wire) -> v1::AuthResult {
    wire.served("", v1::CheckAuthRequest::default()).await.auth.expect("a verdict")
}

async fn still() -> (PayByWire, ManualClock) {
    let (server, clock) = TestServer::with_manual_clock(|_| {}).await;
    (PayByWire::on(server).await, clock)
}

async fn is_barred(wire: &Wire, reason: &str, status: AuthStatus) {
    let refused = wire.refused(&fresh(), run_job("settle")).await;
    refused.expect_with(Code::Unauthenticated, reason, status);
    assert_eq!(check(wire).await.status(), status);
}

fn for_pay() -> v1::RunJobRequest {
    v1::RunJobRequest { app: "pay".to_owned(), ..run_job("settle") }
}

async fn permissive() -> PayByWire {
    let server = TestServer::with(|settings| {
        let pay = AppName::parse("pay").expect("a name");
        settings.auth_mode = Mode::Permissive;
        settings.anonymous = vec![Grant { role: CoreRole::Submitter, apps: AppPattern::One(pay) }];
    });
    PayByWire::on(server.await).await
}

#[tokio::test]
async fn permissive_serves_and_counts_callers_without_credentials_within_their_grants() {
    let pay = permissive().await;
    let info = || async { pay.admin.served("", v1::GetServerInfoRequest::default()).await };
    let before = info().await;
    assert_eq!(before.auth_mode(), v1::AuthMode::Permissive);
    for _ in 0..3 {
        let answer = pay.nobody.served(&fresh(), for_pay()).await;
        let auth = answer.header.expect("a header").auth.expect("a verdict");
        assert_eq!((auth.status(), auth.principal.as_str()), (AuthStatus::NotRequired, "anonymous"));
        assert_eq!(auth.method(), AuthMethod::Anonymous);
    }
    assert_eq!(info().await.anonymous_call_count, before.anonymous_call_count + 3);

    let create = v1::CreateJobRequest { app: "pay".to_owned(), job: "mine".to_owned(), ..Default::default() };
    let create = v1::CreateJobRequest { spec: Some(spec("echo")), ..create };
    let refused = pay.nobody.refused(&fresh(), create).await;
    refused.expect_with(Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden).says("role", "operator");
    let status = RawWorker::open(&pay.nobody, hello("echo", 1)).await.err().expect("no worker without the role");
    Refused::of(&status).expect_with(Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden);
}

#[tokio::test]
async fn permissive_refuses_bad_credentials_and_knows_good_ones() {
    let pay = permissive().await;
    let strange = TestServer::start().await;
    for (bad, reason, status) in [
        ("rubbish", "CREDENTIALS_MALFORMED", AuthStatus::Malformed),
        (strange.admin_secret.as_str(), "CREDENTIALS_INVALID", AuthStatus::Invalid),
    ] {
        is_barred(&pay.nobody.bearer(bad), reason, status).await;
    }
    let before = pay.admin.served("", v1::GetServerInfoRequest::default()).await.anonymous_call_count;
    let answer = settle(&pay.pay, &fresh()).await.expect("a run");
    assert_eq!(auth_status(answer.header.as_ref()), AuthStatus::Passed);
    let after = pay.admin.served("", v1::GetServerInfoRequest::default()).await.anonymous_call_count;
    assert_eq!(before, after, "whoever proves himself is not counted");
}

#[tokio::test]
async fn off_serves_everybody_and_says_so() {
    let server = TestServer::with(|settings| settings.auth_mode = Mode::Off).await;
    let pay = PayByWire::on(server).await;
    for wire in [&pay.nobody, &pay.pay, &pay.nobody.bearer("rubbish"), &pay.nobody.authorization("Basic x")] {
        let answer = wire.served(&fresh(), for_pay()).await;
        assert_eq!(auth_status(answer.header.as_ref()), AuthStatus::NotRequired);
        assert_eq!(check(wire).await.status(), AuthStatus::NotRequired);
    }
    let create = v1::CreateAppRequest { app: "shop".to_owned(), ..Default::default() };
    pay.nobody.served(&fresh(), create).await;
    let info = pay.nobody.served("", v1::GetServerInfoRequest::default()).await;
    assert_eq!(info.auth_mode(), v1::AuthMode::Off);
    RawWorker::open_as(&pay.nobody, hello("echo", 1), AuthStatus::NotRequired).await.expect("opens");
}

/// What each method needs; none is open to whoever is known.
fn needs() -> BTreeMap<String, Option<Role>> {
    let classes: [(Option<Role>, &str, &[&str]); 17] = [
        (Some(Role::Admin), "AppService", &["CreateApp", "UpdateApp", "DeleteApp", "RotateAppSecret"]),
        (Some(Role::Viewer), "AppService", &["GetApp"]),
        (None, "AppService", &["ListApps"]),
        (None, "AuthService", &["IssueToken", "CheckAuth"]),
        (Some(Role::Admin), "AuthService", &["RevokeToken"]),
        (Some(Role::Operator), "JobService", &["CreateJob", "UpdateJob", "DeleteJob", "PauseJob", "ResumeJob"]),
        (Some(Role::Submitter), "JobService", &["RunJob"]),
        (Some(Role::Viewer), "JobService", &["GetJob", "ListJobs"]),
        (Some(Role::Submitter), "RunService", &["CancelRun"]),
        (Some(Role::Operator), "RunService", &["RetryRun"]),
        (Some(Role::Viewer), "RunService", &["GetRun", "ListRuns", "WaitRun", "ExplainRun", "GetRunLogs"]),
        (Some(Role::Viewer), "RequestService", &["GetRequest", "ListRequests"]),
        (None, "ServerService", &["GetServerInfo"]),
        (Some(Role::Viewer), "WatchService", &["Watch"]),
        (Some(Role::Viewer), "TriggerService", &["GetTrigger", "ListTriggers", "PreviewTrigger"]),
        (Some(Role::Submitter), "TriggerService", &["FireTrigger"]),
        (
            Some(Role::Operator),
            "TriggerService",
            &["PauseTrigger", "ResumeTrigger", "BackfillTrigger", "CancelBackfill"],
        ),
    ];
    let paths = classes.into_iter().flat_map(|(role, service, methods)| {
        methods.iter().map(move |method| (format!("/semel.v1.{service}/{method}"), role))
    });
    paths.collect()
}

/// What each role may do, as DESIGN and the protocol have it.
fn includes(has: Role) -> &'static [Role] {
    match has {
        Role::Admin => &[Role::Admin, Role::Operator, Role::Submitter, Role::Worker, Role::Viewer],
        Role::Operator => &[Role::Operator, Role::Submitter, Role::Viewer],
        Role::Submitter => &[Role::Submitter, Role::Viewer],
        Role::Worker => &[Role::Worker],
        Role::Viewer => &[Role::Viewer],
        Role::Unspecified => &[],
    }
}

const ROLES: [Role; 6] = [Role::Unspecified, Role::Viewer, Role::Worker, Role::Submitter, Role::Operator, Role::Admin];

#[tokio::test]
async fn each_role_may_call_what_it_may_and_nothing_else() {
    let server = TestServer::start().await;
    let nobody = Wire::to(&server.endpoint()).await;
    let admin = nobody.bearer(&server.admin_secret);
    let stage = Stage::set(&admin, "pay").await;
    let (samples, needs) = (stage.samples(), needs());
    // From the least to the mightiest, so that nothing is gone before somebody was refused it.
    for role in ROLES {
        let grant = |apps: &str| v1::Grant { role: role.into(), apps: apps.to_owned() };
        let grants = if role == Role::Unspecified { Vec::new() } else { vec![grant("pay"), grant("pay/*")] };
        let app = format!("caller-{}", role as i32);
        let create = v1::CreateAppRequest { app, grants, ..Default::default() };
        let caller = nobody.bearer(&admin.served(&fresh(), create).await.secret);
        for method in methods().into_iter().filter(|method| !method.is_client_streaming()) {
            let path = path(&method);
            let needed = *needs.get(&path).unwrap_or_else(|| panic!("say in modes.rs what {path} needs"));
            let may = needed.is_none_or(|needed| includes(role).contains(&needed));
            match call(&caller, &method, under(&fresh(), &samples.of(&method))).await {
                Ok(_) => assert!(may, "{role:?} was served {path}"),
                Err(status) => {
                    let refused = Refused::of(&status);
                    assert_eq!(refused.reason == "FORBIDDEN", !may, "{role:?} at {path}: {refused:?}");
                    assert_eq!(refused.auth() == AuthStatus::Forbidden, !may);
                }
            }
        }
        // An item of a stream is held to the same: without the right it does not learn whether there is such a job.
        let mut submitter = RawSubmitter::open(&caller).await.expect("opens for whoever is known");
        let id = fresh();
        submitter
            .send(vec![raw_submitter::under(&id, v1::RunJobRequest { app: "pay".to_owned(), ..run_job("unknown") })])
            .await;
        let may = includes(role).contains(&Role::Submitter);
        assert_eq!(submitter.refused(&id).await.reason, if may { "NOT_FOUND" } else { "FORBIDDEN" }, "{role:?}");
        let opened = RawWorker::open(&caller, hello("nobody", 0)).await;
        let may = includes(role).contains(&Role::Worker);
        assert_eq!(opened.is_ok(), may, "{role:?} as a worker");
        if let Err(status) = opened {
            Refused::of(&status).expect_with(Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden);
        }
    }
}

#[tokio::test]
async fn a_grant_on_a_prefix_holds_what_lies_below_it_and_not_its_neighbours() {
    let pay = PayByWire::start().await;
    let grants = vec![v1::Grant { role: Role::Admin.into(), apps: "pay/*".to_owned() }];
    let create = v1::CreateAppRequest { app: "lead".to_owned(), grants, ..Default::default() };
    let lead = pay.nobody.bearer(&pay.admin.served(&fresh(), create).await.secret);
    let app = |app: &str, apps: &str| {
        let grants = vec![v1::Grant { role: Role::Viewer.into(), apps: apps.to_owned() }];
        v1::CreateAppRequest { app: app.to_owned(), grants, ..Default::default() }
    };
    lead.served(&fresh(), app("pay/eu", "pay/eu/*")).await;
    for (name, lent) in [("payroll", "pay/eu"), ("pay", "pay/eu"), ("pay/us", "*"), ("pay/us", "pay")] {
        let refused = lead.refused(&fresh(), app(name, lent)).await;
        refused.expect_with(Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden);
    }
    let apps = lead.served("", v1::ListAppsRequest::default()).await.apps;
    assert_eq!(apps.iter().map(|app| app.name.as_str()).collect::<Vec<_>>(), ["lead", "pay/eu"]);
}

fn lifetime(span: i64, roles: &[Role]) -> v1::IssueTokenRequest {
    let roles = roles.iter().map(|role| (*role).into()).collect();
    v1::IssueTokenRequest { lifetime: seconds(span), roles, ..Default::default() }
}

#[tokio::test]
async fn a_token_lives_as_long_as_it_was_issued_for() {
    let (pay, clock) = still().await;
    let issued = pay.pay.served("", lifetime(60, &[])).await;
    let token = pay.nobody.bearer(&issued.token);
    let auth = check(&token).await;
    assert_eq!(
        (auth.status(), auth.method(), auth.principal.as_str()),
        (AuthStatus::Passed, AuthMethod::Token, "app:pay")
    );
    assert_eq!(auth.expire_time, issued.expire_time);
    assert_eq!(millis(issued.expire_time.as_ref()), wall(&clock) + 60_000);
    clock.advance(Millis(59_999));
    settle(&token, &fresh()).await.expect("its last moment");
    clock.advance(Millis(1));
    is_barred(&token, "CREDENTIALS_EXPIRED", AuthStatus::Expired).await;
    assert_eq!(check(&token).await.expire_time, issued.expire_time, "since when is said");
    let refused = pay.pay.refused("", lifetime(24 * 3600 + 1, &[])).await;
    assert_eq!(refused.expect(Code::InvalidArgument, "INVALID").violations[0].0, "lifetime");
}

#[tokio::test]
async fn a_token_can_be_narrowed_and_never_widened() {
    let pay = PayByWire::start().await;
    let token = pay.pay.served("", lifetime(60, &[Role::Viewer])).await.token;
    let viewer = pay.nobody.bearer(&token);
    let refused = viewer.refused(&fresh(), run_job("settle")).await;
    refused.expect_with(Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden).says("role", "submitter");
    assert!(viewer.runs().await.is_empty());
    let grants = viewer.served("", v1::CheckAuthRequest::default()).await.grants;
    assert_eq!(grants.iter().map(v1::Grant::role).collect::<Vec<_>>().iter().max(), Some(&Role::Viewer));
    let refused = pay.pay.refused("", lifetime(60, &[Role::Admin])).await;
    refused.expect_with(Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden).says("role", "admin");
    // A token begets no token, or it would never end.
    let refused = viewer.refused("", lifetime(60, &[])).await;
    refused.expect_with(Code::Unauthenticated, "CREDENTIALS_MISSING", AuthStatus::Missing);
}

#[tokio::test]
async fn tokens_are_taken_back_one_by_one_or_all_at_once() {
    let (pay, clock) = still().await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(pay.pay.served("", lifetime(3600, &[])).await);
    }
    let wires: Vec<Wire> = tokens.iter().map(|issued| pay.nobody.bearer(&issued.token)).collect();
    let revoke = |target| v1::RevokeTokenRequest { app: "pay".to_owned(), target: Some(target), ..Default::default() };
    let one = revoke(v1::revoke_token_request::Target::TokenId(tokens[0].token_id.clone()));
    // An app takes back its own, with a token too; those of another are its admin's.
    wires[1].served(&fresh(), one).await;
    is_barred(&wires[0], "CREDENTIALS_REVOKED", AuthStatus::Revoked).await;
    settle(&wires[1], &fresh()).await.expect("the others are good");
    let all = || revoke(v1::revoke_token_request::Target::All(true));
    let create = v1::CreateAppRequest { app: "shop".to_owned(), ..Default::default() };
    let shop = pay.nobody.bearer(&pay.admin.served(&fresh(), create).await.secret);
    let refused = shop.refused(&fresh(), all()).await;
    refused.expect_with(Code::PermissionDenied, "FORBIDDEN", AuthStatus::Forbidden);
    pay.admin.served(&fresh(), all()).await;
    for wire in &wires {
        is_barred(wire, "CREDENTIALS_REVOKED", AuthStatus::Revoked).await;
    }
    assert_eq!(check(&pay.pay).await.status(), AuthStatus::Passed, "the secret is no token");
    clock.advance(Millis(1));
    let token = pay.pay.served("", lifetime(60, &[])).await.token;
    assert_eq!(check(&pay.nobody.bearer(&token)).await.status(), AuthStatus::Passed);
}

#[tokio::test]
async fn what_was_taken_back_stays_so_over_a_restart() {
    let mut pay = PayByWire::start().await;
    let issued = pay.pay.served("", lifetime(3600, &[])).await;
    let target = Some(v1::revoke_token_request::Target::TokenId(issued.token_id));
    pay.pay.served(&fresh(), v1::RevokeTokenRequest { target, ..Default::default() }).await;
    let good = pay.pay.served("", lifetime(3600, &[])).await.token;
    pay.restart().await;
    is_barred(&pay.nobody.bearer(&issued.token), "CREDENTIALS_REVOKED", AuthStatus::Revoked).await;
    assert_eq!(check(&pay.nobody.bearer(&good)).await.status(), AuthStatus::Passed);
}

#[tokio::test]
async fn the_tokens_of_an_app_do_not_outlive_it() {
    let (pay, clock) = still().await;
    let create = || v1::CreateAppRequest { app: "shop".to_owned(), ..Default::default() };
    let secret = pay.admin.served(&fresh(), create()).await.secret;
    let token = pay.nobody.bearer(&secret).served("", lifetime(3600, &[])).await.token;
    let old = pay.nobody.bearer(&token);
    assert_eq!(check(&old).await.status(), AuthStatus::Passed);
    let delete = v1::DeleteAppRequest { app: "shop".to_owned(), ..Default::default() };
    pay.admin.served(&fresh(), delete).await;
    assert_eq!(check(&old).await.status(), AuthStatus::Revoked);
    assert_eq!(check(&pay.nobody.bearer(&secret)).await.status(), AuthStatus::Invalid);
    clock.advance(Millis(1));
    let second = pay.admin.served(&fresh(), create()).await.secret;
    assert_eq!(check(&old).await.status(), AuthStatus::Revoked, "another app of the same name is another app");
    assert_eq!(check(&pay.nobody.bearer(&secret)).await.status(), AuthStatus::Invalid);
    assert_eq!(check(&pay.nobody.bearer(&second)).await.status(), AuthStatus::Passed);
}

#[tokio::test]
async fn a_former_secret_has_its_time_of_grace_and_no_more() {
    let (pay, clock) = still().await;
    let rotate = |grace| v1::RotateAppSecretRequest { app: "pay".to_owned(), grace, ..Default::default() };
    let second = pay.admin.served(&fresh(), rotate(seconds(60))).await.secret;
    let auth = check(&pay.pay).await;
    assert_eq!(auth.status(), AuthStatus::Passed);
    assert_eq!(millis(auth.expire_time.as_ref()), wall(&clock) + 60_000);
    let new = pay.nobody.bearer(&second);
    assert_eq!((check(&new).await.status(), check(&new).await.expire_time), (AuthStatus::Passed, None));
    clock.advance(Millis(60_000));
    is_barred(&pay.pay, "CREDENTIALS_EXPIRED", AuthStatus::Expired).await;
    let third = pay.admin.served(&fresh(), rotate(None)).await.secret;
    is_barred(&new, "CREDENTIALS_INVALID", AuthStatus::Invalid).await;
    assert_eq!(check(&pay.nobody.bearer(&third)).await.status(), AuthStatus::Passed);
}

#[tokio::test]
async fn good_credentials_pass_from_an_address_that_is_backing_off() {
    let (pay, clock) = still().await;
    let guess = pay.nobody.bearer("sk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(check(&guess).await.status());
    }
    assert!(statuses[..11].iter().all(|status| *status == AuthStatus::Invalid), "{statuses:?}");
    assert!(statuses[11..].iter().all(|status| *status == AuthStatus::Throttled), "{statuses:?}");
    settle(&pay.pay, &fresh()).await.expect("others at the same address are not locked out");
    let token = pay.pay.served("", lifetime(60, &[])).await.token;
    assert_eq!(check(&pay.nobody.bearer(&token)).await.status(), AuthStatus::Passed);
    clock.advance(Millis(1000));
    assert_eq!(check(&guess).await.status(), AuthStatus::Invalid, "after the delay there is a verdict again");
    assert_eq!(check(&guess).await.status(), AuthStatus::Throttled);
}

#[tokio::test]
async fn guesses_at_an_apps_secret_back_off_and_the_right_one_passes() {
    let (pay, _) = still().await;
    let issue = |secret: &str| {
        let secret = secret.to_owned();
        v1::IssueTokenRequest { app: "pay".to_owned(), secret, ..Default::default() }
    };
    let mut throttled = 0;
    for _ in 0..20 {
        let guess = "sk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let refused = pay.nobody.refused("", issue(guess)).await;
        if refused.reason == "AUTH_THROTTLED" {
            refused.expect_with(Code::ResourceExhausted, "AUTH_THROTTLED", AuthStatus::Throttled).says_when();
            throttled += 1;
        }
    }
    assert!(throttled >= 9, "only {throttled} of 20 guesses were throttled");
    let issued = pay.nobody.served("", issue(&pay.secret)).await;
    assert_eq!(auth_status(issued.header.as_ref()), AuthStatus::Passed);
}

#[tokio::test]
async fn a_stream_is_told_before_its_credentials_end_and_when_they_do() {
    let (pay, clock) = still().await;
    let short = pay.pay.served("", lifetime(50, &[])).await.token;
    let mut worker = RawWorker::open(&pay.nobody.bearer(&short), hello("echo", 1)).await.expect("opens");
    assert_eq!(worker.notice().await.status(), AuthStatus::Expiring);
    let longer = pay.pay.served("", lifetime(100, &[])).await.token;
    let fresh_ones = work_request::Kind::Reauthenticate(v1::Reauthenticate { token: longer });
    worker.say(fresh_ones.clone()).await;
    assert!(worker.unasked().await.is_empty(), "nothing ended");
    clock.advance(Millis::from_secs(50));
    // The first ones have ended by now. Fresh ones are judged when they come.
    worker.say(fresh_ones).await;
    assert_eq!(worker.notice().await.status(), AuthStatus::Expiring, "the fresh ones are good, and end soon as well");
    worker.expect(AuthStatus::Expired);
    clock.advance(Millis::from_secs(50));
    assert_eq!(worker.notice().await.status(), AuthStatus::Expired);
    let status = worker.end().await.1.expect_err("the stream ends");
    Refused::of(&status).expect_with(Code::Unauthenticated, "CREDENTIALS_EXPIRED", AuthStatus::Expired);
}
