//! `RunService`.

use semel_core::{
    command::Command,
    id::{AppName, JobName, Millis, RunId},
    limits,
    rejection::Rejection,
    run::{Run, RunState},
    state::BlobKind,
};
use semel_proto::v1::{self, run_service_server::RunService};
use tokio::time;
use tonic::{Request, Response, Status};

use super::Services;
use crate::{
    clock, engine,
    store::RunQuery,
    transport::{
        call::Call,
        convert::{fields::Fields, run as convert, time as times},
        gate::{self, Stage},
        page,
        status::Refusal,
        trace,
    },
};

const PAGE_KIND_RUNS: u8 = b'r';
const PAGE_KIND_LOGS: u8 = b'l';
/// How long a call may wait for a run. Below the idle time-outs of proxies.
const WAIT_MAX: Millis = Millis::from_secs(60);
/// Bytes of log in one answer.
const LOG_BYTES_MAX: usize = 1 << 20;

fn not_found(run_id: RunId) -> Refusal {
    gate::rejected(Rejection::NotFound { what: "run", name: run_id.to_string() })
}

fn unreadable(error: crate::store::Error) -> Refusal {
    Refusal::internal(&error)
}

impl Services {
    /// A run of this app; a run of another app is as good as none.
    fn find_run(&self, app: &AppName, run_id: RunId) -> Result<Run, Refusal> {
        let found = self.gate.engine()?.reader().run(run_id).map_err(unreadable)?;
        found.filter(|run| &run.job.app == app).ok_or_else(|| not_found(run_id))
    }

    /// A run with its result, and how far it is.
    async fn full_run(&self, run: &Run) -> Result<v1::Run, Refusal> {
        let mut message = convert::run(run);
        let place = self.gate.settings.tracer.of_run(run.id, run.trace.as_deref(), run.cause.is_some());
        message.trace_context = place.as_ref().map(trace::message);
        let engine = self.gate.engine()?;
        if run.has_result {
            let result = engine.reader().blob(run.id, BlobKind::Result).map_err(unreadable)?;
            message.result = result.as_ref().map(convert::payload);
        }
        if run.held().is_some() {
            let (id, attempt) = (run.id, run.attempt);
            let look = move |view: &engine::View<'_>| {
                view.progress(id).filter(|progress| progress.attempt == attempt).map(convert::progress)
            };
            message.progress = engine.read(look).await.map_err(gate::refused)?;
        }
        Ok(message)
    }

    /// Waits for something about a run to come true, no longer than wished, than the caller waits, or than the server
    /// stays. Looks first, then after each change.
    async fn wait_for<T>(
        &self,
        call: &Call<'_>,
        run_id: RunId,
        wait: Millis,
        mut look: impl FnMut() -> Result<(T, bool), Refusal>,
    ) -> Result<(T, bool), Refusal> {
        let _place = self.gate.wait_place()?;
        let waiters = self.gate.engine()?.waiters().clone();
        let stage = &self.gate.settings.stage;
        let mut until = clock::timer_now() + std::time::Duration::from_millis(u64::try_from(wait.0).unwrap_or(0));
        if let Some(deadline) = call.deadline() {
            // Leaves time for the answer: a wait that ends is no failure.
            let margin = std::time::Duration::from_millis(20);
            until = until.min(deadline.checked_sub(margin).unwrap_or(deadline));
        }
        loop {
            let bell = waiters.bell(run_id);
            let rung = bell.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            let (found, is_there) = look()?;
            if is_there || *stage.borrow() >= Stage::Going || clock::timer_now() >= until {
                return Ok((found, is_there));
            }
            tokio::select! {
                () = rung => {}
                () = gate::reached(stage, Stage::Going) => {}
                () = time::sleep_until(until) => {}
            }
        }
    }
}

