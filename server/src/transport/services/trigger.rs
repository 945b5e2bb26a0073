//! `TriggerService`.

use std::sync::Arc;

use semel_core::{
    command::{BackfillRange, Command},
    id::{AppName, JobKey, JobName, Millis, Timestamp, TriggerKey, TriggerName},
    limits,
    rejection::Rejection,
    schedule::{self, Schedule, zone_data_version},
};
use semel_proto::v1::{self, trigger_service_server::TriggerService};
use tonic::{Request, Response, Status};

use super::Services;
use crate::{
    engine::View,
    transport::{
        call::Call,
        convert::{fields::Fields, time, trigger as convert},
        gate, page,
        status::Refusal,
    },
};

const PAGE_KIND: u8 = b't';
/// Triggers that one page looks at, whether they are among what is asked for or not.
const SCAN_MAX: usize = 5000;
/// Fires that a preview has if nothing is said, and at most.
const PREVIEW_DEFAULT: usize = 10;
const PREVIEW_MAX: i32 = 1000;

fn key(fields: &mut Fields, app: AppName, job: &str, trigger: &str) -> Option<TriggerKey> {
    let job = fields.take("job", JobName::parse(job));
    let name = fields.take("trigger", TriggerName::parse(trigger));
    Some(TriggerKey { job: JobKey { app, job: job? }, name: name? })
}

/// A schedule to look ahead on, with what it needs besides.
struct Preview {
    /// None if it hangs on the end of a run.
    schedule: Option<Arc<Schedule>>,
    jitter: Millis,
    /// Looks no further back than this.
    from: Timestamp,
    /// So many fires are left to it.
    left: u64,
}

impl Services {
    async fn find_trigger<T: Send + 'static>(
        &self,
        key: TriggerKey,
        look: impl FnOnce(&View<'_>, &semel_core::state::Trigger) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let name = key.to_string();
        let look = move |view: &View<'_>| view.engine.state().trigger(&key).map(|trigger| look(view, trigger));
        let found = self.gate.engine()?.read(look).await.map_err(gate::refused)?;
        found.ok_or_else(|| gate::rejected(Rejection::NotFound { what: "trigger", name }))
    }

    /// What is asked about: a trigger that is there, or one that is only thought of.
    async fn previewed(
        &self,
        message: &v1::PreviewTriggerRequest,
        app: AppName,
        fields: &mut Fields,
    ) -> Result<Preview, Refusal> {
        let now = self.gate.now();
        let from = fields.time("from_time", message.from_time.as_ref()).unwrap_or(now);
        fields.bounded("count", message.count, 0, PREVIEW_MAX);
        let Some(spec) = &message.spec else {
            let key = key(fields, app, &message.job, &message.trigger);
            let (Some(key), true) = (key, fields.is_clean()) else { return Err(violations(fields)) };
            let look = move |_: &View<'_>, trigger: &semel_core::state::Trigger| Preview {
                schedule: trigger.schedule().filter(|_| !trigger.hangs_on_runs()).cloned(),
                jitter: trigger.jitter(),
                from: from.max(trigger.standing().made_at),
                left: left(trigger),
            };
            return self.find_trigger(key, look).await;
        };
        let spec = convert::parse_spec(fields, "spec", spec);
        let (Some(spec), true) = (spec, fields.is_clean()) else { return Err(violations(fields)) };
        let hangs = matches!(spec.when, schedule::When::Delay { .. } | schedule::When::After { .. });
        // Without names there is nothing that it could hang on.
        let job = JobName::parse(&message.job).ok();
        let jitter = job.map_or(Millis(0), |job| schedule::jitter(&app, &job, &message.trigger, spec.jitter));
        let compiled = Schedule::compile(&spec, from).ok().map(Arc::new);
        let left = spec.max_fires.unwrap_or(u64::MAX);
        Ok(Preview { schedule: compiled.filter(|_| !hangs), jitter, from, left })
    }
}

fn left(trigger: &semel_core::state::Trigger) -> u64 {
    let max = trigger.spec().max_fires.unwrap_or(u64::MAX);
    max.saturating_sub(trigger.standing().counters.fired)
}

fn violations(fields: &mut Fields) -> Refusal {
    Refusal::invalid(std::mem::replace(fields, Fields::new(0)).violations())
}

