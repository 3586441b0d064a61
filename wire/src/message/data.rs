//! G: the bytes themselves.

use std::ops::Range;

use serde::{Deserialize, Deserializer, Serialize};

use super::{at_most, bad_message, bounded};
use crate::error::ErrorBody;
use crate::hash::{PageHash, RecordHash, RootHash};
use crate::{limits, numbers};

/// G: the root itself, or, with `page`, one of its pages, or, with `runs`, chunks, or, with `blocks`, the file's blocks.
///
/// After the A come exactly `length` bytes, not wrapped in anything, then the end of the stream. What goes wrong after the
/// A is a reset with a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetData {
    /// The record that a P on this connection showed.
    pub grant: RecordHash,
    /// A manifest root that the holder named for the record's content.
    pub root: RootHash,
    /// A page of that root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<PageHash>,
    /// Runs of chunks, at most 256, in ascending order without overlap.
    #[serde(
        default,
        deserialize_with = "bounded::request_if_any::<{ limits::RUNS }, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub runs: Option<Vec<Run>>,
    /// Whether the [blocks](crate::manifest::Blocks) of the file are asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blocks: bool,
    /// Whether what follows the A may be encoded with Zstandard.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zstd: bool,
}

/// A run of chunks: the index of the first and how many. On the wire an array of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Run(pub u32, pub u32);

/// The A of G.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFollows {
    /// How many bytes follow, before they are encoded.
    pub length: u64,
    /// The runs that follow, where runs were asked for: those asked, or a part of them from the front.
    #[serde(
        default,
        deserialize_with = "bounded::answer_if_any::<{ limits::RUNS }, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub runs: Option<Vec<Run>>,
    /// Whether they are encoded: one frame of Zstandard (RFC 8878) follows, of which they are the content. Only where that
    /// was asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zstd: bool,
}

impl GetData {
    /// Asks for the root itself, of a record that was shown.
    pub const fn root_of(grant: RecordHash, root: RootHash) -> Self {
        Self { grant, root, page: None, runs: None, blocks: false, zstd: false }
    }

    /// Checks its bounds.
    ///
    /// # Errors
    /// The E to answer.
    pub fn check(&self) -> Result<(), ErrorBody> {
        match (&self.page, &self.runs) {
            (Some(_), Some(_)) => Err(bad_message("page and runs exclude each other")),
            (page, runs) if self.blocks && (page.is_some() || runs.is_some()) => {
                Err(bad_message("blocks exclude page and runs"))
            }
            (_, Some(runs)) if runs.is_empty() => Err(bad_message("an empty list of runs")),
            (_, Some(runs)) => check_runs(runs, limits::RUNS),
            _ => Ok(()),
        }
    }
}

impl DataFollows {
    /// How many bytes come on the stream at most: what cannot be made shorter grows a little by being encoded.
    pub const fn encoded_at_most(&self) -> u64 {
        match self.zstd {
            true => self.length.saturating_add(self.length / 1024 + limits::ENCODING_BYTES as u64),
            false => self.length,
        }
    }

    /// Checks that the runs announced are those asked for, or a part of them from the front, and not nothing; and that
    /// nothing is encoded that was to come as it is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, asked: &GetData) -> Result<(), ErrorBody> {
        let part = match (self.runs.as_deref(), asked.runs.as_deref()) {
            (None, None) => true,
            (Some(runs), Some(asked)) => is_front_of(runs, asked),
            _ => false,
        };
        match (part, self.zstd && !asked.zstd) {
            (false, _) => Err(bad_message("runs that were not asked for")),
            (true, true) => Err(bad_message("an encoding that was not asked for")),
            (true, false) => Ok(()),
        }
    }
}

/// Whether these are the first of those asked for, the last one perhaps shortened.
fn is_front_of(runs: &[Run], asked: &[Run]) -> bool {
    let Some((last, whole)) = runs.split_last() else { return false };
    asked.get(..whole.len()) == Some(whole)
        && asked.get(whole.len()).is_some_and(|asked| last.0 == asked.0 && (1..=asked.1).contains(&last.1))
}

impl Run {
    /// The chunks as a range, or `None` if it is empty or ends beyond the largest index.
    pub fn range(self) -> Option<Range<u32>> {
        let end = self.0.checked_add(self.1)?;
        (self.1 > 0).then_some(self.0..end)
    }
}

impl<'de> Deserialize<'de> for Run {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        numbers::array(deserializer).map(|[first, count]| Self(first, count))
    }
}

impl From<Range<u32>> for Run {
    fn from(range: Range<u32>) -> Self {
        Self(range.start, range.end - range.start)
    }
}

/// Refuses runs that are too many, empty, overlapping or out of order.
pub(super) fn check_runs(runs: &[Run], limit: usize) -> Result<(), ErrorBody> {
    at_most("runs", runs.len(), limit)?;
    let mut end = 0;
    for run in runs {
        match run.range() {
            Some(range) if range.start >= end => end = range.end,
            _ => return Err(bad_message("runs that are empty, overlap or are out of order")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs() {
        assert!(check_runs(&[Run(0, 1), Run(1, 5), Run(10, u32::MAX - 10)], 3).is_ok());
        assert!(check_runs(&[Run(0, 1), Run(1, 5)], 1).is_err());
        assert!(check_runs(&[Run(0, 0)], 9).is_err());
        assert!(check_runs(&[Run(0, 2), Run(1, 1)], 9).is_err());
        assert!(check_runs(&[Run(5, 1), Run(1, 1)], 9).is_err());
        assert!(check_runs(&[Run(2, u32::MAX)], 9).is_err());
    }

    #[test]
    fn what_follows_is_a_part_from_the_front() {
        let asked = [Run(3, 2), Run(7, 4)];
        for part in [&[Run(3, 1)][..], &[Run(3, 2)], &[Run(3, 2), Run(7, 1)], &asked] {
            assert!(is_front_of(part, &asked), "{part:?}");
        }
        for other in [
            &[][..],
            &[Run(3, 0)],
            &[Run(3, 3)],
            &[Run(4, 1)],
            &[Run(7, 4)],
            &[Run(3, 1), Run(7, 4)],
            &[Run(3, 2), Run(7, 5)],
            &[Run(3, 2), Run(7, 4), Run(11, 1)],
        ] {
            assert!(!is_front_of(other, &asked), "{other:?}");
        }
    }

    #[test]
    fn a_run_is_an_array_of_two() {
        let decoded = |hex: &str| crate::cbor::decode::<Run>(&crate::cbor::unhex(hex).expect("hex"), 9).ok();
        assert_eq!(decoded("820105"), Some(Run(1, 5)));
        assert_eq!(decoded("8101"), None);
        assert_eq!(decoded("83010500"), None);
        assert_eq!(decoded("420105"), None);
    }
}
