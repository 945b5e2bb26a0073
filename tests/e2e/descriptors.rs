//! Tests made from the descriptor set: what must hold for every method holds for those that are added next year, or
//! fails here. Nothing in this file names a method that changes something.

use prost_reflect::{DynamicMessage, FieldDescriptor, MapKey, MethodDescriptor, ReflectMessage as _, Value};
use prost_types::method_options::IdempotencyLevel;
use semel_client::v1::{self, AuthStatus, Disposition};
use semel_core::app::{AppPattern, Grant, Role};
use semel_server::auth::Mode;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};

use super::{
    dynamic::{self, body, call, header, methods, mutations, path, under},
    harness::{MODES, TestServer, run_job},
    raw_worker::{RawWorker, hello, log, succeeded},
    samples::{STREAMS, Stage},
    wire::{PayByWire, Refused, Wire, auth_status, fresh, id_at, settle},
};

async fn stage() -> (TestServer, Wire, Stage) {
    let server = TestServer::start().await;
    let admin = Wire::to(&server.endpoint()).await.bearer(&server.admin_secret);
    let stage = Stage::set(&admin, "all").await;
    (server, admin, stage)
}

async fn refused(wire: &Wire, method: &MethodDescriptor, message: DynamicMessage) -> Refused {
    match call(wire, method, message).await {
        Ok(answer) => panic!("{} was served: {answer:?}", path(method)),
        Err(status) => Refused::of(&status),
    }
}

#[test]
fn every_method_says_whether_it_may_be_repeated_and_every_mutation_has_both_headers() {
    let has = |message: prost_reflect::MessageDescriptor, name: &str| {
        let field = message.get_field_by_name("header");
        field.is_some_and(|field| field.kind().as_message().is_some_and(|kind| kind.full_name() == name))
    };
    for method in methods() {
        assert_ne!(dynamic::level(&method), IdempotencyLevel::IdempotencyUnknown, "{}", path(&method));
        assert!(has(method.input(), "semel.v1.RequestHeader"), "{} has a request without a header", path(&method));
        assert!(has(method.output(), "semel.v1.ResponseHeader"), "{} has a response without a header", path(&method));
        assert_eq!(method.input().get_field_by_name("header").map(|field| field.number()), Some(1));
    }
}

#[tokio::test]
async fn every_unary_method_has_a_sample_and_every_sample_a_method() {
    let (_server, _, stage) = stage().await;
    let mut unary: Vec<String> = methods().iter().filter(|method| !method.is_client_streaming()).map(path).collect();
    unary.sort();
    assert_eq!(stage.samples().paths().collect::<Vec<_>>(), unary);
}

#[test]
fn every_stream_of_a_caller_is_known_to_the_tests() {
    let mut streams: Vec<String> = methods().iter().filter(|method| method.is_client_streaming()).map(path).collect();
    streams.sort();
    assert_eq!(streams, STREAMS, "say in samples.rs where the new one is tested");
}

#[tokio::test]
async fn every_mutation_goes_through_the_window() {
    let (server, admin, stage) = stage().await;
    let samples = stage.samples();
    let now = server.settings.clock.now().wall.0;
    let day = 24 * 3_600_000;
    for method in mutations() {
        let sample = samples.of(&method);
        let refuse = async |id: &str, code, reason: &str| {
            let refused = refused(&admin, &method, under(id, &sample)).await;
            refused.expect(code, reason);
            assert_eq!(refused.header.request_id, id, "{}", path(&method));
        };
        let refused = refused(&admin, &method, sample.clone()).await;
        refused.expect(Code::InvalidArgument, "REQUEST_ID_MISSING");
        refuse("", Code::InvalidArgument, "REQUEST_ID_MISSING").await;
        refuse("not-an-id", Code::InvalidArgument, "REQUEST_ID_MALFORMED").await;
        refuse(&id_at(now - day - 60_000), Code::FailedPrecondition, "REQUEST_ID_EXPIRED").await;
        refuse(&id_at(now + 600_000), Code::InvalidArgument, "REQUEST_ID_IN_FUTURE").await;

        let id = fresh();
        let first = call(&admin, &method, under(&id, &sample)).await;
        let first = first.unwrap_or_else(|status| panic!("the sample of {} is refused: {status}", path(&method)));
        let again = call(&admin, &method, under(&id, &sample)).await.expect("a replay");
        let (first_header, again_header) = (header(&first), header(&again));
        assert_eq!(first_header.disposition(), Disposition::Executed, "{}", path(&method));
        assert_eq!(again_header.disposition(), Disposition::Replayed, "{}", path(&method));
        assert_eq!((first_header.arrivals, again_header.arrivals), (1, 2), "{}", path(&method));
        assert_eq!(first_header.execute_time, again_header.execute_time);
        assert_eq!(first_header.revision, again_header.revision);
        assert_eq!(first_header.safe_retry_until, again_header.safe_retry_until);
        assert!(first_header.revision > 0 && first_header.execute_time.is_some());
        assert_eq!(body(&first), body(&again), "{}", path(&method));
    }
}

