//! Lists that are read from the store: how many at a time, and how long the next one waits. They are the first to go when the
//! server has too much to do, since they cost most and take nothing back when they are asked for again.

use std::time::Duration;

use tokio::{sync::Semaphore, task, time};

use super::{
    gate::{self, Gate},
    status::Refusal,
};
use crate::store::{Error, Reader};

/// Lists that are read at a time. Each holds a thread while it looks through rows; more would only crowd out commits.
const AT_ONCE: usize = 16;
/// Lists that are read or wait for it.
const WAITING_MAX: usize = 256;
/// How long one waits for the others.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Lists {
    line: Semaphore,
    places: std::sync::Arc<Semaphore>,
}

impl Default for Lists {
    fn default() -> Self {
        Self { line: Semaphore::new(WAITING_MAX), places: std::sync::Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Gate {
    /// Reads a list from the store, on a thread that serves nobody else. The reading goes on to its end if the caller leaves,
    /// and keeps its place until then.
    ///
    /// # Errors
    /// `OVERLOADED` when the engine has much to do, or others read for too long; and what the store says.
    pub(super) async fn list<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Reader) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Refusal> {
        let engine = self.engine()?;
        engine.admit_list().map_err(gate::refused)?;
        let shed = || gate::refused(engine.shed_list());
        let _line = self.lists.line.try_acquire().map_err(|_| shed())?;
        let place = time::timeout(WAIT_MAX, self.lists.places.clone().acquire_owned()).await;
        let place = place.map_err(|_| shed())?.map_err(|_| shed())?;
        let reader = engine.reader().clone();
        let read = task::spawn_blocking(move || {
            let read = read(&*reader);
            drop((place, reader));
            read
        });
        let read = read.await.map_err(|error| Refusal::internal(&error))?;
        read.map_err(|error| Refusal::internal(&error))
    }
}
