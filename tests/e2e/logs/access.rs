//! A line for each call: what it has, what it never has, and that a file which was moved away is written anew.

use std::fs;

use semel_client::v1::{self, job_service_client::JobServiceClient, watch_service_client::WatchServiceClient};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;

use super::{Logged, access_lines, all_text, shop};
use crate::e2e::{
    binary::{ServerProcess, until},
    harness::{PATIENCE, in_time, run_job, spec},
    wire::{fresh, payload, settle},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn of_id(id: &str) -> impl Fn(&Value) -> bool {
    move |line| line["request_id"] == id
}

#[tokio::test]
async fn a_call_is_a_line_with_all_that_is_known_of_it() {
    let logged = Logged::start().await;
    let (pay, id) = (&logged.pay.pay, fresh());
    let client = v1::ClientInfo { name: "till".to_owned(), version: "1.2".to_owned(), language: "none".to_owned() };
    let mut header = v1::RequestHeader { request_id: id.clone(), ..Default::default() };
    header.client = Some(client);
    let mut request = pay.request(v1::RunJobRequest { header: Some(header), ..run_job("settle") });
    request.set_timeout(PATIENCE);
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    for (name, value) in
        [("traceparent", parent.as_str()), ("grpc-previous-rpc-attempts", "2"), ("x-envoy-attempt-count", "3")]
    {
        request.metadata_mut().insert(name, value.parse().expect("ASCII"));
    }
    let answer = JobServiceClient::new(pay.channel.clone()).run_job(request).await.expect("it runs").into_inner();

    let line = logged.call(of_id(&id)).await;
    for (field, value) in [
        ("kind", json!("call")),
        ("rpc_method", json!("semel.v1.JobService/RunJob")),
        ("rpc_response_status_code", json!("OK")),
        ("protocol", json!("grpc")),
        ("network_peer_address", json!("127.0.0.1")),
        ("auth_status", json!("PASSED")),
        ("auth_method", json!("APP_SECRET")),
        ("principal", json!("app:pay")),
        ("app", json!("pay")),
        ("disposition", json!("EXECUTED")),
        ("arrivals", json!(1)),
        ("revision", json!(answer.header.expect("a header").revision)),
        ("client_name", json!("till")),
        ("client_version", json!("1.2")),
        ("previous_attempts", json!(2)),
        ("proxy_attempts", json!(3)),
        ("trace_id", json!(TRACE)),
        ("reason", Value::Null),
    ] {
        assert_eq!(line[field], value, "{field} of {line}");
    }
    assert!(line["duration_ms"].as_f64().is_some_and(|took| took > 0.0), "{line}");
    assert!(line["network_peer_port"].as_u64().is_some_and(|port| port > 0), "{line}");
    assert!(line["user_agent"].as_str().is_some_and(|agent| agent.starts_with("tonic/")), "{line}");
    assert!(line["time"].as_str().is_some_and(|time| time.len() == 24 && time.ends_with('Z')), "{line}");

    settle(pay, &id).await.expect("it ran");
    let again = logged.call(|line| line["request_id"] == id.as_str() && line["disposition"] == "REPLAYED").await;
    assert_eq!((&again["arrivals"], &again["revision"]), (&json!(2), &line["revision"]));
}

#[tokio::test]
async fn refusals_reads_and_streams_have_lines_as_well() {
    let logged = Logged::start().await;
    let pay = &logged.pay;
    let id = fresh();
    pay.nobody.refused(&id, run_job("settle")).await;
    let line = logged.call(of_id(&id)).await;
    assert_eq!((&line["reason"], &line["auth_status"]), (&json!("CREDENTIALS_MISSING"), &json!("MISSING")));
    assert_eq!((&line["rpc_response_status_code"], &line["principal"]), (&json!("UNAUTHENTICATED"), &Value::Null));

    let id = fresh();
    pay.pay.refused(&id, v1::CreateAppRequest { app: "shop".to_owned(), ..Default::default() }).await;
    let line = logged.call(of_id(&id)).await;
    assert_eq!((&line["reason"], &line["auth_status"]), (&json!("FORBIDDEN"), &json!("FORBIDDEN")));
    assert_eq!(line["principal"], "app:pay");

    pay.pay.runs().await;
    let line = logged.call(|line| line["rpc_method"] == "semel.v1.RunService/ListRuns").await;
    assert_eq!((&line["app"], &line["disposition"]), (&json!("pay"), &Value::Null));

    let request = pay.pay.request(v1::WatchRequest { app: "pay".to_owned(), ..Default::default() });
    let mut watcher = WatchServiceClient::new(pay.pay.channel.clone());
    let mut stream = watcher.watch(request).await.expect("it opens").into_inner();
    assert!(in_time(stream.message()).await.expect("it is open").is_some());
    let is_watch = |line: &Value| line["rpc_method"] == "semel.v1.WatchService/Watch";
    assert!(!access_lines(&logged.access()).iter().any(is_watch), "it has not ended");
    drop(stream);
    assert_eq!(logged.call(is_watch).await["rpc_response_status_code"], "CANCELLED");
}

#[tokio::test]
async fn a_method_that_there_is_not_has_no_name_and_a_browser_is_known() {
    let logged = Logged::start().await;
    let mut grpc = Grpc::new(logged.pay.pay.channel.clone());
    grpc.ready().await.expect("it is connected");
    let path = format!("/semel.v1.JobService/{}", "x".repeat(3_000)).parse::<PathAndQuery>().expect("a path");
    let codec = ProstCodec::<v1::RunJobRequest, v1::RunJobResponse>::default();
    let request = logged.pay.pay.request(v1::RunJobRequest::default());
    grpc.unary(request, path, codec).await.map(|_| ()).expect_err("there is no such method");
    let line = logged.call(|line| line["rpc_method"] == "_OTHER").await;
    assert!(line["rpc_response_status_code"] == "UNIMPLEMENTED" && line.to_string().len() < 1_000, "{line}");

    let mut page = TcpStream::connect(logged.pay.server.running().address()).await.expect("connects");
    let head = "POST /semel.v1.AuthService/CheckAuth HTTP/1.1\r\nhost: semel\r\nconnection: close\r\n\
                content-type: application/grpc-web+proto\r\nuser-agent: a browser \u{1b}[2J\r\ncontent-length: 5\r\n\r\n\0\0\0\0\0";
    page.write_all(head.replace('\u{1b}', "\t").as_bytes()).await.expect("it is written");
    in_time(page.read_to_end(&mut Vec::new())).await.expect("an answer");
    let line = logged.call(|line| line["protocol"] == "grpc-web").await;
    assert_eq!(
        (&line["rpc_method"], &line["rpc_response_status_code"]),
        (&json!("semel.v1.AuthService/CheckAuth"), &json!("OK"))
    );
    assert!(line["user_agent"].as_str().is_some_and(|agent| agent.starts_with("a browser")), "{line}");
}

#[tokio::test]
async fn no_secret_and_no_payload_stands_in_any_line() {
    let mut logged =
        Logged::with(|settings| settings.audit.events = Some(semel_server::logs::audit::Events::All)).await;
    let pay = &logged.pay;
    let issue = v1::IssueTokenRequest { app: "pay".to_owned(), secret: pay.secret.clone(), ..Default::default() };
    let token = pay.nobody.served("", issue).await.token;
    let by_token = pay.nobody.bearer(&token);
    let run = v1::RunJobRequest { payload: payload("the payload itself"), ..run_job("settle") };
    by_token.served(&fresh(), run.clone()).await;
    let wrong = format!("sk_{}", "wrong".repeat(10));
    pay.nobody.bearer(&wrong).refused(&fresh(), run).await;
    let secret_job = v1::JobSpec { payload: payload("the payload itself"), ..spec("echo") };
    let create = v1::CreateJobRequest {
        app: "pay".to_owned(),
        job: "other".to_owned(),
        spec: Some(secret_job),
        ..Default::default()
    };
    by_token.served(&fresh(), create).await;
    let other = shop(pay).await;
    let rotate = v1::RotateAppSecretRequest { app: "pay".to_owned(), ..Default::default() };
    let rotated = pay.admin.served(&fresh(), rotate).await.secret;
    let secrets = [&pay.secret, &token, &wrong, &rotated, &pay.server.admin_secret].map(Clone::clone);
    let others = other.authorization.expect("a secret").replace("Bearer ", "");
    logged.stop().await;

    let text = all_text(&logged.audit()) + &fs::read_to_string(logged.access()).expect("text");
    assert!(text.lines().count() > 12 && text.contains("\"TOKEN\""), "{text}");
    for secret in secrets.iter().chain([&others, &"the payload itself".to_owned()]) {
        assert!(!text.contains(secret), "{secret} stands in {text}");
        // Nor any larger part of one.
        assert!(!text.contains(&secret[secret.len() / 2..]), "half of {secret} stands in {text}");
    }
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_made_anew_at_a_hang_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let environment = [("SEMEL_LOG_ACCESS", path.to_str().expect("text"))];
    let mut server = ServerProcess::start(folder.path(), &environment).await;
    let called = async |path: &std::path::Path| {
        assert_eq!(server.json(&["info"]).await.0, 0);
        until(async || access_lines(path).last().map(|line| line["rpc_method"].clone())).await
    };
    assert_eq!(called(&path).await, "semel.v1.ServerService/GetServerInfo");
    fs::rename(&path, &moved).expect("moved");
    server.signal("HUP").await;
    until(async || path.exists().then_some(())).await;
    let before = fs::read_to_string(&moved).expect("text");
    called(&path).await;
    assert_eq!(fs::read_to_string(&moved).expect("text"), before, "nothing more goes there");
    assert_eq!(server.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_server_does_not_start_without_the_access_log_that_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = ServerProcess::start_nothing(folder.path());
    server.environment = vec![("SEMEL_LOG_ACCESS".to_owned(), "/nowhere/access.log".to_owned())];
    server.spawn();
    assert_eq!(server.ended().await, Some(1), "{}", server.said());
    assert!(server.said().contains("/nowhere/access.log") && server.said().contains("log.access"), "{}", server.said());
}
