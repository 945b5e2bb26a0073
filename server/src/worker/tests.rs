//! The built-in processors through the wire: a whole server, and a worker as an operator would start it.

use std::net::SocketAddr;

use semel_client::{Credentials, Options, v1};
use semel_proto::v1::RunState;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::oneshot,
    task::JoinHandle,
};

use super::*;
use crate::{
    server::{self, Data, Running},
    store::Memory,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A server, a worker on it, and a client of its app.
struct Place {
    client: Client,
    running: Running,
    stop: oneshot::Sender<()>,
    worker: JoinHandle<Result<Summary, Error>>,
}

impl Place {
    async fn with(settings: Settings) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let running = server::start(server::Settings { listen, ..server::Settings::new(Data::Memory(Memory::new())) });
        let running = running.await.unwrap();
        let options = Options::new(format!("http://{}", running.address()));
        let admin = Credentials::Bearer(running.first_admin_secret().unwrap().reveal());
        let admin = Client::connect(options.clone().credentials(admin)).await.unwrap();
        let app = v1::CreateAppRequest { app: "pay".to_owned(), ..Default::default() };
        let secret = admin.create_app(app).await.unwrap().secret;
        let credentials = Credentials::Secret { app: "pay".to_owned(), secret };
        let client = Client::connect(options.app("pay").credentials(credentials)).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = tokio::spawn(run(settings, client.clone(), async {
            let _ = stopped.await;
        }));
        Self { client, running, stop, worker }
    }

    /// Makes a job of its own for this input, and a run of it.
    async fn submit(&self, processor: &str, payload: &str, timeout: Option<Duration>) -> String {
        let payload = v1::Payload { data: payload.to_owned().into(), content_type: "application/json".to_owned() };
        let spec = v1::JobSpec {
            processor: processor.to_owned(),
            payload: Some(payload),
            attempt_timeout: timeout.map(|timeout| timeout.try_into().unwrap()),
            retry: Some(v1::RetryPolicy { max_attempts: 3, ..Default::default() }),
            ..Default::default()
        };
        let job = self.client.mint_request_id().to_string();
        let request = v1::CreateJobRequest { job: job.clone(), spec: Some(spec), ..Default::default() };
        self.client.create_job(request).await.unwrap();
        self.client.run_job(v1::RunJobRequest { job, ..Default::default() }).await.unwrap().run_id
    }

    async fn wait(&self, run_id: &str) -> v1::Run {
        tokio::time::timeout(PATIENCE, self.client.wait_until_finished("", run_id)).await.unwrap().unwrap()
    }

    async fn log(&self, run_id: &str) -> String {
        let request = v1::GetRunLogsRequest {
            run_id: run_id.to_owned(),
            wait: Some(PATIENCE.try_into().unwrap()),
            ..Default::default()
        };
        let answer = self.client.get_run_logs(request).await.unwrap();
        answer.chunks.iter().map(|chunk| String::from_utf8_lossy(&chunk.data).into_owned()).collect()
    }

    async fn end(self) -> Summary {
        drop(self.stop);
        let summary = tokio::time::timeout(PATIENCE, self.worker).await.unwrap().unwrap().unwrap();
        self.running.shutdown().await.unwrap();
        summary
    }
}

