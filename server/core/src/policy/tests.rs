//! Who may do what: each role with each method, written out.

use super::*;
use crate::{
    command::{Method, RevokeTarget},
    samples::{TOKEN, each_command, named, pay, secret},
};

const ROLES: [Role; 5] = [Role::Admin, Role::Operator, Role::Submitter, Role::Worker, Role::Viewer];

/// A line for each method: may the admin, the operator, the submitter, the worker, the viewer?
const TABLE: [(Method, [bool; 5]); 20] = [
    (Method::CreateApp, [true, false, false, false, false]),
    (Method::UpdateApp, [true, false, false, false, false]),
    (Method::DeleteApp, [true, false, false, false, false]),
    (Method::RotateAppSecret, [true, false, false, false, false]),
    (Method::RevokeToken, [true, false, false, false, false]),
    (Method::CreateJob, [true, true, false, false, false]),
    (Method::UpdateJob, [true, true, false, false, false]),
    (Method::DeleteJob, [true, true, false, false, false]),
    (Method::PauseJob, [true, true, false, false, false]),
    (Method::ResumeJob, [true, true, false, false, false]),
    (Method::RunJob, [true, true, true, false, false]),
    (Method::CancelRun, [true, true, true, false, false]),
    (Method::RetryRun, [true, true, false, false, false]),
    (Method::Report, [true, false, false, true, false]),
    (Method::Log, [true, false, false, true, false]),
    (Method::PauseTrigger, [true, true, false, false, false]),
    (Method::ResumeTrigger, [true, true, false, false, false]),
    (Method::FireTrigger, [true, true, true, false, false]),
    (Method::BackfillTrigger, [true, true, false, false, false]),
    (Method::CancelBackfill, [true, true, false, false, false]),
];

fn grant(role: Role, apps: &str) -> Grant {
    Grant { role, apps: AppPattern::parse(apps).expect("a good pattern") }
}

fn with(grants: &[(Role, &str)]) -> Principal {
    let grants = grants.iter().map(|(role, apps)| grant(*role, apps)).collect();
    Principal { name: "app:ops".into(), app: Some(named("ops")), grants }
}

fn forbidden(needs: Role, app: &str) -> Rejection {
    Rejection::Forbidden { principal: "app:ops".into(), needs, app: named(app) }
}

fn create(app: &str, grants: Vec<Grant>) -> Command {
    Command::CreateApp { app: named(app), description: String::new(), grants, secret: secret(1) }
}

fn update(app: &str, grants: Vec<Grant>) -> Command {
    Command::UpdateApp { app: named(app), etag: None, description: String::new(), grants }
}

#[test]
fn the_samples_are_one_of_each_method() {
    let methods: Vec<Method> = each_command("pay").iter().map(Command::method).collect();
    assert_eq!(methods, Method::ALL);
    assert_eq!(TABLE.map(|(method, _)| method), Method::ALL);
    assert!(each_command("pay").iter().all(|command| command.app() == &pay()));
}

#[test]
fn each_role_may_what_the_table_says() {
    for (command, (method, may)) in each_command("pay").iter().zip(TABLE) {
        for (role, may) in ROLES.into_iter().zip(may) {
            for apps in ["pay", "*"] {
                assert_eq!(permit(&with(&[(role, apps)]), command).is_ok(), may, "{role:?} on {apps}, {method:?}");
            }
        }
    }
}

#[test]
fn no_role_on_another_app_helps() {
    for command in each_command("pay") {
        for apps in ["shop", "pay/*", "pay/eu", "pa", "p/*"] {
            let grants = ROLES.map(|role| (role, apps));
            let refused = permit(&with(&grants), &command);
            assert!(matches!(refused, Err(Rejection::Forbidden { .. })), "{apps}, {:?}", command.method());
        }
    }
}

#[test]
fn a_refusal_says_what_is_needed_and_where() {
    let needs = each_command("pay").into_iter().map(|command| permit(&with(&[]), &command).expect_err("no grants"));
    let expected = Method::ALL.map(|method| match method {
        Method::CreateApp | Method::UpdateApp | Method::DeleteApp | Method::RotateAppSecret => Role::Admin,
        Method::RevokeToken => Role::Admin,
        Method::RunJob | Method::CancelRun | Method::FireTrigger => Role::Submitter,
        Method::Report | Method::Log => Role::Worker,
        _ => Role::Operator,
    });
    assert!(needs.eq(expected.map(|role| forbidden(role, "pay"))));
}

