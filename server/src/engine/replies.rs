//! Answers on their way back to whoever waits for them.

use tokio::{runtime, sync::oneshot};

use super::{
    answer::Submitted,
    in_flight::{Guard, GuardOfAll},
};

/// From so many answers on they are sent from a task beside those who wait: sorting them out and waking each of them from
/// the engine's thread would cost that thread more than the answers did.
const RELAYED_MIN: usize = 8;

/// Who waits for an answer.
pub(super) enum Reply {
    /// A call.
    One(oneshot::Sender<Submitted>, Guard),
    /// A stream, for as many as the guard is for.
    Many(oneshot::Sender<Vec<Submitted>>, GuardOfAll),
}

/// Sends each its answers. There are as many as wishes were taken, in the same order.
pub(super) fn send(runtime: &runtime::Handle, replies: Vec<Reply>, answers: Vec<Submitted>) {
    if answers.len() < RELAYED_MIN {
        send_now(replies, answers);
    } else {
        runtime.spawn(async move { send_now(replies, answers) });
    }
}

fn send_now(replies: Vec<Reply>, answers: Vec<Submitted>) {
    let mut answers = answers.into_iter();
    for reply in replies {
        // The guards go first: whoever has the answer is not told that the call is under way.
        match reply {
            Reply::One(reply, guard) => {
                let answer = answers.next().expect("each wish has an answer");
                drop(guard);
                let _ = reply.send(answer);
            }
            Reply::Many(reply, guard) => {
                let answers = answers.by_ref().take(guard.len()).collect();
                drop(guard);
                let _ = reply.send(answers);
            }
        }
    }
}