#[tonic::async_trait]
impl TriggerService for Services {
    async fn get_trigger(
        &self,
        request: Request<v1::GetTriggerRequest>,
    ) -> Result<Response<v1::GetTriggerResponse>, Status> {
        let look = async |call: &Call<'_>, message: &v1::GetTriggerRequest, app, mut fields: Fields| {
            let Some(key) = key(&mut fields, app, &message.job, &message.trigger) else {
                return Err(violations(&mut fields));
            };
            let trigger = self.find_trigger(key, shown).await?;
            Ok(v1::GetTriggerResponse { header: call.read_header(), trigger: Some(trigger) })
        };
        self.gate.read(request, look).await
    }

    async fn list_triggers(
        &self,
        request: Request<v1::ListTriggersRequest>,
    ) -> Result<Response<v1::ListTriggersResponse>, Status> {
        let look = async |call: &Call<'_>, message: &v1::ListTriggersRequest, app: AppName, mut fields: Fields| {
            let named = (!message.job.is_empty()).then(|| fields.take("job", JobName::parse(&message.job)));
            let place = page::place(&mut fields, message.page.as_ref(), PAGE_KIND);
            let after = place.and_then(|place| fields.take("page.page_token", parse_place(&app, &place)));
            if !fields.is_clean() {
                return Err(violations(&mut fields));
            }
            let job = named.flatten();
            let query =
                Query { app, job, states: message.states.clone(), after, size: page::size(message.page.as_ref()) };
            let (triggers, next) =
                self.gate.engine()?.read(move |view| query.look(view)).await.map_err(gate::refused)?;
            let page = page::token(PAGE_KIND, next.as_deref());
            Ok(v1::ListTriggersResponse { header: call.read_header(), triggers, page })
        };
        self.gate.read(request, look).await
    }

    async fn preview_trigger(
        &self,
        request: Request<v1::PreviewTriggerRequest>,
    ) -> Result<Response<v1::PreviewTriggerResponse>, Status> {
        let look = async |call: &Call<'_>, message: &v1::PreviewTriggerRequest, app, mut fields: Fields| {
            let preview = self.previewed(message, app, &mut fields).await?;
            let count = usize::try_from(message.count).ok().filter(|count| *count > 0).unwrap_or(PREVIEW_DEFAULT);
            Ok(v1::PreviewTriggerResponse {
                header: call.read_header(),
                hangs_on_runs: preview.schedule.is_none(),
                fires: preview.fires(count),
                zone_data_version: zone_data_version().to_owned(),
            })
        };
        self.gate.read(request, look).await
    }

    async fn pause_trigger(
        &self,
        request: Request<v1::PauseTriggerRequest>,
    ) -> Result<Response<v1::PauseTriggerResponse>, Status> {
        let parse = |message: &v1::PauseTriggerRequest, app, fields: &mut Fields| {
            let key = key(fields, app, &message.job, &message.trigger);
            let note = fields.text("note", &message.note, limits::NOTE_CHARS_MAX);
            Some(Command::PauseTrigger { key: key?, note: note? })
        };
        self.gate.mutate(request, parse).await
    }

    async fn resume_trigger(
        &self,
        request: Request<v1::ResumeTriggerRequest>,
    ) -> Result<Response<v1::ResumeTriggerResponse>, Status> {
        let parse = |message: &v1::ResumeTriggerRequest, app, fields: &mut Fields| {
            key(fields, app, &message.job, &message.trigger).map(|key| Command::ResumeTrigger { key })
        };
        self.gate.mutate(request, parse).await
    }

    async fn fire_trigger(
        &self,
        request: Request<v1::FireTriggerRequest>,
    ) -> Result<Response<v1::FireTriggerResponse>, Status> {
        let parse = |message: &v1::FireTriggerRequest, app, fields: &mut Fields| {
            let key = key(fields, app, &message.job, &message.trigger);
            let given = message.overlap.as_ref();
            let overlap = given.map(|overlap| convert::parse_overlap(fields, "overlap", Some(overlap)));
            Some(Command::FireTrigger { key: key?, overlap })
        };
        self.gate.mutate(request, parse).await
    }

    async fn backfill_trigger(
        &self,
        request: Request<v1::BackfillTriggerRequest>,
    ) -> Result<Response<v1::BackfillTriggerResponse>, Status> {
        let parse = |message: &v1::BackfillTriggerRequest, app, fields: &mut Fields| {
            let key = key(fields, app, &message.job, &message.trigger);
            if message.from_time.is_none() {
                fields.note("from_time", "must be given");
            }
            let from = fields.time("from_time", message.from_time.as_ref());
            let to = fields.time("to_time", message.to_time.as_ref());
            let overlap = convert::parse_backfill_overlap(fields, "overlap", message.overlap.as_ref());
            Some(Command::BackfillTrigger { key: key?, range: BackfillRange { from: from?, to, overlap } })
        };
        self.gate.mutate(request, parse).await
    }

    async fn cancel_backfill(
        &self,
        request: Request<v1::CancelBackfillRequest>,
    ) -> Result<Response<v1::CancelBackfillResponse>, Status> {
        let parse = |message: &v1::CancelBackfillRequest, app, fields: &mut Fields| {
            key(fields, app, &message.job, &message.trigger).map(|key| Command::CancelBackfill { key })
        };
        self.gate.mutate(request, parse).await
    }
}

