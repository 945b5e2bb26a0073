//! What a command answers. Kept with the request id, so that a replay gives the same answer; holds no secret.

use minicbor::{Decode, Encode};

use crate::{
    app::App,
    id::{RunId, Timestamp},
    job::Job,
    run::Phase,
    trigger::Effect,
};

/// The answer to a command that took effect.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Reply {
    /// Done; there is nothing to say.
    #[n(0)]
    Done,
    /// An app, as it is now.
    #[n(1)]
    App(#[n(0)] App),
    /// An app with a new secret, which is derived from the request id with this key of the key ring (promise D12).
    #[n(2)]
    AppSecret {
        /// The app, as it is now.
        #[n(0)]
        app: App,
        /// Names the key.
        #[n(1)]
        key_id: String,
    },
    /// A job, as it is now.
    #[n(3)]
    Job(#[n(0)] Job),
    /// The run that a `RunJob` made or found.
    #[n(4)]
    Run {
        /// Which.
        #[n(0)]
        run_id: RunId,
        /// Its state.
        #[n(1)]
        phase: Phase,
        /// Whether it was there already, under the same business key.
        #[n(2)]
        existing: bool,
        /// When it was created.
        #[n(3)]
        create_time: Timestamp,
    },
    /// The state that a run has now.
    #[n(5)]
    RunPhase(#[n(0)] Phase),
    /// The run that goes on after a `RetryRun`.
    #[n(6)]
    Retried {
        /// Which.
        #[n(0)]
        run_id: RunId,
        /// Whether it is a new one.
        #[n(1)]
        created: bool,
        /// Its state.
        #[n(2)]
        phase: Phase,
    },
    /// What became of a trigger that was fired by hand.
    #[n(7)]
    TriggerFired(#[n(0)] Effect),
    /// How many times a backfill has.
    #[n(8)]
    Backfill(#[n(0)] u64),
}

impl Reply {
    /// The run that was made, found or taken up again.
    pub fn run_id(&self) -> Option<RunId> {
        match self {
            Self::Run { run_id, .. } | Self::Retried { run_id, .. } | Self::TriggerFired(Effect::Run(run_id)) => {
                Some(*run_id)
            }
            _ => None,
        }
    }
}
