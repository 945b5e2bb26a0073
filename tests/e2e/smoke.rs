//! The main job, once through: app, job, run, worker, result, log.

use semel_client::{
    v1::{self, Disposition, LogStream, Payload, RunState},
    worker::{Context, Worker},
};
use tokio::sync::oneshot;

use super::harness::{self, TestServer, in_time};

#[tokio::test]
async fn a_run_goes_from_its_submission_to_its_result() {
    let server = TestServer::start().await;
    let client = server.pay().await;
    harness::job(&client, "settle", harness::spec("echo")).await;

    let (stop, stopped) = oneshot::channel::<()>();
    let worker = Worker::builder(client.clone()).name("w1").slots(2).processor("echo", async |cx: Context| {
        cx.log(LogStream::Stdout, "working\n").await;
        Ok(cx.payload().clone())
    });
    let worker = tokio::spawn(worker.build().expect("a worker").run(async {
        let _ = stopped.await;
    }));

    let payload = Payload { data: "42".into(), content_type: "text/plain".to_owned() };
    let request = v1::RunJobRequest { payload: Some(payload.clone()), ..harness::run_job("settle") };
    let answer = client.run_job(request).await.expect("the run is made");
    assert_eq!(answer.header.as_ref().map(v1::ResponseHeader::disposition), Some(Disposition::Executed));

    let run = in_time(client.wait_until_finished("pay", &answer.run_id)).await.expect("the run is there");
    assert_eq!((run.state(), run.result), (RunState::Succeeded, Some(payload)));

    let logs = v1::GetRunLogsRequest { run_id: answer.run_id, ..Default::default() };
    let logs = client.get_run_logs(logs).await.expect("the log is there");
    assert_eq!(logs.chunks.iter().map(|chunk| &chunk.data[..]).collect::<Vec<_>>().concat(), b"working\n");
    assert!(logs.complete);

    let _ = stop.send(());
    let summary = worker.await.expect("no panic").expect("a clean end");
    assert_eq!(summary.succeeded, 1);
}
