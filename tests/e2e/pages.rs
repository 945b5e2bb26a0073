//! The lists: that a walk through the pages finds everything once and in order, that filters find what they name, and
//! that page tokens are good for their own list only.

use bytes::Bytes;
use prost::Message as _;
use semel_client::{
    Method,
    v1::{self, RunState},
};
use semel_core::id::Millis;
use semel_server::clock::ManualClock;
use tokio::task::JoinSet;
use tonic::Code;

use super::{
    harness::{TestServer, run_job, spec},
    raw_worker::{RawWorker, hello, log, succeeded},
    wire::{PayByWire, fresh, id_at, settle, wall},
};

/// gRPC clients take no larger message by default.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// A list: its request with a page, and what a response holds.
trait List: Method {
    fn with(&self, page: v1::PageRequest) -> Self;
    fn names(response: &Self::Response) -> Vec<String>;
    fn next(response: &Self::Response) -> String;
}

macro_rules! list {
    ($request:ident, $items:ident, $name:ident) => {
        impl List for v1::$request {
            fn with(&self, page: v1::PageRequest) -> Self {
                Self { page: Some(page), ..self.clone() }
            }

            fn names(response: &Self::Response) -> Vec<String> {
                response.$items.iter().map(|item| item.$name.clone()).collect()
            }

            fn next(response: &Self::Response) -> String {
                response.page.clone().expect("a page").next_page_token
            }
        }
    };
}

list!(ListRunsRequest, runs, run_id);
list!(ListJobsRequest, jobs, name);
list!(ListAppsRequest, apps, name);
list!(ListRequestsRequest, requests, request_id);

fn page(page_size: i32, page_token: &str) -> v1::PageRequest {
    v1::PageRequest { page_size, page_token: page_token.to_owned() }
}

/// All pages, each no larger than asked for.
async fn pages<L: List>(wire: &super::wire::Wire, list: &L, size: i32) -> Vec<Vec<String>> {
    let (mut pages, mut token) = (Vec::new(), String::new());
    loop {
        let response = wire.served("", list.with(page(size, &token))).await;
        let names = L::names(&response);
        assert!(names.len() <= usize::try_from(size).expect("a size"));
        assert!(response.encoded_len() < MESSAGE_BYTES_MAX);
        pages.push(names);
        token = L::next(&response);
        if token.is_empty() {
            return pages;
        }
        assert!(pages.len() < 1000, "the list comes to its end");
    }
}

/// What a list holds: the same whatever the size of its pages.
async fn all<L: List>(wire: &super::wire::Wire, list: &L) -> Vec<String> {
    let whole = pages(wire, list, 1000).await.concat();
    for size in [1, 3, 7] {
        assert_eq!(pages(wire, list, size).await.concat(), whole, "in pages of {size}");
    }
    whole
}

async fn still() -> (PayByWire, ManualClock) {
    let (server, clock) = TestServer::with_manual_clock(|_| {}).await;
    (PayByWire::on(server).await, clock)
}

