//! What `semel dev` does: it makes the example jobs, sends one call again and again, restarts the server in the middle,
//! and looks at what came of it. It speaks to the server as any client does, over the wire.

use std::{collections::BTreeMap, time::Duration};

use semel_client::{Client, RequestId, v1};

use super::{
    Error, examples,
    house::{APP, House},
    report::{self, Heard, Report, Told},
    show::Voice,
};

/// How long the first look at a run waits for its end. Each further one waits twice as long, for a quick run should be
/// seen to run too,
const LOOK_MIN: Duration = Duration::from_millis(5);
/// and a slow one should not be asked after more often than a person wants news.
const LOOK_MAX: Duration = Duration::from_millis(500);
/// The label by which all runs of one call are found.
const LABEL: &str = "call";
/// By how much a run must have come on for another line about it.
const PROGRESS_STEP: f64 = 0.2;

/// Names what was being done when a call failed.
pub(super) fn calling(doing: &'static str) -> impl FnOnce(semel_client::Error) -> Error {
    move |source| Error::Call { doing, source: Box::new(source) }
}

/// Makes the jobs of `examples/`. Those that are there already stay as they are. Gives the names of all of them.
pub(super) async fn make_jobs(client: &Client) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for job in examples::all() {
        let (name, spec) = job.map_err(|error| Error::Example(error.into()))?;
        let request = v1::CreateJobRequest { job: name.to_owned(), spec: Some(spec), ..Default::default() };
        match client.create_job(request).await {
            Ok(_) => {}
            Err(error) if error.reason() == Some("ALREADY_EXISTS") => {}
            Err(error) => return Err(calling("create an example job")(error)),
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// Tells the whole story.
pub(super) async fn tell(voice: Voice, house: &mut House, client: &Client, jobs: Vec<String>) -> Result<Report, Error> {
    let call = Call::new(client);
    voice.section("One call, sent three times under one request id, two of them at once");
    voice.row("request", &call.id.to_string());
    let (first, second) = tokio::join!(call.send(), call.send());
    let mut calls = vec![first?, second?, call.send().await?];
    for (number, heard) in calls.iter().enumerate() {
        voice.call(number + 1, heard);
    }

    voice.section("The run that came of it, followed to its end");
    let run = follow(voice, client, &calls[0].run_id).await?;

    voice.section("A real command on a real file: gzip, on this server's own log");
    let request = v1::RunJobRequest { job: examples::COMMAND.to_owned(), ..Default::default() };
    let answer = client.run_job(request).await.map_err(calling("run the job `compress`"))?;
    let command = follow(voice, client, &answer.run_id).await?;

    voice.section("The server is shut down, its store closed, and started again on the same data");
    house.restart().await?;
    let again = call.send().await?;
    voice.call(calls.len() + 1, &again);
    calls.push(again);

    let runs_found = call.find_runs().await?;
    let checks = report::checks(&calls, &run, &command, &runs_found);
    voice.checks(&checks);
    let next = next(house, &call, &run.run_id);
    Ok(Report {
        server: house.endpoint(),
        data_dir: house.data_dir().display().to_string(),
        app: APP.to_owned(),
        jobs,
        request_id: call.id.to_string(),
        held: checks.iter().all(|check| check.held),
        calls,
        run,
        command,
        runs_found,
        checks,
        next,
    })
}

/// One logical call, which is sent several times.
struct Call<'a> {
    client: &'a Client,
    id: RequestId,
    labels: BTreeMap<String, String>,
}

impl<'a> Call<'a> {
    fn new(client: &'a Client) -> Self {
        let id = client.mint_request_id();
        Self { client, id, labels: BTreeMap::from([(LABEL.to_owned(), id.to_string())]) }
    }

    async fn send(&self) -> Result<Heard, Error> {
        let request =
            v1::RunJobRequest { job: examples::MAIN.to_owned(), labels: self.labels.clone(), ..Default::default() };
        let answer = self.client.with_request_id(self.id).run_job(request).await;
        answer.map(|answer| Heard::of(&answer)).map_err(calling("run the job `checksums`"))
    }

    async fn find_runs(&self) -> Result<Vec<String>, Error> {
        let request = v1::ListRunsRequest { labels: self.labels.clone(), ..Default::default() };
        let mut found = Vec::new();
        let mut page_token = String::new();
        loop {
            let page = v1::PageRequest { page_token, ..Default::default() };
            let request = v1::ListRunsRequest { page: Some(page), ..request.clone() };
            let answer = self.client.list_runs(request).await.map_err(calling("list the runs"))?;
            found.extend(answer.runs.into_iter().map(|run| run.run_id));
            page_token = answer.page.unwrap_or_default().next_page_token;
            if page_token.is_empty() {
                return Ok(found);
            }
        }
    }
}

/// Waits for a run to end, and shows how it comes on, what it logged and what it gave.
async fn follow(voice: Voice, client: &Client, run_id: &str) -> Result<Told, Error> {
    let mut shown = (String::new(), -PROGRESS_STEP);
    let mut look = LOOK_MIN;
    let run = loop {
        let timeout = look.try_into().ok();
        let request = v1::WaitRunRequest { run_id: run_id.to_owned(), timeout, ..Default::default() };
        look = LOOK_MAX.min(look * 2);
        let answer = client.wait_run(request).await.map_err(calling("wait for the run"))?;
        let run = answer.run.unwrap_or_default();
        shown = show_progress(voice, &run, shown);
        if answer.finished {
            break run;
        }
    };
    let log = read_log(client, run_id).await?;
    let told = Told::of(&run, log);
    voice.log(&told);
    voice.result(&told);
    Ok(told)
}

/// Shows where a run is, if that is news.
fn show_progress(voice: Voice, run: &v1::Run, (state, fraction): (String, f64)) -> (String, f64) {
    let now = report::state(run);
    let at = run.progress.as_ref().filter(|_| run.state() == v1::RunState::Running);
    let at_fraction = at.map_or(0.0, |progress| progress.fraction);
    if now == state && at_fraction < fraction + PROGRESS_STEP {
        return (state, fraction);
    }
    let text = match at {
        Some(progress) => format!("{:3.0} %  {}", progress.fraction * 100.0, progress.message),
        None => format!("attempt {} of {}", run.attempts.len(), run.max_attempts.max(1)),
    };
    voice.row(&now.to_lowercase(), &text);
    (now, at_fraction)
}

/// The whole log of a run that has ended.
async fn read_log(client: &Client, run_id: &str) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let mut page_token = String::new();
    loop {
        let page = Some(v1::PageRequest { page_token, ..Default::default() });
        let request = v1::GetRunLogsRequest { run_id: run_id.to_owned(), page, ..Default::default() };
        let answer = client.get_run_logs(request).await.map_err(calling("read the log of the run"))?;
        answer.chunks.iter().for_each(|chunk| bytes.extend_from_slice(&chunk.data));
        page_token = answer.page.unwrap_or_default().next_page_token;
        if answer.complete || page_token.is_empty() {
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}

/// What a person could type now.
fn next(house: &House, call: &Call<'_>, run_id: &str) -> Vec<String> {
    let program = std::env::current_exe().ok();
    let here = std::env::current_dir().unwrap_or_default();
    let program = program.as_deref().map(|program| program.strip_prefix(here).unwrap_or(program));
    let program = program.map_or_else(|| "semel".to_owned(), |program| program.display().to_string());
    let id = call.id;
    let mut lines = vec![format!("alias semel={program}"), format!("source {}", house.env_path().display())];
    let commands = [
        ("semel run list".to_owned(), "what ran"),
        (format!("semel run logs {run_id}"), "what it said"),
        (format!("semel request get {id}"), "what became of the call"),
        (
            format!("semel run submit {} --label {LABEL}={id} --request-id {id}", examples::MAIN),
            "the same call, a fifth time",
        ),
        ("semel watch --top".to_owned(), "what runs, live"),
        ("semel run submit stumble --wait".to_owned(), "watch retries"),
        ("semel run submit nap".to_owned(), "then cancel it: semel run cancel RUN"),
    ];
    lines.extend(commands.iter().map(|(command, why)| format!("{command}    # {why}")));
    lines
}
