//! What operators do and meet: backups under load, and disks that fail. The reckoning is the same everywhere: what was
//! acknowledged is there, and nothing is there twice.

mod backup;
mod damage;
mod disk;

use std::collections::BTreeMap;

use semel_client::{
    Client, Code, RequestId,
    v1::{self, Disposition},
};
use tokio::{sync::watch, task::JoinSet};

use super::{
    binary::ServerProcess,
    fire::all_runs,
    harness::{in_time, job, run_job, spec},
};

/// Callers at once.
const CALLERS: usize = 16;

/// A call, and the run that its caller was told of, if it was.
struct Told {
    id: RequestId,
    run_id: Option<String>,
}

/// Makes the app and the job.
async fn prepare(server: &ServerProcess) {
    let create = v1::CreateAppRequest { app: "pay".to_owned(), ..Default::default() };
    server.admin().create_app(create).await.expect("made");
    job(&server.blunt("pay"), "settle", v1::JobSpec { max_running: 1, ..spec("p") }).await;
}

/// The one wish of these tests; with so many bytes of input, always the same.
fn wish(bytes: usize) -> v1::RunJobRequest {
    let payload = v1::Payload { data: vec![7; bytes].into(), content_type: String::new() };
    v1::RunJobRequest { payload: (bytes > 0).then_some(payload), ..run_job("settle") }
}

/// Callers that submit until the server fails them, or until they are told to stop.
struct Load {
    callers: JoinSet<Vec<Told>>,
    stop: watch::Sender<bool>,
    acknowledged: watch::Receiver<usize>,
}

impl Load {
    fn begin(server: &ServerProcess, bytes: usize) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (count, acknowledged) = watch::channel(0);
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (client, stopped, count) = (server.blunt("pay"), stopped.clone(), count.clone());
            callers.spawn(async move {
                let mut told = Vec::new();
                while !*stopped.borrow() {
                    let id = client.mint_request_id();
                    let answer = client.with_request_id(id).run_job(wish(bytes)).await;
                    if let Err(error) = &answer {
                        assert_eq!(error.code(), Code::Unavailable, "{error}");
                    }
                    let run_id = answer.ok().map(|answer| answer.run_id);
                    let is_cut = run_id.is_none();
                    told.push(Told { id, run_id });
                    if is_cut {
                        break;
                    }
                    count.send_modify(|count| *count += 1);
                }
                told
            });
        }
        Self { callers, stop, acknowledged }
    }

    /// Waits until so many more calls are acknowledged.
    async fn acknowledged(&mut self, more: usize) {
        let goal = *self.acknowledged.borrow() + more;
        in_time(self.acknowledged.wait_for(|count| *count >= goal)).await.expect("callers go on");
    }

    /// All that was called.
    async fn end(self) -> Vec<Told> {
        self.stop.send_replace(true);
        in_time(self.callers.join_all()).await.into_iter().flatten().collect()
    }
}

/// Sends every call again: what was acknowledged is replayed, what was not is executed or replayed, and in the end there is
/// one run for each and none else.
async fn reckon(server: &ServerProcess, told: &[Told], bytes: usize) {
    let client = server.blunt("pay");
    let mut made = BTreeMap::new();
    for told in told {
        let again = send_again(&client, told.id, bytes).await;
        let answer = again.unwrap_or_else(|error| panic!("{} is refused: {error}", told.id));
        let disposition = answer.header.as_ref().expect("a header").disposition();
        if let Some(run_id) = &told.run_id {
            assert_eq!(disposition, Disposition::Replayed, "an acknowledged call is lost: {}", told.id);
            assert_eq!(*run_id, answer.run_id);
        }
        made.insert(told.id.to_string(), answer.run_id);
    }
    let found = all_runs(&client).await;
    assert_eq!(found.len(), made.len(), "one run for each call");
    assert!(found.into_iter().collect::<BTreeMap<_, _>>() == made);
}

async fn send_again(client: &Client, id: RequestId, bytes: usize) -> Result<v1::RunJobResponse, semel_client::Error> {
    client.with_request_id(id).run_job(wish(bytes)).await
}
