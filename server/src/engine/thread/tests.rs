//! What runs ahead of the disk is shown to nobody: the thread over a store whose writes end when the test says so.

use std::sync::{Condvar, Mutex, MutexGuard};

use semel_core::{
    app::NewSecret,
    command::Command,
    id::{AppName, RequestId, Revision, Timestamp},
    policy::Principal,
    window::Fingerprint,
};

use super::*;
use crate::{
    clock::ManualClock,
    engine::{Bounds, Disposition, PendingAll, Refused, Submitted},
    store::{Batch, Committed, Epoch, Fetched, Loaded, Memory, Reader, Wanted},
};

/// What the disk does with what was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    /// It is at it.
    Busy,
    /// It is done at once.
    Quick,
    /// It fails.
    Broken,
}

struct Switch {
    inner: Mutex<Inner>,
    changed: Condvar,
}

struct Inner {
    disk: Disk,
    /// How many batches were begun.
    begun: usize,
    /// The engine waits for the disk, and does nothing else.
    waits: bool,
}

impl Default for Switch {
    fn default() -> Self {
        Self { inner: Mutex::new(Inner { disk: Disk::Quick, begun: 0, waits: false }), changed: Condvar::new() }
    }
}

impl Switch {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panics with it")
    }

    fn set(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn wait_while(&self, condition: impl Fn(&Inner) -> bool) -> MutexGuard<'_, Inner> {
        self.changed.wait_while(self.lock(), |inner| condition(inner)).expect("no test panics with it")
    }
}

/// A store in memory that says late, or never, that what was begun is durable.
struct Slow {
    memory: Memory,
    switch: Arc<Switch>,
    begun: bool,
}

impl Store for Slow {
    fn load(&mut self) -> Result<Loaded, Error> {
        self.memory.load()
    }

    fn prefetch(&mut self, wanted: &Wanted) -> Result<Fetched, Error> {
        self.memory.prefetch(wanted)
    }

    fn commit(&mut self, epoch: Epoch, batch: &Batch<'_>) -> Result<Committed, Error> {
        assert!(!self.begun, "what was begun is settled before the next commit");
        self.memory.commit(epoch, batch)
    }

    fn begin(&mut self, epoch: Epoch, batch: &Batch<'_>) -> Result<Committed, Error> {
        let committed = self.commit(epoch, batch)?;
        self.begun = true;
        self.switch.set(|inner| inner.begun += 1);
        Ok(committed)
    }

    fn is_settled(&mut self) -> bool {
        !self.begun || self.switch.lock().disk != Disk::Busy
    }

    fn settle(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.begun) {
            self.switch.set(|inner| inner.waits = true);
            let mut inner = self.switch.wait_while(|inner| inner.disk == Disk::Busy);
            inner.waits = false;
            if inner.disk == Disk::Broken {
                return Err(Error::Injected("settle"));
            }
        }
        Ok(())
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.memory.reader()
    }
}

struct World {
    handle: Handle,
    switch: Arc<Switch>,
    memory: Memory,
    clock: ManualClock,
}

impl World {
    async fn new() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let (memory, switch) = (Memory::new(), Arc::new(Switch::default()));
        let clock = ManualClock::at(Timestamp(1_750_000_000_000));
        let store = Slow { memory: memory.reopen(), switch: switch.clone(), begun: false };
        let opened = start(Box::new(store), options, Clock::Manual(clock.clone()), 1, None, None, None).await;
        Self { handle: opened.expect("it starts").0, switch, memory, clock }
    }

    /// The making of an app, under an id of the same number.
    fn wish(&self, number: usize) -> Envelope {
        let mut id = [0; 16];
        id[..6].copy_from_slice(&Clock::Manual(self.clock.clone()).now().wall.0.to_be_bytes()[2..]);
        id[6] = 0x70;
        id[8..].copy_from_slice(&(number as u64 | 1 << 63).to_be_bytes());
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        let command = Command::CreateApp {
            app: AppName::parse(&format!("app-{number}")).expect("a name"),
            description: String::new(),
            grants: Vec::new(),
            secret: NewSecret { hash, key_id: "k".to_owned() },
        };
        let fingerprint = Fingerprint { version: 1, digest: [0; 16], leaves: Vec::new() };
        Envelope::new(Principal::unrestricted(), RequestId(id), fingerprint, command)
    }

    /// A batch that is full, and more behind it: the first is begun, the rest waits for it. Gives the answers to come.
    async fn overload(&self) -> (PendingAll, PendingAll) {
        let leave = self.occupy().await;
        let first = self.handle.enqueue_all((0..BATCH_MAX).map(|number| self.wish(number)).collect());
        let second = self.handle.enqueue_all((0..=BATCH_MAX).map(|number| self.wish(number)).collect());
        leave.send(()).expect("the engine waits");
        (first.expect("there is room"), second.expect("there is room"))
    }

    /// Keeps the engine in a look, until it is told to leave: everything gathers behind it meanwhile.
    async fn occupy(&self) -> std::sync::mpsc::Sender<()> {
        let (entered, inside) = oneshot::channel();
        let (leave, left) = std::sync::mpsc::channel::<()>();
        let handle = self.handle.clone();
        tokio::spawn(async move {
            let look = move |_: &View<'_>| {
                let _ = entered.send(());
                let _ = left.recv();
            };
            handle.read(look).await
        });
        inside.await.expect("the engine looks");
        leave
    }

    /// Until the engine has begun a batch, has decided the next one, and can do nothing more.
    async fn until_it_waits(&self) {
        let switch = self.switch.clone();
        tokio::task::spawn_blocking(move || drop(switch.wait_while(|inner| !inner.waits))).await.expect("no panic");
        assert_eq!(self.switch.lock().begun, 1);
    }
}

