//! What the tests of runs and workers begin with: an app that is called through the client library, and whose workers say
//! what a test tells them to. Holds no assertion about behaviour beyond "this came in time".

use semel_client::{Client, v1};
use semel_server::{clock::ManualClock, server::Settings};

use super::{
    harness::{TestServer, in_time, run_job},
    raw_worker::{RawWorker, hello},
    wire::Wire,
};

/// A server with the app `pay`, which is called through the client library.
pub(crate) struct PayByClient {
    pub(crate) server: TestServer,
    pub(crate) secret: String,
    pub(crate) client: Client,
}

impl PayByClient {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::on(TestServer::with(change).await).await
    }

    pub(crate) async fn with_manual_clock(change: impl FnOnce(&mut Settings)) -> (Self, ManualClock) {
        let (server, clock) = TestServer::with_manual_clock(change).await;
        (Self::on(server).await, clock)
    }

    async fn on(server: TestServer) -> Self {
        let secret = server.app("pay").await;
        let client = server.client("pay", &secret).await;
        Self { server, secret, client }
    }

    /// A worker of this app that says hello and nothing else.
    pub(crate) async fn worker(&self, processor: &str, slots: i32) -> RawWorker {
        self.worker_again(hello(processor, slots)).await
    }

    pub(crate) async fn worker_again(&self, hello: v1::Hello) -> RawWorker {
        self.worker_with(&self.secret, hello).await
    }

    /// A worker with other credentials than the secret of the app.
    pub(crate) async fn worker_with(&self, bearer: &str, hello: v1::Hello) -> RawWorker {
        RawWorker::open(&self.wire().await.bearer(bearer), hello).await.expect("the stream opens")
    }

    /// The app over a new connection, without the client library.
    pub(crate) async fn wire(&self) -> Wire {
        Wire::to(&self.server.endpoint()).await.bearer(&self.secret)
    }

    /// Submits a run; gives its id.
    pub(crate) async fn submit(&self, job: &str) -> String {
        self.submit_with(run_job(job)).await
    }

    pub(crate) async fn submit_with(&self, request: v1::RunJobRequest) -> String {
        self.client.run_job(request).await.expect("the run is made").run_id
    }

    pub(crate) async fn run(&self, run_id: &str) -> v1::Run {
        let request = v1::GetRunRequest { run_id: run_id.to_owned(), ..Default::default() };
        self.client.get_run(request).await.expect("the run is there").run.expect("a run")
    }

    pub(crate) async fn finished(&self, run_id: &str) -> v1::Run {
        in_time(self.client.wait_until_finished("pay", run_id)).await.expect("the run is there")
    }

    pub(crate) async fn cancel(&self, run_id: &str) -> v1::RunState {
        let request = v1::CancelRunRequest { run_id: run_id.to_owned(), ..Default::default() };
        self.client.cancel_run(request).await.expect("it is cancelled").state()
    }

    pub(crate) async fn retry(&self, run_id: &str) -> v1::RetryRunResponse {
        let request = v1::RetryRunRequest { run_id: run_id.to_owned(), ..Default::default() };
        self.client.retry_run(request).await.expect("it is retried")
    }

    /// Everything that holds a run back, the first thing first.
    pub(crate) async fn explain(&self, run_id: &str) -> Vec<v1::RunExplanation> {
        let request = v1::ExplainRunRequest { run_id: run_id.to_owned(), ..Default::default() };
        self.client.explain_run(request).await.expect("it is explained").explanations
    }

    /// The whole log of a run, one line of text for each of its pieces' streams.
    pub(crate) async fn log(&self, run_id: &str) -> String {
        let request = v1::GetRunLogsRequest { run_id: run_id.to_owned(), ..Default::default() };
        let answer = self.client.get_run_logs(request).await.expect("the log is there");
        String::from_utf8(answer.chunks.iter().flat_map(|chunk| chunk.data.to_vec()).collect()).expect("text")
    }

    /// Comes back once the engine has seen all that was handed to it before, and has looked at its clock.
    pub(crate) async fn tick(&self) {
        let engine = self.server.running().engine();
        engine.poke();
        engine.read(|_| ()).await.expect("the engine runs");
    }
}
