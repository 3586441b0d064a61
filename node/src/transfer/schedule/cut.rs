//! Where to cut a range of chunks so that its part has so many bytes.

use std::ops::Range;

use wire::manifest::ChunkTable;

/// The bytes of a range that exists; 0 for one that does not.
pub(super) fn bytes(table: &ChunkTable, range: Range<u32>) -> u64 {
    table.bytes_of(range).map_or(0, |bytes| bytes.end - bytes.start)
}

/// The largest end such that the front of the range has at most so many bytes; its start if no chunk fits. O(log n).
pub(super) fn front(table: &ChunkTable, range: Range<u32>, at_most: u64) -> u32 {
    let (mut fits, mut beyond) = (range.start, range.end.saturating_add(1));
    while beyond - fits > 1 {
        let middle = fits + (beyond - fits) / 2;
        if bytes(table, range.start..middle) <= at_most { fits = middle } else { beyond = middle }
    }
    fits.min(range.end)
}

/// The smallest start such that the back of the range has at most so many bytes; its end if no chunk fits. O(log n).
pub(super) fn back(table: &ChunkTable, range: Range<u32>, at_most: u64) -> u32 {
    let (mut beyond, mut fits) = (range.start, range.end);
    while beyond < fits {
        let middle = beyond + (fits - beyond) / 2;
        if bytes(table, middle..range.end) <= at_most { fits = middle } else { beyond = middle + 1 }
    }
    fits
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use wire::ChunkHash;
    use wire::manifest::Chunk;

    /// Chunks of these lengths.
    pub(in super::super) fn table(lengths: &[u32]) -> ChunkTable {
        let chunk = |&length| Chunk { length, hash: ChunkHash::from_bytes([0; 32]) };
        ChunkTable::new(lengths.iter().map(chunk))
    }

    #[test]
    fn cuts_fall_on_chunks() {
        let table = table(&[3, 1, 4, 1, 5, 9, 2, 6]);
        for start in 0..8 {
            for end in start..=8 {
                for at_most in 0..35 {
                    let front = front(&table, start..end, at_most);
                    assert!(bytes(&table, start..front) <= at_most);
                    assert!(front == end || bytes(&table, start..front + 1) > at_most);
                    let back = back(&table, start..end, at_most);
                    assert!(bytes(&table, back..end) <= at_most);
                    assert!(back == start || bytes(&table, back - 1..end) > at_most);
                }
            }
        }
    }
}
