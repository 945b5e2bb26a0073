//! One app never reaches what is another's: to it, a foreign run is a run that does not exist.

use super::{World, given};
use crate::{
    command::{AttemptRef, Command, Report},
    event::Event,
    id::{AppName, RunId},
    rejection::Rejection,
    run::{LogStream, Phase},
    samples::*,
};

/// A neighbour, and one whose name begins alike.
fn strangers() -> [AppName; 3] {
    ["shop", "pay/eu", "pa"].map(named)
}

fn world_at(phase: Phase) -> World {
    let world = given(base()).and(run(1).at(phase));
    strangers().iter().fold(world, |world, name| {
        let app = Event::AppCreated { app: Box::new(app_at(name.as_str(), 0)) };
        let key = key_of(name.as_str(), "settle");
        world.and([app, Event::JobCreated { job: Box::new(job_at(&key, spec(), 0)) }])
    })
}

fn each_world() -> impl Iterator<Item = World> {
    Phase::ALL.into_iter().flat_map(|phase| [world_at(phase), world_at(phase).committed()])
}

#[track_caller]
fn untouched(world: World, command: Command, rejection: &Rejection) {
    let before = world.run(id(1));
    let world = world.when(command).then_rejected(rejection);
    assert_eq!(world.run(id(1)), before);
}

fn not_found(run_id: RunId) -> Rejection {
    Rejection::NotFound { what: "run", name: run_id.to_string() }
}

fn stale() -> Rejection {
    Rejection::LeaseStale { why: "there is no such run".to_owned() }
}

#[test]
fn a_foreign_run_cannot_be_cancelled() {
    for app in strangers() {
        for world in each_world() {
            let command = Command::CancelRun { app: app.clone(), run_id: id(1), reason: String::new() };
            untouched(world, command, &not_found(id(1)));
        }
    }
}

#[test]
fn a_foreign_run_cannot_be_retried() {
    for app in strangers() {
        for world in each_world() {
            untouched(world, Command::RetryRun { app: app.clone(), run_id: id(1) }, &not_found(id(1)));
        }
    }
}

#[test]
fn a_foreign_attempt_cannot_be_reported_even_by_the_worker_that_holds_it() {
    for app in strangers() {
        for world in each_world() {
            let attempt = AttemptRef { app: app.clone(), ..attempt(id(1), 1) };
            untouched(world, Command::ReportAttempt { attempt, report: succeeded() }, &stale());
        }
    }
}

#[test]
fn a_foreign_attempt_cannot_be_released() {
    for world in each_world() {
        let attempt = AttemptRef { app: named("shop"), ..attempt(id(1), 1) };
        let report = Report::Released { reason: String::new() };
        untouched(world, Command::ReportAttempt { attempt, report }, &stale());
    }
}

#[test]
fn nothing_is_written_into_a_foreign_log() {
    for app in strangers() {
        for world in each_world() {
            let attempt = AttemptRef { app: app.clone(), ..attempt(id(1), 1) };
            let data = bytes::Bytes::from_static(b"x");
            untouched(world, Command::AppendLog { attempt, stream: LogStream::Stdout, data }, &stale());
        }
    }
}

#[test]
fn the_jobs_of_a_foreign_app_are_jobs_of_its_own() {
    let world = world_at(Phase::Queued);
    let world = world.when(Command::RunJob(run_job_of(&key_of("shop", "settle")))).done();
    assert_eq!((world.state.counts(&settle()).live, world.state.counts(&key_of("shop", "settle")).live), (1, 1));
    let world = world.when(Command::PauseJob { key: key_of("shop", "settle"), note: String::new() }).done();
    assert_eq!(world.state.ready().first(&pay(), &processor("exec")).map(|first| first.run_id), Some(id(1)));
    assert_eq!(world.state.ready().first(&named("shop"), &processor("exec")), None);
}

#[test]
fn an_app_with_a_name_that_begins_alike_keeps_its_jobs() {
    let world = world_at(Phase::Succeeded);
    assert_eq!(world.state.jobs_of(&pay()).count(), 1);
    let world = world.when(Command::DeleteJob { key: settle(), etag: None }).done();
    let world = world.when(Command::DeleteApp { app: pay(), etag: None }).done();
    assert!(strangers().iter().all(|app| world.state.jobs_of(app).count() == 1));
}
