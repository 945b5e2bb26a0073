//! Connections are open files to the system, which lets a process have so many.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::ConnectionLimits;

/// Files that are left for everything else: the store, backups, connections to others.
const OTHERS: u64 = 128;

impl ConnectionLimits {
    /// As many as the system lets this process have, which is told to allow more if it may. Where the system refuses, the
    /// listener could only wait; and strangers would hold what there is.
    pub(super) fn within_open_files(self) -> Self {
        let wanted = (self.total as u64).saturating_add(OTHERS);
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let Some(allowed) = current.filter(|current| *current < wanted) else { return self };
        let raised = maximum.map_or(wanted, |maximum| wanted.min(maximum)).max(allowed);
        let done = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum });
        let allowed = if done.is_ok() { raised } else { allowed };
        if allowed >= wanted {
            return self;
        }
        let total = usize::try_from(allowed.saturating_sub(OTHERS).max(1)).unwrap_or(self.total);
        tracing::warn!(
            connections = total,
            wanted = self.total,
            open_files = allowed,
            "the system lets this process open fewer files than limits.connections needs; fewer connections are taken"
        );
        Self { total, ..self }
    }
}
