//! What goes into the engine: a wish with everything that must be known of it.

use std::sync::Arc;

use semel_core::{
    command::Command,
    id::{AppName, Millis, RequestId},
    policy::Principal,
    trace::TraceContext,
    window::{Fingerprint, Told},
};

use crate::{
    logs::audit::{Audit, Audited, Caller},
    store::DedupKey,
};

/// A command with who wishes it and under which id. There is no other way to hand a command to the engine.
#[derive(Clone, Debug)]
pub struct Envelope {
    pub(super) principal: Arc<Principal>,
    pub(super) request_id: RequestId,
    pub(super) fingerprint: Fingerprint,
    pub(super) command: Command,
    pub(super) told: Option<Told>,
    pub(super) trace: Option<Box<TraceContext>>,
    pub(super) deadline: Option<Millis>,
    pub(super) audited: Option<Box<Audited>>,
}

impl Envelope {
    /// All four are needed.
    pub fn new(
        principal: impl Into<Arc<Principal>>,
        request_id: RequestId,
        fingerprint: Fingerprint,
        command: Command,
    ) -> Self {
        Self {
            principal: principal.into(),
            request_id,
            fingerprint,
            command,
            told: None,
            trace: None,
            deadline: None,
            audited: None,
        }
    }

    /// What is known of its arrival: what it told of other tries, where it stands in a trace, and from when on, by the steady
    /// clock, nobody waits for it: if it has not begun by then, it does not begin.
    pub fn arrive(&mut self, told: Option<Told>, trace: Option<Box<TraceContext>>, deadline: Option<Millis>) {
        (self.told, self.trace, self.deadline) = (told, trace, deadline);
    }

    /// It is written into this log when it takes effect, with what is known of its caller, if there are lines of its kind there.
    pub fn audit(&mut self, audit: Option<&Audit>, caller: Caller) {
        let audit = audit.filter(|audit| audit.events().wants(self.command.method()));
        self.audited = audit.map(|audit| Box::new(Audited { audit: audit.clone(), caller }));
    }

    /// Under what it is remembered.
    pub fn key(&self) -> DedupKey {
        DedupKey { request_id: self.request_id, app: self.command.scope() }
    }

    /// Its id.
    pub fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// What is wished.
    pub fn command(&self) -> &Command {
        &self.command
    }

    /// The app that it is about.
    pub fn app(&self) -> &AppName {
        self.command.app()
    }
}
