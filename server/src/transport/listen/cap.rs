//! How many connections there may be: in all, and from one address. Owns the count.
//!
//! An address of IPv6 is counted by its network of 64 bits, which is what one host has.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::sync::oneshot;

/// How many connections are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In all. Default 4096.
    pub total: usize,
    /// From one address. Default 1024: behind a gateway many callers have one.
    pub per_address: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { total: 4096, per_address: 1024 }
    }
}

/// What became of connections, since the start of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Open now.
    pub open: usize,
    /// Closed at once, because there were too many in all.
    pub refused_total: u64,
    /// Closed at once, because there were too many from their address.
    pub refused_address: u64,
    /// Strangers that gave way to others.
    pub evicted: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Cap {
    limits: ConnectionLimits,
    held: Mutex<Held>,
    open: AtomicUsize,
    refused_total: AtomicU64,
    refused_address: AtomicU64,
    evicted: AtomicU64,
}

#[derive(Debug, Default)]
struct Held {
    by_address: HashMap<IpAddr, usize>,
    /// In the order of their coming. Some of them have gone or are strangers no more.
    strangers: VecDeque<Stranger>,
}

#[derive(Debug)]
struct Stranger {
    address: IpAddr,
    standing: Arc<Standing>,
    hook: Hook,
}

/// By which a connection is ended from outside, as long as it is that of a stranger.
#[derive(Clone, Debug)]
pub(super) struct Hook(Arc<Mutex<Option<oneshot::Sender<()>>>>);

impl Hook {
    pub(super) fn new() -> (Self, Eviction) {
        let (evict, eviction) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(evict)))), eviction)
    }

    pub(super) fn pull(&self) {
        if let Some(evict) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = evict.send(());
        }
    }
}

/// What a connection counts as.
#[derive(Debug, Default)]
pub(crate) struct Standing(AtomicU8);

const STRANGER: u8 = 0;
const RECOGNISED: u8 = 1;
const EVICTED: u8 = 2;
const GONE: u8 = 3;

impl Standing {
    /// Whoever is there has proved something: the connection is not cut for others from now on.
    pub(crate) fn recognise(&self) {
        if self.0.load(Ordering::Relaxed) == STRANGER {
            let _ = self.turn(RECOGNISED);
        }
    }

    /// Whether nobody there was recognised so far.
    pub(crate) fn is_stranger(&self) -> bool {
        matches!(self.0.load(Ordering::Relaxed), STRANGER | EVICTED)
    }

    /// Whether it is one, and gives way to others.
    pub(crate) fn is_evicted(&self) -> bool {
        self.0.load(Ordering::Relaxed) == EVICTED
    }

    /// It gives way.
    #[cfg(test)]
    pub(crate) fn evict(&self) {
        assert!(self.turn(EVICTED), "it is a stranger's");
    }

