//! The queue in front of the engine: two lanes, one thread that takes from both. In the callers' lane stands what
//! [`super::admission`] let in. In the workers' lane stands what workers say, which goes first and is never refused: whoever
//! says it holds a place until the engine is done with it, and waits where none is free, so that its stream is read no further
//! and flow control holds the worker. So both lanes are bounded, and neither is bounded by its channel.
//!
//! A thread can sleep on one channel only, and the engine sleeps on the callers'. What comes into the other rings it there, if
//! it was not rung since it went to sleep last.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering, fence},
        mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{answer::Refused, message::Message};

/// Places in the workers' lane: 64 MiB of results and pieces of logs, or as many short words.
pub(super) const PLACES: usize = 16_384;
/// So many bytes need a place; what is shorter needs one too.
pub(super) const PLACE_BYTES: u64 = 4096;
/// Room in the callers' lane for what is no wish and no look: bells, and the word to stop.
const SPARE: usize = 64;

/// Makes a queue for so many messages of callers.
pub(super) fn queue(callers_max: usize) -> (Inlet, Outlet) {
    let (callers, from_callers) = mpsc::sync_channel(callers_max + SPARE);
    let (workers, from_workers) = mpsc::channel();
    let rung = Arc::new(AtomicBool::new(false));
    let places = Arc::new(Semaphore::new(PLACES));
    let inlet = Inlet { callers, workers, rung: rung.clone(), places: places.clone() };
    (inlet, Outlet { from_callers, from_workers, rung, places, held: None })
}

/// A place in the workers' lane. None for what every stream has one of at most.
type Place = Option<OwnedSemaphorePermit>;

/// Why something is not in the callers' lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    /// Bells have used up what is spare.
    Full,
    /// The engine has gone.
    Gone,
}

/// The end that is shared by all who say something.
pub(super) struct Inlet {
    callers: SyncSender<Message>,
    workers: Sender<(Message, Place)>,
    rung: Arc<AtomicBool>,
    places: Arc<Semaphore>,
}

impl Inlet {
    /// Hands in what a caller wants, which must have been let in.
    ///
    /// # Errors
    /// See [`Unsent`].
    pub(super) fn call(&self, message: Message) -> Result<(), Unsent> {
        self.callers.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => Unsent::Full,
            TrySendError::Disconnected(_) => Unsent::Gone,
        })
    }

    /// A place for something of a worker that carries so many bytes. Whoever asked first gets it first.
    ///
    /// # Errors
    /// [`Refused::NoOwner`] when the engine has gone.
    pub(super) async fn place(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Refused> {
        let wanted = u32::try_from(bytes / PLACE_BYTES + 1).unwrap_or(u32::MAX).min(PLACES as u32);
        self.places.clone().acquire_many_owned(wanted).await.map_err(|_| Refused::NoOwner)
    }

    /// How many places are taken.
    pub(super) fn places_taken(&self) -> usize {
        PLACES - self.places.available_permits()
    }

    /// Hands in what a worker says.
    ///
    /// # Errors
    /// [`Refused::NoOwner`] when the engine has gone.
    pub(super) fn tell(&self, message: Message, place: Place) -> Result<(), Refused> {
        self.workers.send((message, place)).map_err(|_| Refused::NoOwner)?;
        // The other half of the fence in `Outlet::sleep`: one of the two sees what the other did.
        fence(Ordering::SeqCst);
        if !self.rung.load(Ordering::Relaxed) && !self.rung.swap(true, Ordering::Relaxed) {
            // Where it is full the engine is awake.
            let _ = self.callers.try_send(Message::Poke);
        }
        Ok(())
    }
}

/// The engine's end.
pub(super) struct Outlet {
    from_callers: Receiver<Message>,
    from_workers: Receiver<(Message, Place)>,
    rung: Arc<AtomicBool>,
    places: Arc<Semaphore>,
    /// The places of what was taken.
    held: Place,
}

impl Outlet {
    /// What a worker has said, if there is something.
    pub(super) fn of_worker(&mut self) -> Option<Message> {
        let (message, place) = self.from_workers.try_recv().ok()?;
        match (&mut self.held, place) {
            (Some(held), Some(place)) => held.merge(place),
            (held, place @ Some(_)) => *held = place,
            (_, None) => {}
        }
        Some(message)
    }

    /// What a caller wants, if there is something.
    pub(super) fn of_caller(&mut self) -> Option<Message> {
        self.from_callers.try_recv().ok()
    }

    /// Done with all that was taken of workers: others may have its places.
    pub(super) fn release(&mut self) {
        self.held = None;
    }

    /// Sleeps until there is something.
    ///
    /// # Errors
    /// When nothing came in time, or nobody can say anything any more.
    pub(super) fn sleep(&mut self, time: Duration) -> Result<Message, RecvTimeoutError> {
        self.release();
        self.rung.store(false, Ordering::Relaxed);
        // Whoever says something from here on rings; what was said before is found now.
        fence(Ordering::SeqCst);
        match self.of_worker() {
            Some(message) => Ok(message),
            None => self.from_callers.recv_timeout(time),
        }
    }
}

impl Drop for Outlet {
    /// Whoever waits for a place waits for nothing.
    fn drop(&mut self) {
        self.places.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_poke(message: &Result<Message, RecvTimeoutError>) -> bool {
        matches!(message, Ok(Message::Poke))
    }

    #[test]
    fn who_sleeps_on_callers_is_woken_by_workers() {
        let (inlet, mut outlet) = queue(1);
        for _ in 0..100 {
            let (woken, told) = std::thread::scope(|scope| {
                let teller = scope.spawn(|| inlet.tell(Message::Stop, None));
                let woken = outlet.sleep(Duration::from_secs(60));
                (woken, teller.join().expect("no panic"))
            });
            told.expect("the engine is there");
            assert!(matches!(woken, Ok(Message::Stop)) || is_poke(&woken) && outlet.of_worker().is_some());
            while outlet.of_caller().is_some() {}
        }
    }

    #[test]
    fn it_is_rung_once_for_each_sleep() {
        let (inlet, mut outlet) = queue(1);
        (0..10).for_each(|_| inlet.tell(Message::Stop, None).expect("the engine is there"));
        let rung = std::iter::from_fn(|| outlet.of_caller()).count();
        assert_eq!((rung, std::iter::from_fn(|| outlet.of_worker()).count()), (1, 10));
    }

    #[tokio::test]
    async fn places_come_back_when_the_engine_is_done_and_waiting_ends_with_it() {
        let (inlet, mut outlet) = queue(1);
        let all = inlet.place(u64::MAX).await.expect("the engine is there");
        assert_eq!(inlet.places_taken(), PLACES);
        inlet.tell(Message::Stop, Some(all)).expect("the engine is there");
        let taken = outlet.of_worker();
        assert!(taken.is_some() && inlet.places_taken() == PLACES, "what was taken is not done");
        outlet.release();
        assert_eq!(inlet.places_taken(), 0);

        let held = inlet.place(u64::MAX).await.expect("the engine is there");
        let waiting = inlet.place(0);
        drop(outlet);
        assert_eq!(waiting.await.err(), Some(Refused::NoOwner));
        assert_eq!(inlet.tell(Message::Stop, Some(held)), Err(Refused::NoOwner));
        assert_eq!(inlet.call(Message::Stop), Err(Unsent::Gone));
    }
}
