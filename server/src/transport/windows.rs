//! How much callers may send that nobody reads yet: the windows of HTTP/2. A call that is held back is held by its window, so
//! what the windows of all connections allow together is what they can make the server keep.
//!
//! Every connection gets a share of what is left, so the first ones, which are a mesh's, get wide windows, and however many
//! come, all of them together have no more than the budget, and what is the least for each.

use std::sync::{Arc, Mutex, PoisonError};

/// What all connections may have, in bytes, by default.
pub const WINDOW_BYTES_MAX_DEFAULT: usize = 512 << 20;
/// A connection gets one part in so many of what is left.
const SHARE: usize = 32;
/// What one connection may have at most, and what each has at least.
const CONNECTION_BYTES_MAX: usize = 16 << 20;
const CONNECTION_BYTES_MIN: usize = 256 << 10;
/// What one of its streams may have at most.
const STREAM_BYTES_MAX: usize = 512 << 10;
/// A stream that is held back must not hold up its neighbours: it has so small a part of its connection's.
const STREAMS_OF_CONNECTION: usize = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct Windows {
    left: Mutex<usize>,
}

impl Windows {
    /// So much for all together, in bytes.
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { left: Mutex::new(bytes) })
    }

    /// The windows of one more connection, until they are dropped.
    pub(super) fn deal(self: &Arc<Self>) -> Window {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let share = (*left / SHARE).min(CONNECTION_BYTES_MAX);
        // Less than the least does not come out of the budget.
        let dealt = if share > CONNECTION_BYTES_MIN { share } else { 0 };
        *left -= dealt;
        Window { windows: self.clone(), dealt }
    }
}

/// The windows of one connection.
#[derive(Debug)]
pub(super) struct Window {
    windows: Arc<Windows>,
    dealt: usize,
}

impl Window {
    /// That of the connection, in bytes.
    pub(super) fn connection(&self) -> u32 {
        to_u32(self.dealt.max(CONNECTION_BYTES_MIN))
    }

    /// That of each stream on it, in bytes.
    pub(super) fn stream(&self) -> u32 {
        to_u32((self.dealt.max(CONNECTION_BYTES_MIN) / STREAMS_OF_CONNECTION).min(STREAM_BYTES_MAX))
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        *self.windows.left.lock().unwrap_or_else(PoisonError::into_inner) += self.dealt;
    }
}

fn to_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_wide_for_few_and_bounded_for_many() {
        let windows = Windows::new(512 << 20);
        let first = windows.deal();
        assert_eq!((first.connection(), first.stream()), (16 << 20, 512 << 10));
        let many: Vec<Window> = (1..4096).map(|_| windows.deal()).collect();
        let sizes: Vec<u32> = many.iter().map(Window::connection).collect();
        assert!(sizes.is_sorted_by(|former, next| former >= next));
        let last = many.last().expect("there are many");
        assert_eq!((last.connection(), last.stream()), (256 << 10, 64 << 10));
        let total: usize = sizes.iter().map(|bytes| *bytes as usize).sum::<usize>() + (16 << 20);
        assert!(total <= (512 << 20) + 4096 * (256 << 10), "{total}");
        drop(many);
        drop(first);
        assert_eq!(windows.deal().connection(), 16 << 20, "all of it came back");
        assert_eq!(Windows::new(0).deal().connection(), 256 << 10);
    }
}
