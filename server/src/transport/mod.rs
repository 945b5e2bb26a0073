//! gRPC: from messages to wishes and back. Translates and does not choose; the only part that knows tonic.
//!
//! ```text
//! HTTP/2 ─▶ judge (Verdict) ─▶ service ─▶ Gate::mutate ─▶ Envelope ─▶ engine
//!                                 └─────▶ Gate::read   ─▶ what is committed
//! ```
//!
//! Around all of it lies `web`, through which calls of gRPC-Web come in as calls of gRPC. The gate is the only way from a service to the engine, so each call's credentials, id, fields and deadline are looked
//! at in one place and in one order.

mod answers;
mod asker;
mod audit;
mod auth_layer;
mod call;
mod convert;
mod deadline;
mod direct;
mod gate;
mod held;
mod intake;
mod lines;
mod listen;
mod lists;
mod look;
mod native;
mod observe;
mod open;
mod page;
mod quota;
mod router;
mod serve;
mod services;
mod shares;
mod status;
mod tasks;
mod tls;
mod told;
mod trace;
mod turns;
mod unread;
mod watch;
mod web;
mod windows;

pub(crate) use self::{
    convert::job::settled,
    gate::{Gate, Settings, Stage},
    listen::Cap,
    observe::methods,
    router::{Door, DoorSettings, http2},
    status::reasons,
    tls::Reloaded,
};
pub use self::{
    listen::{ConnectionLimits, Connections},
    open::CALLS_MAX_DEFAULT,
    quota::{AppQuota, Quota, QuotaRules},
    tls::{ClientAuth, Error as TlsError, LOOK_EVERY, TlsFiles, check as check_tls},
    web::WebOrigin,
    windows::WINDOW_BYTES_MAX_DEFAULT,
};