#[tokio::test]
async fn every_field_of_every_mutation_is_a_part_of_what_its_id_stands_for() {
    let (_server, admin, stage) = stage().await;
    let samples = stage.samples();
    for method in mutations() {
        let (id, sample) = (fresh(), samples.of(&method));
        call(&admin, &method, under(&id, &sample)).await.expect("the sample is served");
        let changes = changes(&method, &sample);
        assert!(!changes.is_empty() || sample.descriptor().fields().len() <= 2, "{} has no content", path(&method));
        for change in changes {
            let refused = refused(&admin, &method, under(&id, &change.message)).await;
            // A field that has to be given cannot be left out: then it never comes to a comparison.
            if change.is_left_out && refused.reason == "INVALID" {
                continue;
            }
            assert_eq!(refused.reason, "REQUEST_ID_REUSED", "{} with another {}", path(&method), change.field);
            refused.expect(Code::FailedPrecondition, "REQUEST_ID_REUSED").says("field", &change.field);
        }
        let again = call(&admin, &method, under(&id, &sample)).await.expect("the right one is still replayed");
        assert_eq!(header(&again).disposition(), Disposition::Replayed);
    }
}

/// A request that differs in one field from another.
struct Change {
    message: DynamicMessage,
    field: String,
    is_left_out: bool,
}

fn changes(method: &MethodDescriptor, sample: &DynamicMessage) -> Vec<Change> {
    let is_about_apps = method.parent_service().name() == "AppService";
    let fields = sample.descriptor().fields().collect::<Vec<_>>().into_iter();
    let fields = fields.filter(|field| field.name() != "header" && (is_about_apps || field.name() != "app"));
    let mut changes = Vec::new();
    for field in fields {
        let one_of = field.containing_oneof().filter(|one_of| !one_of.is_synthetic());
        let set = one_of.as_ref().and_then(|one_of| one_of.fields().find(|field| sample.has_field(field)));
        let is_set = sample.has_field(&field);
        assert!(is_set || set.is_some(), "the sample of {} has no {}", path(method), field.name());
        // Of two members of a oneof, the first differs by being there or not.
        let named = set.filter(|set| set.number() < field.number()).unwrap_or_else(|| field.clone());
        let mut other = sample.clone();
        other.set_field(&field, another(&field, &sample.get_field(&field)));
        changes.extend(inner_changes(sample, &field));
        if !is_split(&field) {
            changes.push(Change { message: other, field: named.name().to_owned(), is_left_out: false });
        }
        if is_set {
            let mut without = sample.clone();
            without.clear_field(&field);
            changes.push(Change { message: without, field: field.name().to_owned(), is_left_out: true });
        }
    }
    changes
}

/// Whether differences are named one level deeper.
fn is_split(field: &FieldDescriptor) -> bool {
    let kind = field.kind();
    let message = kind.as_message().filter(|_| !field.is_list() && !field.is_map());
    message.is_some_and(|message| message.full_name().starts_with("semel.v1."))
}

