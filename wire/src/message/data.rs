//! G: the bytes themselves.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{at_most, bad_message};
use crate::error::ErrorBody;
use crate::hash::{PageHash, RecordHash, RootHash};
use crate::limits;

/// G: the root itself, or, with `page`, one of its pages, or, with `runs`, chunks.
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<Vec<Run>>,
}

/// A run of chunks: the index of the first and how many. On the wire an array of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run(pub u32, pub u32);

/// The A of G.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFollows {
    /// How many bytes follow.
    pub length: u64,
    /// The runs that follow, where runs were asked for: those asked, or a part of them from the front.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<Vec<Run>>,
}

impl GetData {
    /// Checks its bounds.
    ///
    /// # Errors
    /// The E to answer.
    pub fn check(&self) -> Result<(), ErrorBody> {
        match (&self.page, &self.runs) {
            (Some(_), Some(_)) => Err(bad_message("page and runs exclude each other")),
            (_, Some(runs)) if runs.is_empty() => Err(bad_message("an empty list of runs")),
            (_, Some(runs)) => check_runs(runs, limits::RUNS),
            _ => Ok(()),
        }
    }
}

impl Run {
    /// The chunks as a range, or `None` if it is empty or ends beyond the largest index.
    pub fn range(self) -> Option<Range<u32>> {
        let end = self.0.checked_add(self.1)?;
        (self.1 > 0).then_some(self.0..end)
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
}
