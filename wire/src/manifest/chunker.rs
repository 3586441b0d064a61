//! How a file is cut into chunks: FastCDC with parameters from the file's own size. PROTOCOL.md, "Chunks".

use serde::{Deserialize, Deserializer, Serialize};

use crate::{limits, numbers};

/// The chunker of this version: FastCDC of 2020 with normalization level 1 and no seed.
///
/// Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based Storage Systems", 2020.
pub const CHUNKER: &str = "fastcdc-2020";

const SMALLEST_AVERAGE: u64 = 4 << 10;
const LARGEST_AVERAGE: u64 = 4 << 20;
/// A file of less is small: the smallest chunks would be fewer than [`KEPT_CHUNKS`] in it.
const SMALL_FILE_BYTES: u64 = 4 << 20;
/// The average for a small file of a folder. Smaller chunks would save it a few KiB, and cost a folder of many such files
/// more than that.
const SMALL_FILE_AVERAGE: u64 = 16 << 10;
/// How many chunks of average size a file should have, within the bounds for the average.
const TARGET_CHUNKS: u64 = 65_536;
/// Within this many chunks of average size, a file keeps the parameters of its previous version.
const KEPT_CHUNKS: std::ops::RangeInclusive<u64> = 1_024..=262_144;

/// The chunker's parameters: sizes in bytes. On the wire an array of three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct ChunkerParams(u32, u32, u32);

impl ChunkerParams {
    /// For a single file of this size that has no previous version: average = the next power of two of size / 65,536,
    /// within 4 KiB and 4 MiB; minimum a quarter of it, maximum four times.
    pub fn for_size(size: u64) -> Self {
        Self::within(size, SMALLEST_AVERAGE)
    }

    /// The same for a file in a folder: the average is at least 16 KiB where the file has less than 4 MiB.
    pub fn in_folder(size: u64) -> Self {
        Self::within(size, smallest_in_folder(size))
    }

    /// For the next version of a single file that was cut with these, so that unchanged parts keep their chunks: the same
    /// while the file has 1,024 to 262,144 of average size or the bounds forbid a change, else times or divided by 4.
    /// The bounds are those of [`for_size`](Self::for_size), but that what is below them stays.
    #[must_use]
    pub fn for_next_version(self, size: u64) -> Self {
        self.next_within(size, SMALLEST_AVERAGE)
    }

    /// The same for a file in a folder, with the bounds of [`in_folder`](Self::in_folder).
    #[must_use]
    pub fn for_next_in_folder(self, size: u64) -> Self {
        self.next_within(size, smallest_in_folder(size))
    }

    fn within(size: u64, smallest: u64) -> Self {
        let average = size.div_ceil(TARGET_CHUNKS).next_power_of_two();
        Self::of_average(average.clamp(smallest, LARGEST_AVERAGE))
    }

    fn next_within(self, size: u64, smallest: u64) -> Self {
        let mut average = u64::from(self.average());
        while size / average > *KEPT_CHUNKS.end() && average < LARGEST_AVERAGE {
            average = (average * 4).min(LARGEST_AVERAGE);
        }
        while size / average < *KEPT_CHUNKS.start() && average > smallest {
            average = (average / 4).max(smallest);
        }
        Self::of_average(average)
    }

    /// As they stand on the wire, valid or not.
    pub(super) const fn of_numbers([min, average, max]: [u32; 3]) -> Self {
        Self(min, average, max)
    }

    fn of_average(average: u64) -> Self {
        let average = u32::try_from(average).expect("an average is at most 4 MiB");
        Self(average / 4, average, average * 4)
    }

    /// No chunk but a file's last is smaller.
    pub const fn min(&self) -> u32 {
        self.0
    }

    /// The size to which the cut points are normalized: a power of two.
    pub const fn average(&self) -> u32 {
        self.1
    }

    /// No chunk is larger.
    pub const fn max(&self) -> u32 {
        self.2
    }

    /// Whether a file could be cut with these again.
    pub(crate) fn is_valid(&self) -> bool {
        let average = u64::from(self.1);
        self.1.is_power_of_two()
            && (SMALLEST_AVERAGE..=LARGEST_AVERAGE).contains(&average)
            && self.0 == self.1 / 4
            && self.2 == self.1 * 4
            && self.2 <= limits::CHUNK_BYTES
    }
}