fn inner_changes(sample: &DynamicMessage, field: &FieldDescriptor) -> Vec<Change> {
    if !is_split(field) {
        return Vec::new();
    }
    let value = sample.get_field(field);
    let inner = value.as_message().expect("a message");
    let mut changes = Vec::new();
    for inner_field in inner.descriptor().fields() {
        assert!(inner.has_field(&inner_field), "the sample has no {}.{}", field.name(), inner_field.name());
        let mut other = inner.clone();
        other.set_field(&inner_field, another(&inner_field, &inner.get_field(&inner_field)));
        let mut without = inner.clone();
        without.clear_field(&inner_field);
        for (inner, is_left_out) in [(other, false), (without, true)] {
            let mut message = sample.clone();
            message.set_field(field, Value::Message(inner));
            changes.push(Change { message, field: format!("{}.{}", field.name(), inner_field.name()), is_left_out });
        }
    }
    changes
}

/// Another value of a field, which the server would take as well.
fn another(field: &FieldDescriptor, value: &Value) -> Value {
    match value {
        Value::Bool(value) => Value::Bool(!value),
        Value::I32(value) => Value::I32(value + 1),
        Value::I64(value) => Value::I64(value + 1),
        Value::F64(value) => Value::F64(value + 1.0),
        Value::EnumNumber(number) => Value::EnumNumber(if *number == 1 { 2 } else { 1 }),
        Value::Bytes(bytes) => Value::Bytes([bytes.as_ref(), b"x"].concat().into()),
        Value::String(text) => Value::String(match field.name() {
            "etag" => "999999".to_owned(),
            name if name.ends_with("_id") => fresh(),
            _ => format!("{text}x"),
        }),
        Value::List(values) => Value::List([values.as_slice(), &values[..1]].concat()),
        Value::Map(values) => {
            let mut values = values.clone();
            let text = Value::String("x".to_owned());
            let value = values.values().next().filter(|value| value.as_message().is_some()).cloned().unwrap_or(text);
            values.insert(MapKey::String("x".to_owned()), value);
            Value::Map(values)
        }
        Value::Message(message) => {
            let mut message = message.clone();
            let first = message.descriptor().fields().next().expect("a field");
            let value = another(&first, &message.get_field(&first));
            message.set_field(&first, value);
            Value::Message(message)
        }
        other => panic!("{} is of a kind that no request had so far: {other:?}", field.full_name()),
    }
}

#[tokio::test]
async fn every_method_refuses_an_anonymous_caller() {
    let (_server, admin, stage) = stage().await;
    let (nobody, samples) = (admin.nobody(), stage.samples());
    for method in methods() {
        let id = fresh();
        if path(&method) == "/semel.v1.AuthService/CheckAuth" {
            let answer = call(&nobody, &method, under(&id, &samples.of(&method))).await.expect("open to everybody");
            assert_eq!(auth_status(Some(&header(&answer))), AuthStatus::Missing);
            continue;
        }
        // Bare, with an id, and with everything that would make it a good call but the credentials. The one call that
        // brings its credentials along in the message is told that they are missing when they are not there.
        let mut sent = vec![under("", &dynamic::empty(&method)), under(&id, &dynamic::empty(&method))];
        if !method.is_client_streaming() {
            let mut sample = samples.of(&method);
            if sample.descriptor().get_field_by_name("secret").is_some() {
                sample.clear_field_by_name("secret");
            }
            sent.push(under(&id, &sample));
        }
        for message in sent {
            let refused = refused(&nobody, &method, message).await;
            refused.expect_with(Code::Unauthenticated, "CREDENTIALS_MISSING", AuthStatus::Missing);
            let auth = refused.header.auth.expect("a verdict");
            assert_eq!((auth.principal.as_str(), auth.method()), ("", v1::AuthMethod::Unspecified));
        }
    }
}

