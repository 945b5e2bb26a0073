//! What the audit log is told of a batch: each wish that took effect, now or earlier, and that there are lines of. Is made before
//! the envelopes go, and told when the batch is durable.

use super::{
    answer::{Answer, Disposition, Submitted},
    envelope::Envelope,
};
use crate::logs::audit::{Audit, Deed};

use semel_core::id::Timestamp;

/// What is told, and to which log, in the order in which it took effect.
pub(super) type Deeds = Vec<(Audit, Deed)>;

/// That of a batch of this time; `answers` has what became of each envelope.
pub(super) fn of(envelopes: &[Envelope], answers: &[Submitted], time: Timestamp) -> Deeds {
    envelopes.iter().zip(answers).filter_map(|(envelope, answer)| deed(envelope, answer.as_ref().ok()?, time)).collect()
}

fn deed(envelope: &Envelope, answer: &Answer, time: Timestamp) -> Option<(Audit, Deed)> {
    let audited = envelope.audited.as_deref()?;
    let deed = Deed {
        time,
        principal: envelope.principal.name.clone(),
        auth_method: audited.caller.auth_method,
        address: audited.caller.address,
        method: answer.method,
        app: envelope.app().clone(),
        request_id: envelope.request_id,
        is_replayed: answer.disposition == Disposition::Replayed,
        revision: answer.revision.0,
        execute_time: answer.execute_time,
        arrivals: answer.arrivals,
        is_recovered: false,
    };
    Some((audited.audit.clone(), deed))
}