#[tonic::async_trait]
impl RunService for Services {
    async fn get_run(&self, request: Request<v1::GetRunRequest>) -> Result<Response<v1::GetRunResponse>, Status> {
        let look = async |call: &Call<'_>, message: &v1::GetRunRequest, app: AppName, mut fields: Fields| {
            let run_id = fields.run_id(&message.run_id);
            let run_id = run_id.ok_or_else(|| Refusal::invalid(fields.violations()))?;
            let run = self.find_run(&app, run_id)?;
            let mut message = self.full_run(&run).await?;
            if run.has_payload {
                let payload = self.gate.engine()?.reader().blob(run.id, BlobKind::Payload).map_err(unreadable)?;
                message.payload = payload.as_ref().map(convert::payload);
            }
            Ok(v1::GetRunResponse { header: call.read_header(), run: Some(message) })
        };
        self.gate.read(request, look).await
    }

    async fn list_runs(&self, request: Request<v1::ListRunsRequest>) -> Result<Response<v1::ListRunsResponse>, Status> {
        let look = async |call: &Call<'_>, message: &v1::ListRunsRequest, app: AppName, mut fields: Fields| {
            let query = run_query(&mut fields, message, app);
            if !fields.is_clean() {
                return Err(Refusal::invalid(fields.violations()));
            }
            let listed = self.gate.list(move |reader| reader.runs(&query)).await?;
            let runs: Vec<v1::Run> = listed.items.iter().map(convert::run).collect();
            let shown = page::fitting(&runs);
            let next = if shown < runs.len() { Some(listed.items[shown - 1].id) } else { listed.next };
            Ok(v1::ListRunsResponse {
                header: call.read_header(),
                runs: runs.into_iter().take(shown).collect(),
                page: page::token(PAGE_KIND_RUNS, next.as_ref().map(|id| id.0.as_slice())),
            })
        };
        self.gate.read(request, look).await
    }

    async fn cancel_run(
        &self,
        request: Request<v1::CancelRunRequest>,
    ) -> Result<Response<v1::CancelRunResponse>, Status> {
        let parse = |message: &v1::CancelRunRequest, app, fields: &mut Fields| {
            let run_id = fields.run_id(&message.run_id);
            let reason = fields.text("reason", &message.reason, limits::NOTE_CHARS_MAX);
            Some(Command::CancelRun { app, run_id: run_id?, reason: reason? })
        };
        self.gate.mutate(request, parse).await
    }

    async fn retry_run(&self, request: Request<v1::RetryRunRequest>) -> Result<Response<v1::RetryRunResponse>, Status> {
        let parse = |message: &v1::RetryRunRequest, app, fields: &mut Fields| {
            fields.run_id(&message.run_id).map(|run_id| Command::RetryRun { app, run_id })
        };
        self.gate.mutate(request, parse).await
    }

    async fn wait_run(&self, request: Request<v1::WaitRunRequest>) -> Result<Response<v1::WaitRunResponse>, Status> {
        let look = async |call: &Call<'_>, message: &v1::WaitRunRequest, app: AppName, mut fields: Fields| {
            let run_id = fields.run_id(&message.run_id);
            let timeout = message.timeout.as_ref().map(times::parse_duration);
            if timeout == Some(None) {
                fields.note("timeout", "must not be negative");
            }
            let Some(run_id) = run_id.filter(|_| fields.is_clean()) else {
                return Err(Refusal::invalid(fields.violations()));
            };
            let wait = timeout.flatten().unwrap_or(WAIT_MAX).min(WAIT_MAX);
            let look = || {
                let run = self.find_run(&app, run_id)?;
                let finished = run.state.phase().is_terminal();
                Ok((run, finished))
            };
            let (run, finished) = self.wait_for(call, run_id, wait, look).await?;
            let run = Some(self.full_run(&run).await?);
            Ok(v1::WaitRunResponse { header: call.read_header(), run, finished })
        };
        self.gate.read(request, look).await
    }

    async fn explain_run(
        &self,
        request: Request<v1::ExplainRunRequest>,
    ) -> Result<Response<v1::ExplainRunResponse>, Status> {
        let look = async |call: &Call<'_>, message: &v1::ExplainRunRequest, app: AppName, mut fields: Fields| {
            let run_id = fields.run_id(&message.run_id);
            let run_id = run_id.ok_or_else(|| Refusal::invalid(fields.violations()))?;
            let of_app = app.clone();
            let explain = move |view: &engine::View<'_>| {
                let run = view.engine.state().run(run_id).filter(|run| run.job.app == of_app)?;
                Some((run.state, engine::explain(view.engine, run)))
            };
            let live = self.gate.engine()?.read(explain).await.map_err(gate::refused)?;
            let (state, explanations): (RunState, Vec<_>) = match live {
                Some((state, reasons)) => (state, reasons.iter().map(convert::explanation).collect()),
                None => {
                    let run = self.find_run(&app, run_id)?;
                    (run.state, vec![convert::finished_explanation(&run)])
                }
            };
            let state = convert::phase(state.phase()).into();
            Ok(v1::ExplainRunResponse { header: call.read_header(), state, explanations })
        };
        self.gate.read(request, look).await
    }

    async fn get_run_logs(
        &self,
        request: Request<v1::GetRunLogsRequest>,
    ) -> Result<Response<v1::GetRunLogsResponse>, Status> {
        let look = async |call: &Call<'_>, message: &v1::GetRunLogsRequest, app: AppName, mut fields: Fields| {
            let run_id = fields.run_id(&message.run_id);
            let place = page::place(&mut fields, message.page.as_ref(), PAGE_KIND_LOGS);
            let from = place.map_or(Some(0), |place| place.try_into().ok().map(u32::from_be_bytes));
            let wait = message.wait.as_ref().map_or(Some(Millis(0)), times::parse_duration);
            let (Some(run_id), Some(from), Some(wait), true) = (run_id, from, wait, fields.is_clean()) else {
                fields.note("wait", "must not be negative, and page_token must be one that this list gave");
                return Err(Refusal::invalid(fields.violations()));
            };
            let size = page::size(message.page.as_ref());
            self.gate.engine()?.admit_list().map_err(gate::refused)?;
            let look = || {
                // The run first: if it has ended now, the log that is read after it is whole.
                let finished = self.find_run(&app, run_id)?.state.phase().is_terminal();
                let rows = self.gate.engine()?.reader().logs(run_id, from, size).map_err(unreadable)?;
                let is_there = finished || !rows.is_empty();
                Ok(((rows, finished), is_there))
            };
            let ((mut rows, finished), _) = self.wait_for(call, run_id, wait.min(WAIT_MAX), look).await?;
            let full = rows.len() >= size;
            let mut bytes = 0;
            let fitting = rows.iter().take_while(|row| {
                bytes += row.data.len();
                bytes <= LOG_BYTES_MAX || bytes == row.data.len()
            });
            let shown = fitting.count();
            let complete = finished && !full && shown == rows.len();
            rows.truncate(shown);
            let next = rows.last().map_or(from, |last| last.index + 1);
            let place = (!complete).then(|| next.to_be_bytes());
            Ok(v1::GetRunLogsResponse {
                header: call.read_header(),
                chunks: rows.iter().map(convert::log_chunk).collect(),
                page: page::token(PAGE_KIND_LOGS, place.as_ref().map(<[u8; 4]>::as_slice)),
                complete,
            })
        };
        self.gate.read(request, look).await
    }
}

fn run_query(fields: &mut Fields, message: &v1::ListRunsRequest, app: AppName) -> RunQuery {
    let job = (!message.job.is_empty()).then(|| fields.take("job", JobName::parse(&message.job))).flatten();
    let mut phases = Vec::new();
    for (index, state) in message.states.iter().enumerate() {
        match convert::parse_phase(*state) {
            Some(phase) => phases.push(phase),
            None => fields.note(&format!("states[{index}]"), "must be one of the states of a run"),
        }
    }
    let range = message.create_time.as_ref();
    let from = fields.time("create_time.start_time", range.and_then(|range| range.start_time.as_ref()));
    let until = fields.time("create_time.end_time", range.and_then(|range| range.end_time.as_ref()));
    let place = page::place(fields, message.page.as_ref(), PAGE_KIND_RUNS);
    let before = place.and_then(|place| {
        let id = place.try_into().map(RunId).map_err(|_| "is none that this list gave".to_owned());
        fields.take("page.page_token", id)
    });
    let limit = page::size(message.page.as_ref());
    RunQuery { app, job, phases, labels: message.labels.clone(), from, until, before, limit }
}
