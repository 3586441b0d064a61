//! Buffers for what moves through, used again and again.
//!
//! Pieces of files are read and written on whichever thread is free, and live until the far end has them. Taken from the
//! system's allocator they end up spread over the heaps of all threads, which keep what was freed: a sender of 2 GiB had
//! 71 MiB so, of which it used 20.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::store::fs::BLOCK_BYTES;

/// A stock of buffers of one size. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Buffers(Arc<Stock>);

#[derive(Debug)]
struct Stock {
    size: usize,
    kept: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    free: Vec<Box<[u8]>>,
    /// How many are in use.
    taken: usize,
}

/// One buffer, until it is dropped. What it has in it at first is of whoever had it before.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    length: usize,
    stock: Arc<Stock>,
}

impl Buffers {
    /// Of `size` bytes each. Up to `kept` of those that come back are kept for the next, until all have come back.
    pub(crate) fn new(size: usize, kept: usize) -> Self {
        Self(Arc::new(Stock { size, kept, state: Mutex::default() }))
    }

    /// A buffer of `length` bytes. How many are in use is bounded by who takes them. One that is larger than the stock's,
    /// or less than half as large, is made for this use, so that none takes more than twice what is asked for, and a block.
    pub(crate) fn take(&self, length: usize) -> Buffer {
        self.take_for(length, 0)
    }

    /// The same for bytes of a file from `offset` on: they lie in the blocks of memory as in those of the file, so that they
    /// need not go through the system's cache ([`write_uncached`](crate::store::fs::FsFile::write_uncached)).
    pub(crate) fn take_for(&self, length: usize, offset: u64) -> Buffer {
        let of_stock = (self.0.size / 2..=self.0.size).contains(&length);
        let free = {
            let mut state = self.0.state();
            state.taken += 1;
            state.free.pop_if(|_| of_stock)
        };
        let room = || if of_stock { self.0.size } else { length } + BLOCK_BYTES;
        let bytes = free.unwrap_or_else(|| vec![0; room()].into());
        let wanted = (offset % BLOCK_BYTES as u64) as usize;
        let start = (BLOCK_BYTES + wanted - bytes.as_ptr().addr() % BLOCK_BYTES) % BLOCK_BYTES;
        Buffer { bytes, start, length, stock: self.0.clone() }
    }
}

impl Stock {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    /// The same as shared bytes; the buffer comes back with the last of them.
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..][..self.length]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut state = self.stock.state();
        state.taken -= 1;
        if bytes.len() == self.stock.size + BLOCK_BYTES && state.free.len() < self.stock.kept {
            state.free.push(bytes);
        }
        // Nothing moves any more: all of it goes back to the system, outside of the lock.
        let unused = if state.taken == 0 { std::mem::take(&mut state.free) } else { Vec::new() };
        drop(state);
        drop(unused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(buffers: &Buffers) -> usize {
        buffers.0.state().free.len()
    }

    #[test]
    fn what_comes_back_is_used_again_up_to_the_bound() {
        let buffers = Buffers::new(100, 2);
        let kept = buffers.take(1);
        let mut first = buffers.take(60);
        first.as_mut().fill(7);
        let (second, third) = (buffers.take(100), buffers.take(100));
        let bytes = first.into_bytes();
        let part = bytes.slice(10..20);
        drop(bytes);
        assert_eq!((free(&buffers), &part[..]), (0, &[7; 10][..]));
        drop(part);
        assert_eq!(free(&buffers), 1);
        drop((second, third));
        assert_eq!(free(&buffers), 2, "no more than are kept");
        assert_eq!(buffers.take(50).as_ref().len(), 50);
        drop(kept);
        assert_eq!(free(&buffers), 0, "nothing moves any more");
    }

    #[test]
    fn they_lie_in_memory_as_in_the_file() {
        let buffers = Buffers::new(2 * BLOCK_BYTES, 2);
        let _kept = buffers.take(1);
        for offset in [0, 1, 4095, 4096, 4097, u64::MAX] {
            for length in [0, 1, BLOCK_BYTES, 2 * BLOCK_BYTES, 3 * BLOCK_BYTES + 1] {
                let mut buffer = buffers.take_for(length, offset);
                buffer.as_mut().fill(7);
                let bytes = buffer.into_bytes();
                assert_eq!(bytes, vec![7; length]);
                assert_eq!(bytes.as_ptr().addr() as u64 % 4096, offset % 4096);
            }
        }
    }

    #[test]
    fn larger_and_smaller_ones_are_made_for_one_use() {
        let buffers = Buffers::new(100, 2);
        let _kept = buffers.take(1);
        for length in [101, 49, 0] {
            let other = buffers.take(length);
            assert_eq!((other.as_ref().len(), other.bytes.len()), (length, length + BLOCK_BYTES));
            drop(other);
            assert_eq!(free(&buffers), 0);
        }
    }
}
