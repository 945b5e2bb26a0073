//! A command and everything that it starts, as one process group: started together, ended together. This file owns that
//! nothing of the group outlives the attempt, however the attempt ends; it knows nothing of output and of results.
//!
//! # Why a process group
//! Killing the program alone leaves its children behind: a shell script's pipeline, a compiler's workers. Every process
//! of a group can be reached by one signal, without privileges and on every Unix. What it cannot reach is a process that
//! leaves the group on purpose (`setsid`); that would take control groups, which need rights that a worker should not
//! have. Nor does a worker that is itself killed with SIGKILL take its commands along: run it under a supervisor that
//! ends the whole unit.

use std::{
    collections::BTreeMap, future::Future, io, path::PathBuf, process::ExitStatus, process::Stdio, time::Duration,
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process_group, test_kill_process_group},
};
use tokio::process::{Child, Command};

/// How often a group that was told to end is looked at.
const POLL: Duration = Duration::from_millis(20);

/// What is to be started.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The program and its arguments. Not empty.
    pub(super) argv: Vec<String>,
    pub(super) folder: PathBuf,
    /// The whole environment.
    pub(super) environment: BTreeMap<String, String>,
    pub(super) stdin: Option<String>,
    /// How long the group may take to end after SIGTERM.
    pub(super) grace: Duration,
}

/// How a command came to its end.
#[derive(Debug)]
pub(super) enum Ended<S> {
    /// By itself.
    Exited(ExitStatus),
    /// It was stopped, for this reason.
    Stopped(S),
}

/// A running group. Dropping it kills what is left.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) child: Child,
    id: Pid,
    over: bool,
}

impl Group {
    /// Starts a command at the head of a group of its own.
    pub(super) fn spawn(plan: &Plan) -> io::Result<Self> {
        let [program, arguments @ ..] = plan.argv.as_slice() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program"));
        };
        let child = Command::new(program)
            .args(arguments)
            .current_dir(&plan.folder)
            .env_clear()
            .envs(&plan.environment)
            .stdin(if plan.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let id = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let id = id.ok_or_else(|| io::Error::other("the command has no process id"))?;
        Ok(Self { child, id, over: false })
    }

    /// Waits until the command ends or is to stop. Either way nothing of the group is left afterwards: what a command
    /// leaves running when it exits is not waited for, it is killed.
    pub(super) async fn live<S>(&mut self, stop: impl Future<Output = S>, grace: Duration) -> io::Result<Ended<S>> {
        let stop = tokio::select! {
            status = self.child.wait() => {
                let status = status?;
                // The head was reaped just now, in this very step: its number cannot be another's yet.
                self.signal(Signal::KILL);
                self.over = true;
                return Ok(Ended::Exited(status));
            }
            stop = stop => stop,
        };
        self.end(grace).await?;
        Ok(Ended::Stopped(stop))
    }

    /// Asks all of the group to end, and kills what is left when the time is over.
    async fn end(&mut self, grace: Duration) -> io::Result<()> {
        self.signal(Signal::TERM);
        let gone = tokio::time::timeout(grace, async {
            self.child.wait().await?;
            while self.is_alive() {
                tokio::time::sleep(POLL).await;
            }
            io::Result::Ok(())
        });
        if gone.await.is_err() {
            self.signal(Signal::KILL);
            self.child.wait().await?;
        }
        self.over = true;
        Ok(())
    }

    fn is_alive(&self) -> bool {
        test_kill_process_group(self.id) != Err(Errno::SRCH)
    }

    fn signal(&self, signal: Signal) {
        // It fails when nobody is left, which is what is wanted, or when the command took other rights upon itself, which
        // the operator allowed it to.
        if let Err(error) = kill_process_group(self.id, signal)
            && error != Errno::SRCH
        {
            tracing::warn!(group = self.id.as_raw_nonzero().get(), ?signal, %error, "cannot signal a command");
        }
    }
}

impl Drop for Group {
    /// The attempt was dropped. There is no time for grace: whoever holds the attempt now may begin at once.
    fn drop(&mut self) {
        if !self.over {
            self.signal(Signal::KILL);
        }
    }
}
