//! Whoever calls, for what lies around the services: where a call must be refused before its service has seen it, or instead of
//! what its service would say.

use std::sync::Arc;

use tonic::Status;

use super::{gate::Gate, status::Refusal};
use crate::{auth::Verdict, observe::Slot};

/// See the module.
pub(super) struct Asker {
    pub(super) gate: Arc<Gate>,
    pub(super) verdict: Verdict,
    /// Where is told what is found out about the call.
    pub(super) slot: Slot,
}

impl Asker {
    /// The end of the call; its request id, as far as it is known.
    pub(super) fn refuse(&self, refusal: Refusal, request_id: &str) -> Status {
        refusal.tell(&self.slot);
        self.slot.tell(|facts| {
            facts.verdict.get_or_insert_with(|| self.verdict.clone());
        });
        refusal.into_status(self.gate.basis(request_id, None, &self.verdict).header())
    }
}
