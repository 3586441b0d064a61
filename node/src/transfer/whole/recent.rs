//! Bytes that were copied last: of many small files that are equal, such as licences, each is read once.

use std::collections::VecDeque;
use std::ops::Range;

/// What they take together.
const KEPT_BYTES: usize = 1 << 20;
/// How many there are: each is compared with what is looked for.
const KEPT: usize = 256;

/// Runs of chunks, those that were used last in front, each with its bytes, which were compared with their hashes.
#[derive(Debug, Default)]
pub(super) struct Recent {
    runs: VecDeque<(Range<u32>, Vec<u8>)>,
    bytes: usize,
}

impl Recent {
    /// The bytes of a run.
    pub(super) fn get(&mut self, run: &Range<u32>) -> Option<&[u8]> {
        let at = self.runs.iter().position(|(one, _)| one == run)?;
        let found = self.runs.remove(at)?;
        self.runs.push_front(found);
        self.runs.front().map(|(_, bytes)| bytes.as_slice())
    }

    /// Keeps a run that is not there, and drops those that were not used for the longest.
    pub(super) fn put(&mut self, run: Range<u32>, bytes: Vec<u8>) {
        self.bytes += bytes.len();
        self.runs.push_front((run, bytes));
        while (self.bytes > KEPT_BYTES || self.runs.len() > KEPT)
            && let Some((_, dropped)) = self.runs.pop_back()
        {
            self.bytes -= dropped.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_stays() {
        let mut recent = Recent::default();
        let third = vec![0; KEPT_BYTES / 3];
        (0..3).for_each(|run| recent.put(run..run + 1, third.clone()));
        assert_eq!(recent.get(&(0..1)), Some(third.as_slice()));
        recent.put(3..4, third.clone());
        let there = [0, 1, 2, 3].map(|run| recent.get(&(run..run + 1)).is_some());
        assert_eq!(there, [true, false, true, true]);
        recent.put(4..9, vec![0; KEPT_BYTES + 1]);
        assert!(recent.runs.is_empty() && recent.bytes == 0, "larger than all");
        (0..1000).for_each(|run| recent.put(run..run + 1, vec![0; 4]));
        assert_eq!((recent.runs.len(), recent.bytes), (KEPT, 4 * KEPT));
    }
}
