//! The logs of a server beside that for people: opened before anybody is served, told where the store stands, closed last.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time};
use tracing::{info, warn};

use super::{Data, Error, Settings};
use crate::{
    engine::Handle,
    hangup::Hangup,
    logs::{
        access::Access,
        audit::{self, Audit, Before},
    },
    observe::Observer,
    transport,
};

/// How long the end of a server waits for its logs to be written.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// How often it is looked whether the log of events has gone on so far that the audit log should say that it has everything.
const MARK_LOOK: Duration = Duration::from_secs(5);
/// So far: what a start after a crash has to look through is not much more.
const MARK_EVERY: u64 = 1 << 17;

/// See the module.
pub(super) struct Logs {
    access: Option<Access>,
    audit: Option<Audit>,
    /// Where the audit log had ended; taken when what is missing there was written.
    before: Option<Before>,
    tasks: Vec<JoinHandle<()>>,
}

impl Logs {
    /// Opens what is wanted.
    pub(super) fn open(settings: &Settings) -> Result<Self, Error> {
        let open = |target| Access::open(target, settings.clock.clone(), transport::methods());
        let access = settings.access_log.as_ref().map(open).transpose()?;
        let audit = match &settings.data {
            Data::Directory { path, .. } => open_audit(path, settings)?,
            // What is in memory has no place for it.
            Data::Memory(_) => None,
        };
        let (audit, before) = audit.unzip();
        let tasks = access.clone().map(|access| tokio::spawn(reopen(access, Hangup::new()))).into_iter().collect();
        Ok(Self { access, audit, before, tasks })
    }

    pub(super) fn audit(&self) -> Option<&Audit> {
        self.audit.as_ref()
    }

    /// Who is told of each call, if anybody is.
    pub(super) fn observer(&self) -> Option<Arc<dyn Observer>> {
        self.access.clone().map(|access| Arc::new(access) as Arc<dyn Observer>)
    }

    /// The store is loaded: writes what a killed server has not written, and goes on from there. Nobody is served meanwhile.
    pub(super) async fn begin(&mut self, engine: &Handle) -> Result<(), Error> {
        let Some((audit, before)) = self.audit.clone().zip(self.before.take()) else { return Ok(()) };
        let (reader, committed) = (engine.reader().clone(), engine.committed());
        let told = audit.clone();
        let recover = move || audit::recover(&told, &before, &*reader, committed);
        let recovered = tokio::task::spawn_blocking(recover).await.unwrap_or(Ok(0))?;
        if recovered > 0 {
            info!(
                recovered,
                "the audit log was completed from the store: the server had been killed before it wrote them"
            );
        }
        self.tasks.push(tokio::spawn(mark(audit, engine.clone())));
        Ok(())
    }

    /// Writes all that is to be written. The engine has ended.
    pub(super) async fn close(self, engine: &Handle) {
        for task in &self.tasks {
            task.abort();
        }
        let mut is_whole = true;
        if let Some(audit) = &self.audit {
            is_whole &= audit.close(engine.committed().0, CLOSE_MAX).await;
        }
        if let Some(access) = &self.access {
            is_whole &= access.close(CLOSE_MAX).await;
        }
        if !is_whole {
            warn!("the logs could not be written to their end in time; what took effect is in the store");
        }
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn open_audit(data_dir: &Path, settings: &Settings) -> Result<Option<(Audit, Before)>, Error> {
    Ok(Audit::open(&data_dir.join(audit::FOLDER), &settings.audit, settings.clock.clone())?)
}

/// Opens the access log anew whenever an operator says that it was moved away.
async fn reopen(access: Access, mut hangup: Hangup) {
    loop {
        hangup.next().await;
        access.reopen();
    }
}

/// Says from time to time that nothing is missing in the audit log, also where nothing happens that it tells of.
async fn mark(audit: Audit, engine: Handle) {
    let mut marked = engine.committed().0;
    loop {
        time::sleep(MARK_LOOK).await;
        // All that took effect up to there was told before anybody could know that the log of events is so far.
        let committed = engine.committed().0;
        if committed - marked >= MARK_EVERY {
            audit.mark(committed);
            marked = committed;
        }
    }
}