fn shown(view: &View<'_>, trigger: &semel_core::state::Trigger) -> v1::Trigger {
    let live = view.engine.state().live_count_of_trigger(&trigger.standing().key);
    convert::trigger(trigger, live, view.now)
}

impl Preview {
    fn fires(&self, count: usize) -> Vec<v1::PreviewedFire> {
        let Some(schedule) = &self.schedule else { return Vec::new() };
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let fire = |at: Timestamp| v1::PreviewedFire {
            scheduled_time: Some(time::timestamp(at)),
            fire_time: Some(time::timestamp(at.plus(self.jitter))),
            local_time: local_text(at, schedule.offset_secs(at)),
        };
        schedule.upcoming(self.from).take(count.min(left)).map(fire).collect()
    }
}

/// A moment as a clock shows it that is so far ahead of UTC.
fn local_text(at: Timestamp, offset_secs: i32) -> String {
    let shown = at.plus(Millis(i64::from(offset_secs) * 1000));
    let text = time::timestamp(shown).to_string();
    let (sign, minutes) = (if offset_secs < 0 { '-' } else { '+' }, offset_secs.unsigned_abs() / 60);
    format!("{}{sign}{:02}:{:02}", text.trim_end_matches('Z'), minutes / 60, minutes % 60)
}

/// Which triggers to list.
struct Query {
    app: AppName,
    job: Option<JobName>,
    states: Vec<i32>,
    after: Option<TriggerKey>,
    size: usize,
}

impl Query {
    /// A page of them, and the place where the next one begins.
    fn look(&self, view: &View<'_>) -> (Vec<v1::Trigger>, Option<Vec<u8>>) {
        let state = view.engine.state();
        let (mut shown_triggers, mut bytes, mut last) = (Vec::new(), 0, None);
        for (looked_at, trigger) in self.range(state).enumerate() {
            if shown_triggers.len() >= self.size || looked_at >= SCAN_MAX || bytes > page::BYTES_MAX {
                return (shown_triggers, last.map(|key: &TriggerKey| place_of(key)));
            }
            last = Some(&trigger.standing().key);
            if self.states.is_empty() || self.states.contains(&convert::state(trigger, view.now).into()) {
                let shown = shown(view, trigger);
                bytes += prost::Message::encoded_len(&shown);
                shown_triggers.push(shown);
            }
        }
        (shown_triggers, None)
    }

    fn range<'a>(
        &'a self,
        state: &'a semel_core::State,
    ) -> Box<dyn Iterator<Item = &'a semel_core::state::Trigger> + 'a> {
        let Some(job) = &self.job else { return Box::new(state.triggers_of(&self.app, self.after.as_ref())) };
        let after = self.after.as_ref();
        let of_job = state.triggers_of_job(JobKey { app: self.app.clone(), job: job.clone() });
        Box::new(of_job.filter(move |trigger| after.is_none_or(|after| &trigger.standing().key > after)))
    }
}

fn place_of(key: &TriggerKey) -> Vec<u8> {
    [key.job.job.as_str().as_bytes(), &[0], key.name.as_str().as_bytes()].concat()
}

fn parse_place(app: &AppName, place: &[u8]) -> Result<TriggerKey, String> {
    let bad = || "is none that this list gave".to_owned();
    let text = std::str::from_utf8(place).map_err(|_| bad())?;
    let (job, name) = text.split_once('\0').ok_or_else(bad)?;
    let job = JobKey { app: app.clone(), job: JobName::parse(job)? };
    Ok(TriggerKey { job, name: TriggerName::parse(name)? })
}