fn allowing(commands: &[&str]) -> Settings {
    let allow = commands.iter().map(|command| command.parse().unwrap()).collect();
    Settings { exec: exec::Settings { allow, ..exec::Settings::default() }, slots: 4, ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_knows_its_run_and_its_output_is_log_and_result() {
    let place = Place::with(allowing(&["/usr/bin/env"])).await;
    let run_id = place.submit("exec", r#"{"argv":["/usr/bin/env"],"env":{"K":"V"}}"#, None).await;
    let run = place.wait(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{}", run.reason);
    let result = String::from_utf8(run.result.unwrap().data.to_vec()).unwrap();
    for line in ["K=V".to_owned(), format!("SEMEL_ATTEMPT_ID={run_id}/1"), format!("SEMEL_RUN_ID={run_id}")] {
        assert!(result.lines().any(|other| other == line), "{line} is not in {result}");
    }
    assert_eq!(place.log(&run_id).await, result);
    assert_eq!(place.end().await.succeeded, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_not_allowed_fails_its_run_at_once() {
    let place = Place::with(allowing(&["/usr/bin/env"])).await;
    let run = place.wait(&place.submit("exec", r#"{"argv":["/bin/sh","-c","id"]}"#, None).await).await;
    assert_eq!((run.state(), run.attempts.len()), (RunState::Failed, 1));
    assert!(run.attempts[0].error.contains(r#"it allows what begins with ["/usr/bin/env"]"#), "{:?}", run.attempts);
    place.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_run_ends_its_command_and_a_slow_one_is_timed_out() {
    let place = Place::with(allowing(&["/bin/sh -c"])).await;
    let script = r#"{"argv":["/bin/sh","-c","echo $$; exec sleep 1000"]}"#;
    let run_id = place.submit("exec", script, None).await;
    let pid = place.log(&run_id).await.trim().to_owned();
    let cancel = v1::CancelRunRequest { run_id: run_id.clone(), ..Default::default() };
    place.client.cancel_run(cancel).await.unwrap();
    assert_eq!(place.wait(&run_id).await.state(), RunState::Cancelled);
    assert!(!std::path::Path::new("/proc").join(&pid).exists(), "{pid} should be gone");

    let run_id = place.submit("exec", script, Some(Duration::from_secs(1))).await;
    let pid = place.log(&run_id).await.trim().to_owned();
    let gone = async {
        while std::path::Path::new("/proc").join(&pid).exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    let cancel = v1::CancelRunRequest { run_id: run_id.clone(), ..Default::default() };
    place.client.cancel_run(cancel).await.unwrap();
    let run = place.wait(&run_id).await;
    assert_eq!(run.attempts[0].state(), v1::AttemptState::TimedOut, "{:?}", run.attempts);
    place.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_bears_its_run_as_the_key_by_which_to_do_it_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\npaid";
        stream.write_all(answer).await.unwrap();
        String::from_utf8(bytes).unwrap()
    });
    let allow = vec![format!("http://{address}/pay").parse().unwrap()];
    let http = http::Settings { allow, ..http::Settings::default() };
    let place = Place::with(Settings { http, ..Settings::default() }).await;
    let run_id = place.submit("http", &format!(r#"{{"url":"http://{address}/pay/7"}}"#), None).await;
    let run = place.wait(&run_id).await;
    assert_eq!(run.state(), RunState::Succeeded, "{}", run.reason);
    assert_eq!(run.result.unwrap().data, "paid");
    let seen = seen.await.unwrap();
    assert!(seen.contains(&format!("\r\nidempotency-key: {run_id}\r\nx-semel-attempt: 1\r\n")), "{seen}");
    assert_eq!(place.log(&run_id).await, format!("GET {address}/pay/7 answered 200 OK, 4 bytes\n"));
    place.end().await;
}

fn with(processors: &[Kind], exec: bool, http: bool) -> Result<Vec<Kind>, String> {
    let mut settings = Settings { processors: processors.iter().copied().collect(), ..Settings::default() };
    if exec {
        settings.exec.allow.push("/bin/true".parse().unwrap());
    }
    if http {
        settings.http.allow.push("http://h.example/".parse().unwrap());
    }
    settings.offered().map(|offered| offered.into_iter().collect()).map_err(|error| error.to_string())
}

#[test]
fn what_is_allowed_something_is_offered() {
    assert_eq!(with(&[], true, false), Ok(vec![Kind::Exec]));
    assert_eq!(with(&[], true, true), Ok(vec![Kind::Exec, Kind::Http]));
    assert_eq!(with(&[Kind::Http], true, true), Ok(vec![Kind::Http]));
    assert_eq!(with(&Kind::ALL, true, false), Ok(vec![Kind::Exec]));
}

#[test]
fn a_worker_that_may_do_nothing_does_not_start() {
    assert!(with(&[], false, false).unwrap_err().contains("--exec-allow"));
    assert!(with(&[Kind::Http], true, false).unwrap_err().contains("--http-allow"));
}

#[test]
fn processors_go_by_their_names() {
    assert_eq!("exec".parse::<Kind>().unwrap(), Kind::Exec);
    assert!("shell".parse::<Kind>().unwrap_err().to_string().contains("there are `exec` and `http`"));
}
