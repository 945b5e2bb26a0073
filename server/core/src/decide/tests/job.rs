//! Jobs: making, changing, pausing, resuming and deleting them.

use std::sync::Arc;

use super::{World, given};
use crate::{
    command::Command,
    event::Event,
    id::{JobKey, Millis, Revision},
    job::{Job, JobSpec, Pause},
    rejection::Rejection,
    reply::Reply,
    run::Phase,
    samples::*,
};

fn create(key: JobKey) -> Command {
    Command::CreateJob { key, spec: Arc::new(spec()) }
}

fn another() -> Arc<JobSpec> {
    Arc::new(JobSpec { description: "another".to_owned(), ..spec_with_plan(|plan| plan.processor = processor("http")) })
}

fn update(etag: Option<u64>) -> Command {
    Command::UpdateJob { key: settle(), etag: etag.map(Revision), spec: another() }
}

fn delete(etag: Option<u64>) -> Command {
    Command::DeleteJob { key: settle(), etag: etag.map(Revision) }
}

fn pause(note: &str) -> Command {
    Command::PauseJob { key: settle(), note: note.to_owned() }
}

fn resume() -> Command {
    Command::ResumeJob { key: settle() }
}

fn paused(note: &str) -> Event {
    Event::JobPaused { key: settle(), note: note.to_owned() }
}

fn job(world: &World) -> Job {
    world.state.job(&settle()).expect("it is there").clone()
}

fn no_such_job() -> Rejection {
    Rejection::NotFound { what: "job", name: "pay/settle".to_owned() }
}

fn lost_race() -> Rejection {
    Rejection::EtagMismatch { what: "job", name: "pay/settle".to_owned(), current: Revision(2) }
}

fn no_job() -> World {
    given([Event::AppCreated { app: Box::new(app_at("pay", 1)) }])
}

#[test]
fn a_job_is_created_with_the_revision_as_its_etag() {
    let job = job_at(&settle(), spec(), 2);
    no_job().when(create(settle())).then_answers(&Reply::Job(job.clone()), [Event::JobCreated { job: Box::new(job) }]);
}

#[test]
fn a_job_needs_an_app() {
    let rejection = Rejection::NotFound { what: "app", name: "shop".to_owned() };
    given(base()).when(create(key_of("shop", "settle"))).then_rejected(&rejection);
}

#[test]
fn a_job_is_created_once_even_if_it_is_the_same() {
    let rejection = Rejection::AlreadyExists { what: "job", name: "pay/settle".to_owned() };
    given(base()).when(create(settle())).then_rejected(&rejection);
}

#[test]
fn what_is_not_there_cannot_be_changed() {
    for command in [update(None), delete(None), pause(""), resume(), update(Some(2)), delete(Some(2))] {
        no_job().when(command).then_rejected(&no_such_job());
    }
}

#[test]
fn an_update_replaces_the_definition_and_the_etag() {
    let expected =
        Job { spec: another(), etag: Revision(3), update_time: T0.plus(Millis(5)), ..job_at(&settle(), spec(), 2) };
    for etag in [None, Some(2)] {
        given(base())
            .after(5)
            .when(update(etag))
            .then_answers(&Reply::Job(expected.clone()), [Event::JobUpdated { key: settle(), spec: another() }]);
    }
}

#[test]
fn whoever_read_an_older_job_changes_nothing() {
    for command in [update(Some(1)), update(Some(3)), delete(Some(1)), delete(Some(0))] {
        given(base()).when(command).then_rejected(&lost_race());
    }
}

#[test]
fn of_two_updates_with_one_etag_one_wins() {
    let current = Rejection::EtagMismatch { what: "job", name: "pay/settle".to_owned(), current: Revision(3) };
    given(base()).when(update(Some(2))).done().when(update(Some(2))).then_rejected(&current);
}

#[test]
fn runs_that_exist_keep_their_plan_through_an_update() {
    let world = given(base()).and(run(1).at(Phase::Queued)).when(update(None)).done();
    assert_eq!(world.run(id(1)).expect("it is live").plan.processor, processor("exec"));
    let world = world.when(Command::RunJob(run_job())).done();
    let new = world.run(*world.runs.last().expect("it was made")).expect("it is live");
    assert_eq!(new.plan.processor, processor("http"));
    assert!(world.state.ready().first(&pay(), &processor("exec")).is_some());
    assert!(world.state.ready().first(&pay(), &processor("http")).is_some());
}

#[test]
fn an_update_of_a_paused_job_leaves_it_paused() {
    let world = given(base()).and([paused("why")]).when(update(None)).done();
    assert_eq!(job(&world).pause, Some(Pause { note: "why".to_owned(), time: T0 }));
}

#[test]
fn a_job_with_unfinished_runs_cannot_be_deleted() {
    for phase in Phase::ALL {
        let world = given(base()).and(run(1).at(phase)).when(delete(None));
        if phase.is_terminal() {
            world.then([Event::JobDeleted { key: settle() }]);
        } else {
            world.then_rejected(&Rejection::JobHasLiveRuns { count: 1 });
        }
    }
}

#[test]
fn the_etag_is_judged_before_the_runs() {
    given(base()).and(run(1).at(Phase::Queued)).when(delete(Some(1))).then_rejected(&lost_race());
}

#[test]
fn a_deleted_job_is_gone_and_may_be_made_again() {
    let world = given(base()).when(delete(Some(2))).then_answers(&Reply::Done, [Event::JobDeleted { key: settle() }]);
    let world = world.when(Command::RunJob(run_job())).then_rejected(&no_such_job());
    let world = world.when(create(settle())).done();
    assert_eq!(job(&world).etag, Revision(4));
}

#[test]
fn a_pause_keeps_its_time_when_only_its_note_changes() {
    let world =
        given(base()).after(5).when(pause("a")).then([paused("a")]).after(5).when(pause("b")).then([paused("b")]);
    let expected = Pause { note: "b".to_owned(), time: T0.plus(Millis(5)) };
    assert_eq!(job(&world).pause, Some(expected));
    assert_eq!((job(&world).etag, job(&world).update_time), (Revision(4), T0.plus(Millis(10))));
}

#[test]
fn a_new_pause_has_a_new_time() {
    let world = given(base()).when(pause("a")).done().when(resume()).done().after(5).when(pause("b")).done();
    assert_eq!(job(&world).pause.expect("it is paused").time, T0.plus(Millis(5)));
}

#[test]
fn resuming_changes_the_etag() {
    let world = given(base()).and([paused("")]).when(resume()).then([Event::JobResumed { key: settle() }]);
    assert_eq!((job(&world).pause, job(&world).etag), (None, Revision(4)));
}

#[test]
fn resuming_what_is_not_paused_changes_nothing() {
    let job = job_at(&settle(), spec(), 2);
    given(base()).after(5).when(resume()).then_silent(&Reply::Job(job));
}

#[test]
fn a_paused_job_survives_a_restart() {
    let world = given(base()).and([paused("why")]).and(run(1).at(Phase::Queued)).restarted();
    assert_eq!(world.state.ready().heads().count(), 0);
}