    /// Whether the connection is gone: nobody waits for an answer.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.load(Ordering::Relaxed) == GONE
    }

    /// It is gone; whether its place was its own until then.
    pub(crate) fn end(&self) -> bool {
        self.0.swap(GONE, Ordering::AcqRel) != EVICTED
    }

    /// From a stranger to something else; false if it is none any more.
    fn turn(&self, into: u8) -> bool {
        self.0.compare_exchange(STRANGER, into, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// A connection's place. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    cap: Arc<Cap>,
    address: IpAddr,
    pub(super) standing: Arc<Standing>,
    pub(super) hook: Hook,
}

impl Drop for Permit {
    fn drop(&mut self) {
        // The place of one that was evicted was handed on.
        if self.standing.end() {
            self.cap.held().leave(self.address);
            self.cap.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Comes when a connection must give way.
pub(super) type Eviction = oneshot::Receiver<()>;

impl Cap {
    /// With these limits, or what the system allows of them.
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self {
            limits: limits.within_open_files(),
            held: Mutex::default(),
            open: AtomicUsize::new(0),
            refused_total: AtomicU64::new(0),
            refused_address: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// What became of connections so far.
    pub(crate) fn connections(&self) -> Connections {
        Connections {
            open: self.open.load(Ordering::Relaxed),
            refused_total: self.refused_total.load(Ordering::Relaxed),
            refused_address: self.refused_address.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
        }
    }

    /// A place for a connection from this address; none if all are held by those that are no strangers.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<(Permit, Eviction)> {
        let address = counted_as(address);
        let standing = Arc::new(Standing::default());
        let (hook, eviction) = Hook::new();
        let mut held = self.held();
        let crowded = held.by_address.get(&address).is_some_and(|count| *count >= self.limits.per_address);
        let is_full = self.open.load(Ordering::Relaxed) >= self.limits.total;
        if crowded || is_full {
            let Some(former) = held.evict(crowded.then_some(address)) else {
                let refused = if crowded { &self.refused_address } else { &self.refused_total };
                told(refused, if crowded { "limits.connections_per_address" } else { "limits.connections" });
                return None;
            };
            held.leave(former);
            told(&self.evicted, if crowded { "limits.connections_per_address" } else { "limits.connections" });
        } else {
            self.open.fetch_add(1, Ordering::Relaxed);
        }
        *held.by_address.entry(address).or_insert(0) += 1;
        if held.strangers.len() >= self.limits.total.saturating_mul(2) {
            held.strangers.retain(|stranger| stranger.standing.is_stranger());
        }
        held.strangers.push_back(Stranger { address, standing: standing.clone(), hook: hook.clone() });
        Some((Permit { cap: self.clone(), address, standing, hook }, eviction))
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Makes the oldest stranger give way, of this address if one is given; says where it came from.
    fn evict(&mut self, address: Option<IpAddr>) -> Option<IpAddr> {
        loop {
            let fits = |stranger: &Stranger| address.is_none_or(|address| stranger.address == address);
            let oldest = self.strangers.iter().position(fits)?;
            let stranger = self.strangers.remove(oldest)?;
            if stranger.standing.turn(EVICTED) {
                stranger.hook.pull();
                return Some(stranger.address);
            }
        }
    }

    fn leave(&mut self, address: IpAddr) {
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

/// Counts, and says so in the log the first time and with each doubling: a flood must not fill it.
fn told(count: &AtomicU64, setting: &'static str) {
    let connections = count.fetch_add(1, Ordering::Relaxed) + 1;
    if connections.is_power_of_two() {
        tracing::warn!(connections, setting, "there are as many connections as may be; some were closed");
    }
}

/// The address under which a connection is counted.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[8..].fill(0);
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cap(total: usize, per_address: usize) -> Arc<Cap> {
        Arc::new(Cap::new(ConnectionLimits { total, per_address }))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn strangers_give_way_and_those_who_are_known_do_not() {
        let cap = cap(3, 2);
        let (a, b) = (address("192.0.2.1"), address("192.0.2.2"));
        let (first, mut first_evicted) = cap.enter(a).expect("a place");
        let (second, mut second_evicted) = cap.enter(a).expect("a place");
        first.standing.recognise();
        let (third, _third_evicted) = cap.enter(a).expect("the place of the stranger");
        assert!(second_evicted.try_recv().is_ok() && first_evicted.try_recv().is_err());
        assert_eq!(cap.connections(), Connections { open: 2, evicted: 1, ..Default::default() });
        third.standing.recognise();
        assert!(cap.enter(a).is_none(), "nobody of this address gives way");
        let (_fourth, mut fourth_evicted) = cap.enter(b).expect("there is a place for others");
        let (fifth, _) = cap.enter(b).expect("the oldest stranger of all gives way");
        assert!(fourth_evicted.try_recv().is_ok());
        fifth.standing.recognise();
        assert!(cap.enter(b).is_none(), "all are known");
        assert_eq!(cap.connections(), Connections { open: 3, refused_total: 1, refused_address: 1, evicted: 2 });
        drop(second);
        assert_eq!(cap.connections().open, 3, "its place was handed on");
        drop((first, third, fifth));
        assert_eq!(cap.connections().open, 0);
        assert!(cap.held().by_address.is_empty());
    }

    #[test]
    fn what_is_remembered_of_those_that_left_is_bounded() {
        let cap = cap(4, 4);
        for _ in 0..1000 {
            drop(cap.enter(address("192.0.2.1")).expect("a place"));
        }
        assert!(cap.held().strangers.len() <= 8);
        assert_eq!(cap.connections(), Connections::default());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let cap = cap(8, 1);
        let (first, _first_evicted) = cap.enter(address("2001:db8::1")).expect("a place");
        first.standing.recognise();
        assert!(cap.enter(address("2001:db8::ffff:1")).is_none());
        assert!(cap.enter(address("2001:db8:0:1::1")).is_some());
        let (mapped, _mapped_evicted) = cap.enter(address("::ffff:192.0.2.1")).expect("a place");
        mapped.standing.recognise();
        assert!(cap.enter(address("192.0.2.1")).is_none(), "the same address in another dress");
    }
}
