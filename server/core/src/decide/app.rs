//! Apps and their credentials.

use super::Decision;
use crate::{
    app::{App, Grant, NewSecret},
    command::{RevokeTarget, Stamp},
    event::Event,
    id::{AppName, Millis, Revision},
    limits,
    rejection::Rejection,
    reply::Reply,
    state::State,
};

pub(super) fn create(
    state: &State,
    stamp: Stamp,
    name: &AppName,
    description: &str,
    grants: &[Grant],
    secret: &NewSecret,
) -> Decision {
    if state.app(name).is_some() {
        return Err(Rejection::AlreadyExists { what: "app", name: name.to_string() });
    }
    let mut app = App::new(name.clone(), description.to_owned(), grants.to_vec(), secret.hash, stamp.now);
    app.etag = stamp.revision;
    let reply = Reply::AppSecret { app: app.clone(), key_id: secret.key_id.clone() };
    Ok((vec![Event::AppCreated { app: Box::new(app) }], reply))
}

pub(super) fn update(
    state: &State,
    stamp: Stamp,
    name: &AppName,
    etag: Option<Revision>,
    description: &str,
    grants: &[Grant],
) -> Decision {
    let mut app = find(state, name, etag)?.clone();
    description.clone_into(&mut app.description);
    app.grants = grants.to_vec();
    touch(&mut app, stamp);
    Ok((vec![Event::AppUpdated { app: Box::new(app.clone()) }], Reply::App(app)))
}

pub(super) fn delete(state: &State, name: &AppName, etag: Option<Revision>) -> Decision {
    find(state, name, etag)?;
    let count = state.jobs_of(name).count() as u64;
    if count > 0 {
        return Err(Rejection::AppNotEmpty { count });
    }
    Ok((vec![Event::AppDeleted { app: name.clone() }], Reply::Done))
}

pub(super) fn rotate_secret(
    state: &State,
    stamp: Stamp,
    name: &AppName,
    grace: Millis,
    secret: &NewSecret,
) -> Decision {
    let mut app = find(state, name, None)?.clone();
    app.rotate_secret(secret.hash, grace, stamp.now);
    touch(&mut app, stamp);
    let reply = Reply::AppSecret { app: app.clone(), key_id: secret.key_id.clone() };
    Ok((vec![Event::AppUpdated { app: Box::new(app) }], reply))
}

pub(super) fn revoke_token(state: &State, stamp: Stamp, name: &AppName, target: RevokeTarget) -> Decision {
    let mut app = find(state, name, None)?.clone();
    let event = match target {
        RevokeTarget::One(token_id) => {
            let expire_time = stamp.now.plus(limits::TOKEN_LIFETIME_MAX);
            Event::TokenRevoked { app: name.clone(), token_id, expire_time }
        }
        RevokeTarget::All => {
            app.tokens_revoked_until = Some(stamp.now);
            touch(&mut app, stamp);
            Event::AppUpdated { app: Box::new(app) }
        }
    };
    Ok((vec![event], Reply::Done))
}

fn touch(app: &mut App, stamp: Stamp) {
    app.etag = stamp.revision;
    app.update_time = stamp.now;
}

fn find<'a>(state: &'a State, name: &AppName, etag: Option<Revision>) -> Result<&'a App, Rejection> {
    let app = state.app(name).ok_or_else(|| Rejection::NotFound { what: "app", name: name.to_string() })?;
    match etag {
        Some(etag) if etag != app.etag => {
            Err(Rejection::EtagMismatch { what: "app", name: name.to_string(), current: app.etag })
        }
        _ => Ok(app),
    }
}
