//! Apps and their credentials.

use super::{World, given};
use crate::{
    app::{App, FormerSecret, Grant, Secret},
    command::{Command, RevokeTarget, SystemCommand},
    event::Event,
    id::{Millis, Revision, TokenId},
    limits,
    rejection::Rejection,
    reply::Reply,
    samples::*,
};

fn create(name: &str) -> Command {
    Command::CreateApp {
        app: named(name),
        description: format!("the app {name}"),
        grants: Vec::new(),
        secret: secret(1),
    }
}

fn update(etag: Option<u64>, grants: Vec<Grant>) -> Command {
    Command::UpdateApp { app: pay(), etag: etag.map(Revision), description: "new".to_owned(), grants }
}

fn delete(etag: Option<u64>) -> Command {
    Command::DeleteApp { app: pay(), etag: etag.map(Revision) }
}

fn rotate(byte: u8, grace: i64) -> Command {
    Command::RotateAppSecret { app: pay(), grace: Millis(grace), secret: secret(byte) }
}

fn revoke(target: RevokeTarget) -> Command {
    Command::RevokeToken { app: pay(), target }
}

fn updated(change: impl FnOnce(&mut App)) -> (App, Event) {
    let mut app = App { etag: Revision(2), ..app_at("pay", 1) };
    change(&mut app);
    (app.clone(), Event::AppUpdated { app: Box::new(app) })
}

fn one_app() -> World {
    given([Event::AppCreated { app: Box::new(app_at("pay", 1)) }])
}

fn app(world: &World) -> App {
    world.state.app(&pay()).expect("it is there").clone()
}

#[test]
fn an_app_is_created_with_its_secret_named_but_not_told() {
    let app = app_at("pay", 1);
    let reply = Reply::AppSecret { app: app.clone(), key_id: "k1".to_owned() };
    World::new(T0).when(create("pay")).then_answers(&reply, [Event::AppCreated { app: Box::new(app) }]);
}

#[test]
fn an_app_is_created_once() {
    let rejection = Rejection::AlreadyExists { what: "app", name: "pay".to_owned() };
    one_app().when(create("pay")).then_rejected(&rejection);
    World::new(T0).when(create("pay")).done().when(create("pay")).then_rejected(&rejection);
}

#[test]
fn an_app_below_another_is_an_app_of_its_own() {
    let world = one_app().when(create("pay/settle")).done();
    assert_eq!(world.state.apps().count(), 2);
}

#[test]
fn what_is_not_there_cannot_be_changed() {
    let rejection = Rejection::NotFound { what: "app", name: "pay".to_owned() };
    for command in [
        update(None, vec![]),
        update(Some(1), vec![]),
        delete(None),
        rotate(2, 0),
        revoke(RevokeTarget::All),
        revoke(RevokeTarget::One(TOKEN)),
    ] {
        World::new(T0).when(command).then_rejected(&rejection);
    }
}

#[test]
fn an_update_replaces_description_and_grants_and_nothing_else() {
    for etag in [None, Some(1)] {
        let (app, event) = updated(|app| {
            app.description = "new".to_owned();
            app.grants = vec![viewer_of("shop")];
            app.update_time = T0.plus(Millis(5));
        });
        let command = update(etag, vec![viewer_of("shop")]);
        one_app().after(5).when(command).then_answers(&Reply::App(app), [event]);
    }
}

#[test]
fn whoever_read_an_older_app_changes_nothing() {
    let rejection = Rejection::EtagMismatch { what: "app", name: "pay".to_owned(), current: Revision(1) };
    for command in [update(Some(0), vec![]), update(Some(2), vec![]), delete(Some(0)), delete(Some(2))] {
        one_app().when(command).then_rejected(&rejection);
    }
}

#[test]
fn of_two_updates_with_one_etag_one_wins() {
    let rejection = Rejection::EtagMismatch { what: "app", name: "pay".to_owned(), current: Revision(2) };
    one_app().when(update(Some(1), vec![])).done().when(update(Some(1), vec![])).then_rejected(&rejection);
}

#[test]
fn an_app_with_jobs_cannot_be_deleted() {
    given(base()).when(delete(None)).then_rejected(&Rejection::AppNotEmpty { count: 1 });
}

#[test]
fn the_jobs_of_an_app_below_are_not_its_own() {
    let world = one_app().and([
        Event::AppCreated { app: Box::new(app_at("pay/eu", 2)) },
        Event::JobCreated { job: Box::new(job_at(&key_of("pay/eu", "settle"), spec(), 3)) },
    ]);
    world.when(delete(None)).then_answers(&Reply::Done, [Event::AppDeleted { app: pay() }]);
}

