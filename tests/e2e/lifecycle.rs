//! The life of a server: what a restart keeps, what is said while it ends, how long that takes, and where it refuses to
//! start at all.

use std::{net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use semel_client::{Client, Credentials, v1, v1::RunState};
use semel_server::{
    auth::KeyringError,
    server::{self, ADMIN_SECRET_FILE, Data, Error, KEYS_FILE, Running, Settings},
};
use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use tonic::{Code, Request};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient, server_reflection_request,
    server_reflection_response,
};

use super::{
    crew::PayByClient,
    harness::{TestServer, in_time, job, run_job, spec},
    raw_worker::{hello_again, refers_to, succeeded},
    wire::{Refused, seconds},
};

fn on_disk(path: &Path) -> Settings {
    let data = Data::Directory { path: path.to_owned(), map_size: 1 << 30 };
    Settings { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..Settings::new(data) }
}

fn put_on_disk(path: &Path) -> impl FnOnce(&mut Settings) {
    let with = on_disk(path);
    move |settings| {
        settings.data = with.data;
        settings.keyring = None;
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

async fn start_error(settings: Settings) -> Error {
    match server::start(settings).await {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[tokio::test]
async fn a_restart_keeps_everything_that_was_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut pay = PayByClient::with(put_on_disk(folder.path())).await;
    job(&pay.client, "settle", v1::JobSpec { labels: [("a".to_owned(), "b".to_owned())].into(), ..spec("p") }).await;
    let token = v1::IssueTokenRequest { app: "pay".to_owned(), secret: pay.secret.clone(), ..Default::default() };
    let token = pay.client.issue_token(token).await.expect("a token");
    let mut worker = pay.worker("p", 2).await;
    let payload = Some(v1::Payload { data: "in".into(), content_type: "text/plain".to_owned() });
    let done = pay.submit_with(v1::RunJobRequest { payload, ..run_job("settle") }).await;
    let work = worker.assignment().await;
    worker.report(succeeded(&work, "42")).await;
    let held = pay.submit("settle").await;
    let held_work = worker.assignment().await;
    let id = pay.client.mint_request_id();
    let keyed = v1::RunJobRequest { start_time: far_ahead(&pay).await, ..run_job("settle") };
    let first = pay.client.with_request_id(id).run_job(keyed.clone()).await.expect("made");
    let before = everything(&pay).await;

    pay.server.restart().await;
    pay.client = pay.server.client("pay", &pay.secret).await;
    assert_eq!(everything(&pay).await, before);
    let again = pay.client.with_request_id(id).run_job(keyed).await.expect("the same answer");
    assert_eq!(again.run_id, first.run_id);
    let (header, first) = (again.header.expect("a header"), first.header.expect("a header"));
    assert_eq!(header.disposition(), v1::Disposition::Replayed);
    assert_eq!((header.execute_time, header.revision), (first.execute_time, first.revision));

    let options = pay.server.options().app("pay").credentials(Credentials::Token(token.token));
    let by_token = Client::connect(options).await.expect("connects");
    let listed = by_token.list_runs(v1::ListRunsRequest::default()).await.expect("the token is good").runs;
    assert_eq!(listed.len(), 3);
    assert!(pay.server.admin().await.list_apps(v1::ListAppsRequest::default()).await.is_ok(), "and the admin's secret");
    assert_eq!(pay.run(&done).await.state(), RunState::Succeeded);

    let mut back =
        pay.worker_again(v1::Hello { held: vec![refers_to(&held_work)], ..hello_again(&worker.id, "p", 2) }).await;
    assert!(back.opened.stale.is_empty(), "the lease outlived the restart");
    back.report(succeeded(&held_work, "")).await;
    assert_eq!(pay.run(&held).await.attempts.len(), 1);
}

async fn far_ahead(pay: &PayByClient) -> Option<prost_types::Timestamp> {
    let info = pay.client.get_server_info(v1::GetServerInfoRequest::default()).await.expect("an answer");
    let now = info.header.expect("a header").server_time.expect("a time");
    Some(prost_types::Timestamp { seconds: now.seconds + 86_400, nanos: 0 })
}

/// All that the app has, as the server shows it.
async fn everything(pay: &PayByClient) -> (v1::App, Vec<v1::Job>, Vec<v1::Run>, Vec<v1::RequestRecord>) {
    let app = pay.client.get_app(v1::GetAppRequest::default()).await.expect("the app").app.expect("an app");
    let jobs = pay.client.list_jobs(v1::ListJobsRequest::default()).await.expect("jobs").jobs;
    let mut runs = Vec::new();
    for run in pay.client.list_runs(v1::ListRunsRequest::default()).await.expect("runs").runs {
        runs.push(pay.run(&run.run_id).await);
    }
    let requests = pay.client.list_requests(v1::ListRequestsRequest::default()).await.expect("requests").requests;
    assert!(!jobs.is_empty() && !runs.is_empty() && !requests.is_empty());
    (app, jobs, runs, requests)
}

async fn health(server: &TestServer) -> Result<ServingStatus, tonic::Status> {
    let channel = tonic::transport::Endpoint::from_shared(server.endpoint()).expect("an address").connect_lazy();
    let answer = in_time(HealthClient::new(channel).check(HealthCheckRequest::default())).await?;
    Ok(match answer.into_inner().status {
        1 => ServingStatus::Serving,
        2 => ServingStatus::NotServing,
        other => panic!("an unknown status {other}"),
    })
}

#[tokio::test]
async fn health_needs_no_credentials_and_says_when_the_server_drains() {
    let pay = PayByClient::start().await;
    assert!(matches!(health(&pay.server).await, Ok(ServingStatus::Serving)));
    pay.server.running().drain().await;
    assert!(matches!(health(&pay.server).await, Ok(ServingStatus::NotServing)));
    // What changes something is refused from now on, and may be sent again; what only reads is still answered.
    let blunt = pay.server.blunt_client("pay", &pay.secret).await;
    let refused = blunt.run_job(run_job("settle")).await.expect_err("it drains");
    assert_eq!((refused.reason(), refused.code()), (Some("DRAINING"), Code::Unavailable));
    assert!(refused.may_retry());
    blunt.list_runs(v1::ListRunsRequest::default()).await.expect("reads are answered");
}

async fn reflect(server: &TestServer, bearer: &str) -> Result<Vec<String>, tonic::Status> {
    let channel = tonic::transport::Endpoint::from_shared(server.endpoint()).expect("an address").connect_lazy();
    let message = server_reflection_request::MessageRequest::ListServices(String::new());
    let ask = ServerReflectionRequest { message_request: Some(message), ..Default::default() };
    let mut request = Request::new(tokio_stream::once(ask));
    if !bearer.is_empty() {
        request.metadata_mut().insert("authorization", format!("Bearer {bearer}").parse().expect("a token"));
    }
    let mut client = ServerReflectionClient::new(channel);
    let mut answers = in_time(client.server_reflection_info(request)).await?.into_inner();
    let answer = in_time(answers.next()).await.expect("an answer")?;
    match answer.message_response {
        Some(server_reflection_response::MessageResponse::ListServicesResponse(list)) => {
            Ok(list.service.into_iter().map(|service| service.name).collect())
        }
        other => panic!("no list: {other:?}"),
    }
}

#[tokio::test]
async fn reflection_lists_the_services_to_whoever_has_credentials() {
    let pay = PayByClient::start().await;
    let names = reflect(&pay.server, &pay.secret).await.expect("a list");
    for name in ["App", "Auth", "Job", "Run", "Request", "Worker", "Server"] {
        assert!(names.contains(&format!("semel.v1.{name}Service")), "{name}: {names:?}");
    }
    assert!(names.contains(&"grpc.health.v1.Health".to_owned()), "{names:?}");
    let refused = reflect(&pay.server, "").await.expect_err("nobody");
    Refused::of(&refused).expect_with(Code::Unauthenticated, "CREDENTIALS_MISSING", v1::AuthStatus::Missing);
}

/// Ends a server; gives how long that took.
async fn end(running: Running) -> Duration {
    let begun = Instant::now();
    in_time(running.shutdown()).await.expect("a clean end");
    begun.elapsed()
}

#[tokio::test]
async fn an_idle_worker_and_a_waiting_caller_hold_no_shutdown_up() {
    let mut pay = PayByClient::start().await;
    job(&pay.client, "settle", spec("p")).await;
    let run_id = pay.submit("settle").await;
    let mut worker = pay.worker("q", 1).await;
    let waiting = tokio::spawn({
        let client = pay.server.blunt_client("pay", &pay.secret).await;
        async move { client.wait_run(v1::WaitRunRequest { run_id, timeout: seconds(60), ..Default::default() }).await }
    });
    worker.beat().await;
    let took = end(pay.server.running.take().expect("it runs")).await;
    assert!(took < Duration::from_secs(9), "it waited for somebody: {took:?}");
    let (_, ended) = worker.end().await;
    assert!(ended.is_ok(), "the stream ended in order: {ended:?}");
    if let Ok(answer) = in_time(waiting).await.expect("no panic") {
        assert!(!answer.finished, "the caller got an answer, and a true one");
    }
}

#[tokio::test]
async fn a_caller_that_reads_nothing_is_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let change = put_on_disk(folder.path());
    let mut pay = PayByClient::with(|settings| {
        change(settings);
        settings.drain_timeout = Duration::from_millis(300);
    })
    .await;
    // A worker that never reads: what is sent to it fills its window, and the server cannot say goodbye.
    let definition = v1::JobSpec {
        payload: Some(v1::Payload { data: vec![1; 1 << 20].into(), content_type: String::new() }),
        ..spec("p")
    };
    job(&pay.client, "settle", definition).await;
    let deaf = pay.worker("p", 100).await;
    for _ in 0..100 {
        pay.submit("settle").await;
    }
    let took = end(pay.server.running.take().expect("it runs")).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    // It reads nothing still, and yet the store was let go of.
    end(server::start(on_disk(folder.path())).await.expect("the store is free")).await;
    drop(deaf);
}

#[tokio::test]
async fn plaintext_is_served_to_this_machine_only_unless_it_is_said_to_be_safe() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let mut settings = Settings::new(Data::Memory(semel_server::store::Memory::new()));
        settings.listen = address.parse().expect("an address");
        let refused = start_error(settings.clone()).await;
        assert!(matches!(refused, Error::Plaintext { .. }), "{refused}");
        assert!(refused.to_string().contains("--allow-plaintext"), "{refused}");
        settings.allow_plaintext = true;
        if address.starts_with('0') {
            end(server::start(settings).await.expect("it starts")).await;
        }
    }
}

