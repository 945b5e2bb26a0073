//! What one app may ask for, so that its neighbours get theirs: changes a second, and calls under way. Judged before the engine
//! is asked, so a refusal costs nothing and records nothing. Only apps that there are have a meter: names that somebody makes
//! up cost no memory. Workers' reports are not counted, and neither is the app `system`, whose admin must get through.
//!
//! A call that comes again under its id counts as any other: whether it is a replay is known only to the engine, and asking
//! that is what the quota is there to bound. What is refused is given back, be it for want of quota or of room.

mod meter;
mod rules;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use foldhash::HashMap;
use semel_core::{
    command::Command,
    id::{AppName, Millis},
    policy::{self, Principal},
    rejection::Rejection,
};

use self::meter::Meter;
pub use self::rules::{AppQuota, Quota, QuotaRules};
use super::{gate::Gate, status::Refusal};

/// See the module.
pub(super) struct Quotas {
    rules: QuotaRules,
    /// Whether any app has a bound of its changes, and of its calls: looked at before anything else.
    bound: (bool, bool),
    meters: ArcSwap<HashMap<AppName, Arc<Meter>>>,
    /// Held while meters are made.
    making: Mutex<()>,
}

impl Quotas {
    pub(super) fn new(rules: QuotaRules) -> Self {
        let bound = (rules.bound_changes(), rules.bound_calls());
        Self { rules, bound, meters: ArcSwap::default(), making: Mutex::new(()) }
    }
}

/// What was taken from a quota for one change. It stays taken unless it is given back.
#[derive(Debug, Default)]
pub(super) struct Charge(Option<Arc<Meter>>);

impl Charge {
    /// Whether anything was taken at all.
    pub(super) fn is_real(&self) -> bool {
        self.0.is_some()
    }

    /// The change was not taken in.
    pub(super) fn give_back(self) {
        if let Some(meter) = &self.0 {
            meter.give_back();
        }
    }
}

/// A call that is under way.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Option<Arc<Meter>>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(meter) = &self.0 {
            meter.leave();
        }
    }
}

impl Gate {
    /// Takes one change from the quota of the app that it is for.
    ///
    /// # Errors
    /// `QUOTA_EXCEEDED`, with when there is some again.
    pub(super) fn charge(&self, principal: &Principal, command: &Command) -> Result<Charge, Refusal> {
        let Quotas { bound: (true, _), .. } = self.quotas else { return Ok(Charge::default()) };
        let Some((app, meter)) = payer(principal, command).and_then(|app| Some((app, self.meter(app)?))) else {
            return Ok(Charge::default());
        };
        match meter.take(self.settings.clock.steady()) {
            Ok(()) => Ok(Charge(Some(meter))),
            Err(wait) => Err(exceeded(app, "changes a second", meter.quota().mutations_per_second, wait)),
        }
    }

    /// Counts a call that looks at an app, which its caller has a right to, as long as the answer lives.
    ///
    /// # Errors
    /// `QUOTA_EXCEEDED`.
    pub(super) fn enter(&self, app: &AppName) -> Result<UnderWay, Refusal> {
        let Quotas { bound: (_, true), .. } = self.quotas else { return Ok(UnderWay::default()) };
        let Some(meter) = self.meter(app) else { return Ok(UnderWay::default()) };
        match meter.enter() {
            Ok(()) => Ok(UnderWay(Some(meter))),
            Err(wait) => Err(exceeded(app, "calls under way", meter.quota().calls_max, wait)),
        }
    }

    /// The same for one that changes something.
    ///
    /// # Errors
    /// `QUOTA_EXCEEDED`.
    pub(super) fn enter_to_change(&self, principal: &Principal, command: &Command) -> Result<UnderWay, Refusal> {
        let Quotas { bound: (_, true), .. } = self.quotas else { return Ok(UnderWay::default()) };
        payer(principal, command).map_or_else(|| Ok(UnderWay::default()), |app| self.enter(app))
    }

    /// The meter of an app; none for `system`, and for what is no app.
    fn meter(&self, app: &AppName) -> Option<Arc<Meter>> {
        if *app == AppName::system() {
            return None;
        }
        if let Some(meter) = self.quotas.meters.load().get(app) {
            return Some(meter.clone());
        }
        self.directory()?.app(app)?;
        self.make_meters();
        self.quotas.meters.load().get(app).cloned()
    }

    /// One meter for each app that there is, and no other. Those that are there stay as they are.
    fn make_meters(&self) {
        let _making = self.quotas.making.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(directory) = self.directory() else { return };
        let former = self.quotas.meters.load();
        let meter =
            |app: &AppName| former.get(app).cloned().unwrap_or_else(|| Arc::new(Meter::new(self.quotas.rules.of(app))));
        let meters = directory.names().map(|app| (app.clone(), meter(app))).collect();
        self.quotas.meters.store(Arc::new(meters));
    }
}

/// Whose quota a change is taken from: that of the app which it changes, where the caller has the right to; nobody may use up
/// what is another's. Otherwise, and for what is administration, the caller's own.
fn payer<'a>(principal: &'a Principal, command: &'a Command) -> Option<&'a AppName> {
    let is_own = command.scope() == *command.app() && policy::permit(principal, command).is_ok();
    if is_own { Some(command.app()) } else { principal.app.as_ref() }
}

fn exceeded(app: &AppName, what: &'static str, limit: u64, wait: Millis) -> Refusal {
    let rejection = Rejection::QuotaExceeded { app: app.clone(), what, limit };
    Refusal::of_rejection(rejection, |_| "").after(wait)
}