#[test]
fn a_deleted_app_may_be_made_again_with_another_secret() {
    let world = one_app().when(delete(Some(1))).then([Event::AppDeleted { app: pay() }]);
    let rejection = Rejection::NotFound { what: "app", name: "pay".to_owned() };
    let world = world.when(delete(None)).then_rejected(&rejection);
    let world = world.when(create("pay")).done().restarted();
    assert_eq!(app(&world).etag, Revision(3));
}

#[test]
fn a_rotated_secret_leaves_the_former_one_its_grace() {
    let at = T0.plus(Millis(5));
    let (app, event) = updated(|app| {
        app.update_time = at;
        app.secret = Secret { hash: [2; 32], create_time: at };
        app.former_secret = Some(FormerSecret { hash: [1; 32], expire_time: at.plus(Millis(1000)) });
    });
    let reply = Reply::AppSecret { app, key_id: "k1".to_owned() };
    one_app().after(5).when(rotate(2, 1000)).then_answers(&reply, [event]);
}

#[test]
fn without_grace_the_former_secret_is_gone_at_once() {
    let world = one_app().when(rotate(2, 0)).done();
    assert_eq!((app(&world).secret.hash, app(&world).former_secret), ([2; 32], None));
}

#[test]
fn only_one_former_secret_has_grace() {
    let world = one_app().when(rotate(2, 9000)).done().when(rotate(3, 1000)).done();
    let former = FormerSecret { hash: [2; 32], expire_time: T0.plus(Millis(1000)) };
    assert_eq!((app(&world).secret.hash, app(&world).former_secret), ([3; 32], Some(former)));
    let world = world.when(rotate(4, 0)).done();
    assert_eq!(app(&world).former_secret, None, "a rotation without grace ends that of all before");
}

#[test]
fn an_update_leaves_secrets_and_revocations_alone() {
    let world = one_app().when(rotate(2, 9000)).done().when(revoke(RevokeTarget::All)).done();
    let before = app(&world);
    let after = app(&world.when(update(None, vec![])).done());
    assert_eq!((after.secret, after.former_secret), (before.secret, before.former_secret));
    assert_eq!((after.tokens_revoked_until, after.create_time), (Some(T0), T0));
}

#[test]
fn all_tokens_are_revoked_by_time() {
    let (_, event) = updated(|app| {
        app.update_time = T0.plus(Millis(5));
        app.tokens_revoked_until = Some(T0.plus(Millis(5)));
    });
    one_app().after(5).when(revoke(RevokeTarget::All)).then_answers(&Reply::Done, [event]);
}

#[test]
fn one_token_is_revoked_until_it_must_have_ended_by_itself() {
    let expire_time = T0.plus(limits::TOKEN_LIFETIME_MAX);
    let world = one_app()
        .when(revoke(RevokeTarget::One(TOKEN)))
        .then_answers(&Reply::Done, [Event::TokenRevoked { app: pay(), token_id: TOKEN, expire_time }]);
    assert_eq!(app(&world).etag, Revision(1), "the app itself is as it was");
    let world = world.restarted().after(limits::TOKEN_LIFETIME_MAX.0 - 1).when_tick().then_nothing();
    assert!(world.state.revoked_tokens().contains_key(&TOKEN));
    let world = world.after(1).when_tick().then([Event::TokenForgotten { token_id: TOKEN }]);
    assert!(world.restarted().state.revoked_tokens().is_empty());
}

#[test]
fn a_token_that_is_revoked_twice_is_remembered_once_and_longer() {
    let one = || revoke(RevokeTarget::One(TOKEN));
    let world = one_app().when(one()).done().after(1000).when(one()).done();
    let until = T0.plus(limits::TOKEN_LIFETIME_MAX).plus(Millis(1000));
    assert_eq!(world.state.revoked_tokens().get(&TOKEN), Some(&until));
    let world = world.after(limits::TOKEN_LIFETIME_MAX.0 - 1).when_tick().then_nothing();
    world.after(1).when_tick().then([Event::TokenForgotten { token_id: TOKEN }]).when_tick().then_nothing();
}

#[test]
fn tokens_are_forgotten_each_at_its_time() {
    let other = TokenId([0x33; 16]);
    let world = one_app().when(revoke(RevokeTarget::One(TOKEN))).done().after(10);
    let world = world.when(revoke(RevokeTarget::One(other))).done().after(limits::TOKEN_LIFETIME_MAX.0 - 10);
    let world = world.when_tick().then([Event::TokenForgotten { token_id: TOKEN }]);
    world.after(10).when_tick().then([Event::TokenForgotten { token_id: other }]);
}

#[test]
fn the_first_app_is_made_once() {
    let bootstrap = |byte| SystemCommand::Bootstrap { hash: [byte; 32] };
    let world = World::new(T0).when_system(&bootstrap(1)).done();
    let system = world.state.app(&named("system")).expect("it was made").clone();
    assert_eq!((system.secret.hash, system.etag), ([1; 32], Revision(1)));
    world.when_system(&bootstrap(2)).then_nothing();
}