fn labels(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn time(millis: i64) -> Option<prost_types::Timestamp> {
    let nanos = i32::try_from(millis.rem_euclid(1000)).expect("below a thousand") * 1_000_000;
    Some(prost_types::Timestamp { seconds: millis.div_euclid(1000), nanos })
}

#[tokio::test]
async fn runs_are_listed_the_newest_first_by_job_state_label_and_time() {
    let (pay, clock) = still().await;
    let create = v1::CreateJobRequest { job: "close".to_owned(), spec: Some(spec("echo")), ..Default::default() };
    pay.pay.served(&fresh(), create).await;
    let (start, mut made) = (wall(&clock), Vec::new());
    for number in 0..20 {
        let job = if number % 2 == 0 { "settle" } else { "close" };
        let parity = if number % 4 == 0 { "yes" } else { "no" };
        let labels = labels(&[("fourth", parity), ("all", "yes")]);
        let request = v1::RunJobRequest { labels, ..run_job(job) };
        made.push(pay.pay.served(&fresh(), request).await.run_id);
        clock.advance(Millis(1000));
    }
    for run_id in &made[..5] {
        let cancel = v1::CancelRunRequest { run_id: run_id.clone(), ..Default::default() };
        pay.pay.served(&fresh(), cancel).await;
    }
    let newest_first = |wanted: &dyn Fn(usize) -> bool| -> Vec<String> {
        (0..made.len()).rev().filter(|number| wanted(*number)).map(|number| made[number].clone()).collect()
    };
    let list = v1::ListRunsRequest::default;
    let states = |states: &[RunState]| states.iter().map(|state| (*state).into()).collect::<Vec<i32>>();
    let of_job = v1::ListRunsRequest { job: "close".to_owned(), ..list() };
    let ended = v1::ListRunsRequest { states: states(&[RunState::Cancelled, RunState::Failed]), ..list() };
    let queued = v1::ListRunsRequest { states: states(&[RunState::Queued]), ..list() };
    let fourth = v1::ListRunsRequest { labels: labels(&[("fourth", "yes"), ("all", "yes")]), ..list() };
    let span = v1::TimeRange { start_time: time(start + 3000), end_time: time(start + 9000) };
    let of_span = v1::ListRunsRequest { create_time: Some(span), ..list() };
    let everything = v1::ListRunsRequest {
        job: "settle".to_owned(),
        states: states(&[RunState::Cancelled]),
        labels: labels(&[("fourth", "yes")]),
        create_time: Some(v1::TimeRange { start_time: None, ..span }),
        ..list()
    };
    assert_eq!(all(&pay.pay, &list()).await, newest_first(&|_| true));
    assert_eq!(all(&pay.pay, &of_job).await, newest_first(&|number| number % 2 == 1));
    assert_eq!(all(&pay.pay, &ended).await, newest_first(&|number| number < 5));
    assert_eq!(all(&pay.pay, &queued).await, newest_first(&|number| number >= 5));
    assert_eq!(all(&pay.pay, &fourth).await, newest_first(&|number| number % 4 == 0));
    assert_eq!(all(&pay.pay, &of_span).await, newest_first(&|number| (3..9).contains(&number)));
    assert_eq!(all(&pay.pay, &everything).await, newest_first(&|number| number == 0 || number == 4));
    let none = v1::ListRunsRequest { job: "none".to_owned(), ..list() };
    assert!(all(&pay.pay, &none).await.is_empty());
    let bad = v1::ListRunsRequest { states: vec![0, 99], ..list() };
    let refused = pay.pay.refused("", bad).await;
    let fields: Vec<&str> = refused
        .expect(Code::InvalidArgument, "INVALID")
        .violations
        .iter()
        .map(|violation| violation.0.as_str())
        .collect();
    assert_eq!(fields, ["states[0]", "states[1]"]);
}

#[tokio::test]
async fn jobs_are_listed_by_name_prefix_label_and_pause() {
    let pay = PayByWire::start().await;
    let names = ["alpha", "alpha-two", "beta", "gamma"];
    for (number, name) in names.iter().enumerate() {
        let labels = labels(&[("even", if number % 2 == 0 { "yes" } else { "no" })]);
        let spec = Some(v1::JobSpec { labels, ..spec("echo") });
        let create = v1::CreateJobRequest { job: (*name).to_owned(), spec, ..Default::default() };
        pay.pay.served(&fresh(), create).await;
    }
    let pause = v1::PauseJobRequest { job: "beta".to_owned(), ..Default::default() };
    pay.pay.served(&fresh(), pause).await;
    let list = v1::ListJobsRequest::default;
    assert_eq!(all(&pay.pay, &list()).await, ["alpha", "alpha-two", "beta", "gamma", "settle"]);
    let below = v1::ListJobsRequest { prefix: "alpha".to_owned(), ..list() };
    assert_eq!(all(&pay.pay, &below).await, ["alpha", "alpha-two"]);
    let even = v1::ListJobsRequest { labels: labels(&[("even", "yes")]), ..list() };
    assert_eq!(all(&pay.pay, &even).await, ["alpha", "beta"]);
    let paused = |paused| v1::ListJobsRequest { paused: Some(paused), ..list() };
    assert_eq!(all(&pay.pay, &paused(true)).await, ["beta"]);
    assert_eq!(all(&pay.pay, &paused(false)).await, ["alpha", "alpha-two", "gamma", "settle"]);
}

#[tokio::test]
async fn apps_are_listed_by_name_and_prefix_to_those_who_may_see_them() {
    let pay = PayByWire::start().await;
    for app in ["pay/eu", "pay/us", "payroll", "shop"] {
        let create = v1::CreateAppRequest { app: app.to_owned(), ..Default::default() };
        pay.admin.served(&fresh(), create).await;
    }
    let list = |prefix: &str| v1::ListAppsRequest { prefix: prefix.to_owned(), ..Default::default() };
    assert_eq!(all(&pay.admin, &list("")).await, ["pay", "pay/eu", "pay/us", "payroll", "shop", "system"]);
    assert_eq!(all(&pay.admin, &list("pay/")).await, ["pay/eu", "pay/us"]);
    assert_eq!(all(&pay.pay, &list("")).await, ["pay"], "an app sees itself");
    assert!(all(&pay.pay, &list("shop")).await.is_empty());
}

#[tokio::test]
async fn requests_are_listed_the_newest_first_by_method_caller_and_time() {
    let (pay, clock) = still().await;
    let start = wall(&clock);
    let mut made = Vec::new();
    for number in 0..8 {
        clock.advance(Millis(1000));
        let id = id_at(start + 1000 * (number + 1));
        let request = v1::RunJobRequest { app: "pay".to_owned(), ..run_job("settle") };
        let caller = if number % 2 == 0 { &pay.pay } else { &pay.admin };
        caller.served(&id, request).await;
        made.push(id);
    }
    let pause_id = id_at(start + 9000);
    clock.advance(Millis(1000));
    pay.pay.served(&pause_id, v1::PauseJobRequest { job: "settle".to_owned(), ..Default::default() }).await;
    let newest_first = |wanted: &dyn Fn(usize) -> bool| -> Vec<String> {
        (0..made.len()).rev().filter(|number| wanted(*number)).map(|number| made[number].clone()).collect()
    };
    let list = v1::ListRequestsRequest::default;
    let every = all(&pay.pay, &list()).await;
    assert_eq!((every.len(), &every[0]), (10, &pause_id), "and the first was the job's");
    assert_eq!(every[1..9], newest_first(&|_| true));
    let method = |method: &str| v1::ListRequestsRequest { method: method.to_owned(), ..list() };
    assert_eq!(all(&pay.pay, &method("semel.v1.JobService/RunJob")).await, newest_first(&|_| true));
    assert_eq!(all(&pay.pay, &method("semel.v1.JobService/PauseJob")).await, [pause_id]);
    let by = v1::ListRequestsRequest { principal: "app:system".to_owned(), ..list() };
    assert_eq!(all(&pay.pay, &by).await, newest_first(&|number| number % 2 == 1));
    let span = v1::TimeRange { start_time: time(start + 3000), end_time: time(start + 6000) };
    let of_span = v1::ListRequestsRequest { mint_time: Some(span), ..list() };
    assert_eq!(all(&pay.pay, &of_span).await, newest_first(&|number| (2..5).contains(&number)));
    let refused = pay.pay.refused("", method("semel.v1.JobService/GetJob")).await;
    assert_eq!(refused.expect(Code::InvalidArgument, "INVALID").violations[0].0, "method");
}

#[tokio::test]
async fn a_log_is_read_on_from_where_its_page_ended() {
    let pay = PayByWire::start().await;
    let run_id = settle(&pay.pay, &fresh()).await.expect("a run").run_id;
    let mut worker = RawWorker::open(&pay.pay, hello("echo", 1)).await.expect("opens");
    let assignment = worker.assignment().await;
    for line in ["a", "b", "c", "d", "e"] {
        worker.report(log(&assignment, line)).await;
    }
    let request = |size, token: &str| v1::GetRunLogsRequest {
        run_id: run_id.clone(),
        page: Some(page(size, token)),
        ..Default::default()
    };
    let (mut text, mut token) = (Vec::new(), String::new());
    while text.len() < 5 {
        let answer = pay.pay.served("", request(2, &token)).await;
        assert!(!answer.complete, "more may come");
        text.extend(answer.chunks.iter().flat_map(|chunk| chunk.data.to_vec()));
        token = answer.page.expect("a page").next_page_token;
    }
    assert_eq!(text, b"abcde");
    worker.report(log(&assignment, "f")).await;
    worker.report(succeeded(&assignment, "")).await;
    let last = pay.pay.served("", request(2, &token)).await;
    assert_eq!(last.chunks.iter().map(|chunk| &chunk.data[..]).collect::<Vec<_>>(), [b"f"]);
    assert!(last.complete && last.page.expect("a page").next_page_token.is_empty());
}

async fn token_of<L: List>(wire: &super::wire::Wire, list: &L) -> String {
    let token = L::next(&wire.served("", list.with(page(1, ""))).await);
    assert!(!token.is_empty(), "{} has a second page", L::PATH);
    token
}

async fn takes_only_its_own<L: List>(wire: &super::wire::Wire, list: &L, tokens: &[&str]) {
    let own = token_of(wire, list).await;
    let cut = &own[..own.len() - 3];
    for token in tokens.iter().copied().filter(|token| *token != own).chain(["x", "!!!!", "AAAA", cut]) {
        let refused = wire.send("", list.with(page(1, token))).await;
        // A name that was cut may be another name, and then names another place; ids must be whole.
        let Err(status) = refused else {
            assert!(token == cut && !L::names(&refused.expect("served")).is_empty(), "{} took {token:?}", L::PATH);
            continue;
        };
        let refused = super::wire::Refused::of(&status);
        assert_eq!(refused.expect(Code::InvalidArgument, "INVALID").violations[0].0, "page.page_token");
    }
}

#[tokio::test]
async fn a_page_token_of_another_list_or_none_at_all_is_refused() {
    let pay = PayByWire::start().await;
    let create = v1::CreateJobRequest {
        app: "pay".to_owned(),
        job: "close".to_owned(),
        spec: Some(spec("echo")),
        ..Default::default()
    };
    pay.admin.served(&fresh(), create).await;
    let mut run_id = String::new();
    for _ in 0..2 {
        run_id = settle(&pay.pay, &fresh()).await.expect("a run").run_id;
    }
    let app = || "pay".to_owned();
    let runs = v1::ListRunsRequest { app: app(), ..Default::default() };
    let jobs = v1::ListJobsRequest { app: app(), ..Default::default() };
    let requests = v1::ListRequestsRequest { app: app(), ..Default::default() };
    let apps = v1::ListAppsRequest::default();
    let logs = |token: &str| v1::GetRunLogsRequest {
        app: app(),
        run_id: run_id.clone(),
        page: Some(page(1, token)),
        ..Default::default()
    };
    let log = pay.admin.served("", logs("")).await.page.expect("a page").next_page_token;
    let wire = &pay.admin;
    let tokens = [
        token_of(wire, &runs).await,
        token_of(wire, &jobs).await,
        token_of(wire, &requests).await,
        token_of(wire, &apps).await,
        log.clone(),
    ];
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    takes_only_its_own(wire, &runs, &tokens).await;
    takes_only_its_own(wire, &jobs, &tokens).await;
    takes_only_its_own(wire, &requests, &tokens).await;
    takes_only_its_own(wire, &apps, &tokens).await;
    for token in tokens.iter().copied().filter(|token| *token != log).chain(["x", "!!!!", "AAAA"]) {
        let refused = wire.refused("", logs(token)).await;
        assert_eq!(refused.expect(Code::InvalidArgument, "INVALID").violations[0].0, "page.page_token");
    }
    // A token is no permission: whoever uses it is asked for rights like everybody.
    let create = v1::CreateAppRequest { app: "shop".to_owned(), ..Default::default() };
    let shop = pay.nobody.bearer(&wire.served(&fresh(), create).await.secret);
    shop.refused("", runs.with(page(1, tokens[0]))).await.expect_with(
        Code::PermissionDenied,
        "FORBIDDEN",
        v1::AuthStatus::Forbidden,
    );
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes() {
    let pay = PayByWire::start().await;
    let data = Bytes::from(vec![7; 1 << 20]);
    let mut names = vec!["settle".to_owned()];
    for number in 0..7 {
        let payload = Some(v1::Payload { data: data.clone(), ..Default::default() });
        let spec = Some(v1::JobSpec { payload, ..spec("echo") });
        names.push(format!("large-{number}"));
        let create = v1::CreateJobRequest { job: names[number + 1].clone(), spec, ..Default::default() };
        pay.pay.served(&fresh(), create).await;
    }
    names.sort();
    let pages = pages(&pay.pay, &v1::ListJobsRequest::default(), 1000).await;
    assert!(pages.len() >= 3, "{pages:?}");
    assert_eq!(pages.concat(), names);
}

#[tokio::test]
async fn a_page_has_fifty_items_if_nothing_is_said_and_a_thousand_at_most() {
    let pay = PayByWire::start().await;
    let mut calls = JoinSet::new();
    for _ in 0..1001 {
        let wire = pay.pay.clone();
        calls.spawn(async move { settle(&wire, &fresh()).await.expect("a run") });
    }
    calls.join_all().await;
    for (size, expected) in [(0, 50), (-1, 50), (i32::MIN, 50), (999, 999), (1000, 1000), (i32::MAX, 1000)] {
        let list = v1::ListRunsRequest::default().with(page(size, ""));
        let answer = pay.pay.served("", list).await;
        assert_eq!(answer.runs.len(), expected, "for a size of {size}");
        assert!(!answer.page.expect("a page").next_page_token.is_empty());
    }
}