#[tokio::test]
async fn the_data_directory_is_for_its_owner_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("deep").join("data");
    let running = server::start(on_disk(&data)).await.expect("it starts");
    assert_eq!(mode(&data), 0o700);
    for file in [ADMIN_SECRET_FILE, KEYS_FILE] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    let secret = std::fs::read_to_string(data.join(ADMIN_SECRET_FILE)).expect("it is there");
    assert_eq!(running.first_admin_secret().expect("a first start").reveal(), secret.trim_end());
    assert_eq!(running.first_admin_secret_file(), Some(data.join(ADMIN_SECRET_FILE).as_path()));
    end(running).await;

    // It is made once. A later start neither shows nor writes one.
    std::fs::remove_file(data.join(ADMIN_SECRET_FILE)).expect("removed");
    let running = server::start(on_disk(&data)).await.expect("it starts");
    assert!(running.first_admin_secret().is_none() && !data.join(ADMIN_SECRET_FILE).exists());
    end(running).await;
}

#[tokio::test]
async fn two_servers_do_not_share_a_directory() {
    let folder = tempfile::tempdir().expect("a folder");
    let running = server::start(on_disk(folder.path())).await.expect("it starts");
    let refused = start_error(on_disk(folder.path())).await;
    let text = with_causes(&refused);
    assert!(matches!(refused, Error::Store(_)), "{text}");
    assert!(text.contains(&folder.path().display().to_string()), "it names the directory: {text}");
    assert!(text.contains("another"), "it says what is wrong: {text}");
    end(running).await;
    end(server::start(on_disk(folder.path())).await.expect("it starts now")).await;
}

#[tokio::test]
async fn keys_that_others_may_read_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    end(server::start(on_disk(folder.path())).await.expect("it starts")).await;
    let keys = folder.path().join(KEYS_FILE);
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o644)).expect("changed");
    let refused = start_error(on_disk(folder.path())).await;
    assert!(matches!(refused, Error::Keyring(KeyringError::Exposed { mode: 0o644, .. })), "{refused}");
    assert!(refused.to_string().contains("chmod 600"), "{refused}");
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o600)).expect("changed");
    std::fs::write(&keys, "{").expect("written");
    let refused = start_error(on_disk(folder.path())).await;
    assert!(matches!(refused, Error::Keyring(KeyringError::Damaged { .. })), "{refused}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let first = TestServer::start().await;
    let mut settings = Settings::new(Data::Memory(semel_server::store::Memory::new()));
    settings.listen = first.running().address();
    let refused = start_error(settings).await;
    assert!(matches!(refused, Error::Listen { .. }), "{refused}");
    assert!(refused.to_string().contains(&first.running().address().to_string()), "{refused}");
}