/// What a file of this size in a folder is not cut below, unless its previous version was.
const fn smallest_in_folder(size: u64) -> u64 {
    if size < SMALL_FILE_BYTES { SMALL_FILE_AVERAGE } else { SMALLEST_AVERAGE }
}

impl<'de> Deserialize<'de> for ChunkerParams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        numbers::array(deserializer).map(Self::of_numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    #[test]
    fn from_size() {
        let average = |size| u64::from(ChunkerParams::for_size(size).average());
        assert_eq!(average(0), 4 * KIB);
        assert_eq!(average(256 * MIB), 4 * KIB);
        assert_eq!(average(256 * MIB + 1), 8 * KIB);
        assert_eq!(average(GIB), 16 * KIB);
        assert_eq!(average(GIB + 1), 32 * KIB);
        assert_eq!(average(2 * GIB), 32 * KIB);
        assert_eq!(average(256 * GIB), 4096 * KIB);
        assert_eq!(average(u64::MAX), 4096 * KIB);
        for size in [0, 1, 4 * MIB, GIB, 3 * GIB, 100 * GIB, 1 << 40] {
            assert!(ChunkerParams::for_size(size).is_valid());
        }
        let smallest = ChunkerParams::for_size(0);
        assert_eq!(smallest.min(), limits::MIN_CHUNK_BYTES);
        assert!(!ChunkerParams::of_numbers([512, 2048, 8192]).is_valid());
    }

    #[test]
    fn small_files_of_a_folder_have_larger_chunks() {
        let average = |size| u64::from(ChunkerParams::in_folder(size).average());
        assert_eq!(average(0), 16 * KIB);
        assert_eq!(average(4 * MIB - 1), 16 * KIB);
        assert_eq!(average(4 * MIB), 4 * KIB);
        for size in [4 * MIB, 256 * MIB, GIB, 3 * GIB, 1 << 40] {
            assert_eq!(ChunkerParams::in_folder(size), ChunkerParams::for_size(size), "{size}");
        }
    }

    #[test]
    fn kept_from_version_to_version() {
        let params = ChunkerParams::for_size(2 * GIB);
        assert_eq!(params.for_next_version(3 * GIB), params);
        assert_eq!(params.for_next_version(8 * GIB), params);
        assert_eq!(params.for_next_version(9 * GIB).average(), 128 << 10);
        assert_eq!(params.for_next_version(32 << 20), params);
        assert_eq!(params.for_next_version(31 << 20).average(), 8 << 10);
        assert_eq!(params.for_next_version(5 << 20).average(), 4 << 10);
        assert_eq!(params.for_next_version(1000).average(), 4 << 10);
        assert_eq!(params.for_next_in_folder(1000).average(), 16 << 10);
    }

    #[test]
    fn a_single_file_of_larger_chunks_gets_small_ones_once() {
        let before = ChunkerParams::in_folder(3 * MIB);
        let after = before.for_next_version(3 * MIB);
        assert_eq!(after, ChunkerParams::for_size(3 * MIB));
        for size in [0, 3 * MIB, 5 * MIB, GIB] {
            assert_eq!(after.for_next_version(size), after, "{size}");
        }
    }

    #[test]
    fn a_file_of_a_folder_that_stops_being_small_changes_once() {
        let small = ChunkerParams::in_folder(3 * MIB);
        assert_eq!(small.for_next_in_folder(0), small);
        assert_eq!(small.for_next_in_folder(4 * MIB - 1), small);
        assert_eq!(small.for_next_in_folder(16 * MIB), small, "it has 1,024 chunks");
        let grown = small.for_next_in_folder(4 * MIB);
        assert_eq!(grown.average(), 4 << 10);
        for size in [4 * MIB - 1, 3 * MIB, 0, 5 * MIB, GIB] {
            assert_eq!(grown.for_next_in_folder(size), grown, "{size}");
        }
        assert_eq!(grown.for_next_in_folder(2 * GIB).average(), 16 << 10);
    }
}
