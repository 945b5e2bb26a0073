//! Keeps the shared stream: opens it when there is something to send, and says what becomes of whatever waits for it
//! when it is not to be had. What goes over an open stream is the session's.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use semel_proto::v1::ClientInfo;
use tokio::sync::mpsc;
use tonic::Code;

use super::{
    pipe::{Fate, Item, OFF_MAX, State},
    session::{Ended, Session},
};
use crate::{
    refusal::{Origin, Refusal},
    retry::{self, Class},
    transport::Transport,
};

/// How long calls do without a stream of a server that does not know the method.
const OFF_UNKNOWN: Duration = Duration::from_secs(300);

/// See the module.
pub(super) struct Driver {
    pub(super) transport: Arc<Transport>,
    pub(super) client_info: ClientInfo,
    pub(super) stall: Duration,
    pub(super) state: Arc<State>,
    pub(super) items: mpsc::Receiver<Item>,
}

impl Driver {
    /// Runs until nobody is left who could send anything.
    pub(super) async fn run(mut self) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                match self.items.recv().await {
                    Some(item) => waiting.push_back(item),
                    None => return,
                }
            }
            let signature = waiting.front().map(|item| item.signature.clone()).expect("something waits");
            match Session::open(&self.transport, &self.client_info, &signature, self.stall).await {
                Ok(mut session) => {
                    let ended = session.live(&self.transport, &self.state, &mut self.items, &mut waiting).await;
                    if !self.settle(session, ended, &mut waiting) {
                        return;
                    }
                }
                Err(refusal) => {
                    tracing::debug!(code = ?refusal.code, message = refusal.message, "the stream for runs did not open");
                    let fate = self.fate(&refusal, false);
                    self.take_all(&mut waiting);
                    for item in waiting.drain(..) {
                        // Whoever holds a fresher token than the one that was refused has nothing to do with it.
                        let is_older = item.signature.generation <= signature.generation;
                        let _ = item.ticket.send(if is_older { fate.clone() } else { Fate::NotHad });
                    }
                }
            }
        }
    }

    /// Tells those without an answer what to do, after a stream has ended. False if nobody is left.
    fn settle(&mut self, session: Session, ended: Ended, waiting: &mut VecDeque<Item>) -> bool {
        let has_served = session.has_served();
        if has_served && session.age() >= OFF_MAX {
            self.state.forgive();
        }
        let fate = match ended {
            Ended::Left => return false,
            Ended::Idle => return true,
            Ended::Refused(refusal) => {
                tracing::debug!(code = ?refusal.code, message = refusal.message, "the stream for runs has ended");
                self.fate(&refusal, has_served)
            }
            Ended::Broken(why) => {
                tracing::warn!(why, "the stream for runs is broken; calls go on one by one");
                self.state.switch_off();
                self.take_all(waiting);
                waiting.drain(..).for_each(|item| drop(item.ticket.send(Fate::NotHad)));
                Fate::NotHad
            }
        };
        if !has_served {
            // The next stream would fare no better at once.
            waiting.drain(..).for_each(|item| drop(item.ticket.send(fate.clone())));
        }
        session.into_tickets().for_each(|ticket| drop(ticket.send(fate.clone())));
        true
    }

    /// What a refusal of the stream means for its items. Credentials and what may pass are theirs as well; anything else
    /// is about the stream alone, and each of them learns by a call of its own how it stands itself.
    fn fate(&self, refusal: &Refusal, has_served: bool) -> Fate {
        match retry::classify(refusal) {
            Class::Credentials => return Fate::Refused(Box::new(refusal.clone())),
            Class::Passing(_) if has_served || matches!(refusal.origin, Origin::Server | Origin::NotSent) => {
                return Fate::Refused(Box::new(refusal.clone()));
            }
            _ if refusal.code == Code::Unimplemented => self.state.switch_off_for(OFF_UNKNOWN),
            _ => self.state.switch_off(),
        }
        Fate::NotHad
    }

    fn take_all(&mut self, waiting: &mut VecDeque<Item>) {
        while let Ok(item) = self.items.try_recv() {
            waiting.push_back(item);
        }
    }
}