fn dispositions(answers: &[Submitted]) -> (usize, usize) {
    let of = |disposition| {
        let same = |answer: &&Submitted| answer.as_ref().is_ok_and(|answer| answer.disposition == disposition);
        answers.iter().filter(same).count()
    };
    (of(Disposition::Executed), of(Disposition::Replayed))
}

#[tokio::test]
async fn nothing_is_answered_or_shown_before_it_is_durable() {
    let world = World::new().await;
    world.switch.set(|inner| inner.disk = Disk::Busy);
    let revision = world.handle.committed();
    let (mut first, second) = world.overload().await;
    let handle = world.handle.clone();
    let mut look = tokio::spawn(async move { handle.read(|view| view.engine.revision()).await });
    world.until_it_waits().await;
    tokio::select! {
        biased;
        _ = &mut first => panic!("an answer left before its batch was durable"),
        _ = &mut look => panic!("the state was shown before it was durable"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(world.handle.committed(), revision, "nobody is told of a position that is not durable");

    world.switch.set(|inner| inner.disk = Disk::Quick);
    let first = first.await.expect("answers");
    assert_eq!(dispositions(&first), (BATCH_MAX, 0));
    let second = second.await.expect("answers");
    assert_eq!(dispositions(&second), (1, BATCH_MAX), "what was decided ahead saw what was begun");
    let shown = look.await.expect("no panic").expect("the look");
    assert_eq!(shown, world.handle.committed());
}

#[tokio::test]
async fn a_write_that_fails_takes_what_was_decided_after_it_along() {
    let world = World::new().await;
    world.switch.set(|inner| inner.disk = Disk::Busy);
    let (first, second) = world.overload().await;
    world.until_it_waits().await;
    world.switch.set(|inner| inner.disk = Disk::Broken);
    assert_eq!(first.await.map(|answers| answers.len()), None);
    assert_eq!(second.await.map(|answers| answers.len()), None);
    assert!(matches!(world.handle.stopped().await, Stopped::Failed(_)));

    // The next engine finds what came to the disk all the same, and answers with it.
    let clock = Clock::Manual(world.clock.clone());
    let store = Slow { memory: world.memory.reopen(), switch: Arc::default(), begun: false };
    let (handle, _) = start(Box::new(store), Options::default(), clock, 1, None, None, None).await.expect("it starts");
    let again = handle.enqueue_all((0..=BATCH_MAX).map(|number| world.wish(number)).collect()).expect("there is room");
    assert_eq!(dispositions(&again.await.expect("answers")), (1, BATCH_MAX));
    assert_eq!(world.switch.lock().begun, 1);
}

#[tokio::test]
async fn what_workers_report_goes_before_all_that_waits_and_is_never_refused() {
    let bounds = Bounds { queue_max: 4, ..Bounds::default() };
    let world = World::with(Options { bounds, ..Options::default() }).await;
    let leave = world.occupy().await;
    let wishes: Vec<_> =
        (0..4).map(|number| world.handle.enqueue(world.wish(number)).expect("there is room")).collect();
    let refused = world.handle.enqueue(world.wish(4)).err();
    assert!(matches!(refused, Some(Refused::Overloaded { .. })), "{refused:?}");
    let refused = world.handle.read(|_| ()).await;
    assert!(matches!(refused, Err(Refused::Overloaded { .. })), "{refused:?}");
    let mut reports = Vec::new();
    for number in 10..110 {
        reports.push(world.handle.enqueue_report(world.wish(number)).await.expect("it is taken"));
    }
    let load = world.handle.load();
    assert_eq!((load.waiting, load.worker_places, load.refused_wishes, load.refused_looks), (4, 100, 1, 1));
    // And what is there when the server stops is done.
    let handle = world.handle.clone();
    leave.send(()).expect("the engine waits");
    assert!(matches!(handle.stop().await, Stopped::Asked));
    let mut last = Revision(0);
    for report in reports {
        let revision = report.await.expect("it takes effect").revision;
        assert!(revision > last, "in their order");
        last = revision;
    }
    for wish in wishes {
        assert!(wish.await.expect("it takes effect").revision > last, "callers come after workers");
    }
    let load = world.handle.load();
    assert_eq!((load.waiting, load.waiting_bytes, load.looks, load.worker_places), (0, 0, 0, 0));
}

#[tokio::test]
async fn a_flood_of_reports_leaves_room_for_callers_in_every_batch() {
    let world = World::new().await;
    let leave = world.occupy().await;
    let mut reports = Vec::new();
    for number in 0..2 * BATCH_MAX {
        reports.push(world.handle.enqueue_report(world.wish(number)).await.expect("it is taken"));
    }
    let wish = world.handle.enqueue(world.wish(2 * BATCH_MAX)).expect("there is room");
    leave.send(()).expect("the engine waits");
    let revision = wish.await.expect("it takes effect").revision;
    let last = reports.pop().expect("there are some").await.expect("it takes effect").revision;
    assert!(revision < last, "the caller did not wait for all of them");
}