#[test]
fn an_app_may_on_itself_all_but_change_itself() {
    let own = crate::app::App::new(pay(), String::new(), Vec::new(), [1; 32], crate::samples::T0);
    let principal = Principal { name: "app:pay".into(), app: Some(pay()), grants: own.effective_grants() };
    for command in each_command("pay") {
        let about_apps = command.needs() == Role::Admin;
        assert_eq!(permit(&principal, &command).is_err(), about_apps, "{:?}", command.method());
    }
    for command in each_command("pay/eu").iter().chain(&each_command("shop")) {
        assert!(permit(&principal, command).is_err(), "{:?}", command.method());
    }
}

#[test]
fn tokens_of_others_are_their_admins() {
    let revoke = |target| Command::RevokeToken { app: pay(), target };
    for target in [RevokeTarget::All, RevokeTarget::One(TOKEN)] {
        let refused = permit(&with(&[(Role::Operator, "pay")]), &revoke(target));
        assert_eq!(refused, Err(forbidden(Role::Admin, "pay")));
        assert_eq!(permit(&with(&[(Role::Admin, "pay")]), &revoke(target)), Ok(()));
        let own = Principal { app: Some(pay()), ..with(&[(Role::Operator, "pay")]) };
        assert_eq!(permit(&own, &revoke(target)), Ok(()));
    }
    let anonymous = Principal::anonymous(vec![grant(Role::Operator, "*")]);
    assert!(permit(&anonymous, &revoke(RevokeTarget::All)).is_err());
}

#[test]
fn the_admin_of_a_prefix_cannot_make_the_admin_of_everything() {
    let admin = with(&[(Role::Admin, "pay/*")]);
    for make in [create, update] {
        assert_eq!(
            permit(&admin, &make("pay/eu", vec![grant(Role::Admin, "*")])),
            Err(forbidden(Role::Admin, "system"))
        );
        assert_eq!(
            permit(&admin, &make("pay/eu", vec![grant(Role::Viewer, "shop")])),
            Err(forbidden(Role::Viewer, "shop"))
        );
        assert_eq!(
            permit(&admin, &make("pay/eu", vec![grant(Role::Worker, "pay")])),
            Err(forbidden(Role::Worker, "pay"))
        );
        let own = vec![grant(Role::Admin, "pay/*"), grant(Role::Worker, "pay/eu/*"), grant(Role::Viewer, "pay/us")];
        assert_eq!(permit(&admin, &make("pay/eu", own)), Ok(()));
    }
}

#[test]
fn one_grant_too_many_refuses_all() {
    let admin = with(&[(Role::Admin, "pay/*")]);
    let grants = vec![grant(Role::Viewer, "pay/us"), grant(Role::Viewer, "shop/*")];
    assert_eq!(permit(&admin, &create("pay/eu", grants)), Err(forbidden(Role::Viewer, "shop")));
}

#[test]
fn what_one_has_elsewhere_one_may_lend() {
    let principal = with(&[(Role::Admin, "pay/*"), (Role::Operator, "shop")]);
    let lend = |role| permit(&principal, &create("pay/eu", vec![grant(role, "shop")]));
    assert_eq!((lend(Role::Viewer), lend(Role::Submitter), lend(Role::Operator)), (Ok(()), Ok(()), Ok(())));
    assert_eq!(lend(Role::Worker), Err(forbidden(Role::Worker, "shop")));
    assert_eq!(lend(Role::Admin), Err(forbidden(Role::Admin, "shop")));
}

#[test]
fn the_admin_of_everything_and_whoever_calls_without_authentication_may_all() {
    for principal in [with(&[(Role::Admin, "*")]), Principal::unrestricted()] {
        for command in each_command("pay") {
            assert_eq!(permit(&principal, &command), Ok(()));
        }
        assert_eq!(permit(&principal, &create("x", vec![grant(Role::Admin, "*")])), Ok(()));
    }
}

#[test]
fn roles_include_what_they_are_said_to() {
    let included = ROLES.map(|has| ROLES.map(|needs| includes(has, needs)));
    let expected = [
        [true, true, true, true, true],
        [false, true, true, false, true],
        [false, false, true, false, true],
        [false, false, false, true, false],
        [false, false, false, false, true],
    ];
    assert_eq!(included, expected);
}

#[test]
fn a_principal_without_grants_may_nothing() {
    for role in ROLES {
        assert!(Principal::anonymous(Vec::new()).require(role, &pay()).is_err());
    }
}

#[test]
fn requests_about_apps_are_remembered_under_system_and_others_under_their_app() {
    for command in each_command("pay") {
        let about_apps = command.needs() == Role::Admin;
        let scope = if about_apps { AppName::system() } else { pay() };
        assert_eq!(command.scope(), scope, "{:?}", command.method());
    }
}