#[tokio::test]
async fn reflection_refuses_an_anonymous_caller_and_health_answers_everybody() {
    let pay = PayByWire::start().await;
    let list = || {
        let message = MessageRequest::ListServices(String::new());
        ServerReflectionRequest { host: String::new(), message_request: Some(message) }
    };
    let mut reflection = ServerReflectionClient::new(pay.nobody.channel.clone());
    let refused = reflection.server_reflection_info(tokio_stream::once(list())).await.expect_err("it is refused");
    Refused::of(&refused).expect_with(Code::Unauthenticated, "CREDENTIALS_MISSING", AuthStatus::Missing);
    let shown = reflection.server_reflection_info(pay.pay.request(tokio_stream::once(list()))).await;
    let first = shown.expect("it is shown").into_inner().message().await.expect("a message").expect("an answer");
    assert!(format!("{first:?}").contains("semel.v1.JobService"));
    let mut health = HealthClient::new(pay.nobody.channel.clone());
    let health = health.check(HealthCheckRequest::default()).await.expect("it answers").into_inner();
    assert_eq!(health.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
}

#[tokio::test]
async fn every_answer_in_every_mode_says_what_became_of_the_credentials() {
    for mode in MODES {
        let server = TestServer::with(|settings| {
            settings.auth_mode = mode;
            settings.anonymous = vec![Grant { role: Role::Admin, apps: AppPattern::All }];
        })
        .await;
        let nobody = Wire::to(&server.endpoint()).await;
        let (wire, expected) = match mode {
            Mode::Enforce => (nobody.bearer(&server.admin_secret), AuthStatus::Passed),
            Mode::Permissive | Mode::Off => (nobody, AuthStatus::NotRequired),
        };
        let stage = Stage::set(&wire, "pay").await;
        let samples = stage.samples();
        for method in methods().into_iter().filter(|method| !method.is_client_streaming()) {
            let sample = samples.of(&method);
            // A secret in the message is a proof in every mode.
            let has_secret = sample.descriptor().get_field_by_name("secret").is_some();
            let expected = if has_secret { AuthStatus::Passed } else { expected };
            let answer = call(&wire, &method, under(&fresh(), &sample)).await;
            let answer = answer.unwrap_or_else(|status| panic!("{} under {mode:?}: {status}", path(&method)));
            assert_eq!(auth_status(Some(&header(&answer))), expected, "{} under {mode:?}", path(&method));
            let is_read = header(&answer).disposition() == Disposition::ReadOnly;
            assert_eq!(is_read, dynamic::is_read(&method), "{}", path(&method));
        }
        every_message_of_a_stream(&server, &wire, expected).await;
    }
}

/// Each message is checked as it comes in; here each kind of them comes.
async fn every_message_of_a_stream(server: &TestServer, wire: &Wire, expected: AuthStatus) {
    let create = v1::CreateJobRequest {
        app: "pay".to_owned(),
        job: "settle".to_owned(),
        spec: Some(super::harness::spec("echo")),
        ..Default::default()
    };
    wire.served(&fresh(), create).await;
    let run = || v1::RunJobRequest { app: "pay".to_owned(), ..run_job("settle") };
    let run_id = wire.served(&fresh(), run()).await.run_id;
    let mut worker = RawWorker::open_as(wire, hello("echo", 1), expected).await.expect("opens");
    let assignment = worker.assignment().await;
    assert_eq!(assignment.run_id, run_id);
    worker.report(log(&assignment, "a line")).await;
    wire.served(&fresh(), v1::CancelRunRequest { app: "pay".to_owned(), run_id, ..Default::default() }).await;
    worker.cancel_order().await;
    worker.report(succeeded(&assignment, "")).await;
    let late = worker.submit(&fresh(), succeeded(&assignment, "")).await.expect_err("it has ended");
    assert_eq!((late.reason.as_str(), late.auth()), ("LEASE_STALE", expected));
    assert!(worker.unasked().await.is_empty());
    server.running().drain().await;
    worker.going_away().await;
    let refused = Refused::of(&settle(&wire.clone(), &fresh()).await.expect_err("it drains"));
    assert_ne!(refused.auth(), AuthStatus::Unspecified);
}
