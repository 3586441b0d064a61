//! When an owner's change is so large that the user is asked first.

use std::collections::HashMap;

use wire::ContentHash;
use wire::manifest::{EntryKind, Layout, Placed, compare_paths};

use crate::options::UpdateOptions;

/// Folders with fewer files than this are never held back for what is gone.
const FEW_FILES: usize = 10;

/// What a user wants to be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Guard(pub(crate) UpdateOptions);

impl Guard {
    /// Why a version of `size` bytes waits, where one of `held` bytes is and `free` bytes are free, of which the new one
    /// takes `needed`; `None` where it need not wait.
    pub(crate) fn holds_back(&self, held: Option<u64>, size: u64, needed: u64, free: u64) -> Option<String> {
        let UpdateOptions { largest_growth, growth_factor, free_space, .. } = self.0;
        let left = free.saturating_sub(needed);
        if left < free_space.bytes() {
            let text = format!("it takes {needed} bytes, and leaves {left} free on the disk");
            return Some(text);
        }
        let held = held?;
        let grows = size.saturating_sub(held) > largest_growth.bytes();
        let text = || format!("it grows from {held} to {size} bytes");
        (grows && size / u64::from(growth_factor.get()) > held).then(text)
    }

    /// Why the next version of a folder waits: too much of its files is gone. A file that was moved is not gone.
    pub(crate) fn mass_deletion(&self, base: &Layout, next: &Layout) -> Option<String> {
        let before = files(base).count();
        if !base.is_folder() || before < FEW_FILES {
            return None;
        }
        let share = usize::from(self.0.deleted_share.get());
        let too_many = |gone: usize| gone * 100 > before * share;
        let mut gone = gone(base, next);
        if too_many(gone.len()) {
            let mut lost: HashMap<_, _> = gone.iter().map(|hash| (*hash, true)).collect();
            for entry in files(next) {
                lost.entry(entry.hash).and_modify(|lost| *lost = false);
            }
            gone.retain(|hash| lost.get(hash) == Some(&true));
        }
        too_many(gone.len()).then(|| format!("{} of its {before} files are gone", gone.len()))
    }
}

/// How many bytes the next version takes beside the installed one while both are there: those of the files that are new or
/// changed.
pub(crate) fn new_bytes(base: Option<&Layout>, next: &Layout) -> u64 {
    let Some(base) = base else { return next.chunks.size() };
    let mut old = files(base).peekable();
    let mut bytes = 0;
    for entry in files(next) {
        while old.next_if(|other| compare_paths(other.path, entry.path).is_lt()).is_some() {}
        let stays =
            old.next_if(|other| other.path == entry.path).is_some_and(|other| other.hash == entry.hash);
        bytes += if stays { 0 } else { entry.size };
    }
    bytes
}

fn files(layout: &Layout) -> impl Iterator<Item = Placed<'_>> {
    layout.entries.iter().filter(|entry| entry.kind == EntryKind::File)
}

/// The contents of the files whose paths the next version does not have. Both are in order.
fn gone(base: &Layout, next: &Layout) -> Vec<ContentHash> {
    let mut next = files(next).peekable();
    let mut gone = Vec::new();
    for entry in files(base) {
        while next.next_if(|other| compare_paths(other.path, entry.path).is_lt()).is_some() {}
        if next.next_if(|other| other.path == entry.path).is_none() {
            gone.push(entry.hash);
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use certs::UnixNanos;
    use wire::Kind;
    use wire::manifest::{ChunkerParams, Entry};

    use super::*;

    const GIB: u64 = 1 << 30;

    /// A folder of files of one byte, each a path and its content.
    fn folder(files: impl IntoIterator<Item = (String, String)>) -> Layout {
        let mut files: Vec<_> = files.into_iter().collect();
        files.sort_by(|one, other| compare_paths(&one.0, &other.0));
        let entry = |(path, content): (String, String)| {
            let hash = ContentHash::of(content.as_bytes());
            let entry = Entry::file(false, UnixNanos(1), 0, hash, ChunkerParams::for_size(0));
            (Entry { path, ..entry }, Vec::new())
        };
        let content = ContentHash::of(b"folder");
        Layout::unchecked(Kind::Folder, content, files.into_iter().map(entry)).expect("small")
    }

    fn numbered(numbers: std::ops::Range<u32>) -> impl Iterator<Item = (String, String)> {
        numbers.map(|number| (format!("dir/{number}"), format!("content {number}")))
    }

    #[test]
    fn a_growth_waits_only_where_it_is_large_by_both_measures() {
        let guard = Guard::default();
        let waits = |held, size| guard.holds_back(Some(held), size, size, u64::MAX).is_some();
        assert!(waits(GIB, 11 * GIB));
        assert!(!waits(GIB, 10 * GIB), "ten times is not more");
        assert!(!waits(1000, GIB), "small files may become large");
        assert!(waits(1000, 2 * GIB));
        assert!(guard.holds_back(None, 100 * GIB, 0, u64::MAX).is_none(), "nothing was there");
    }

    #[test]
    fn what_would_fill_the_disk_waits() {
        let free_space = "100".parse().expect("a size");
        let guard = Guard(UpdateOptions { free_space, ..UpdateOptions::default() });
        assert!(guard.holds_back(None, 50, 50, 150).is_none());
        assert!(guard.holds_back(None, 51, 51, 150).is_some());
        assert!(guard.holds_back(None, 1000, 1000, 10).is_some());
    }

    fn mass_deletion(base: &Layout, next: &Layout) -> Option<String> {
        Guard::default().mass_deletion(base, next)
    }

    #[test]
    fn how_much_waits_can_be_said() {
        let base = folder(numbered(0..100));
        for (share, waits) in [("0%", 1), ("20%", 21), ("99%", 100)] {
            let deleted_share = share.parse().expect("a share");
            let guard = Guard(UpdateOptions { deleted_share, ..UpdateOptions::default() });
            let gone = |count: u32| guard.mass_deletion(&base, &folder(numbered(count..100)));
            assert!(gone(waits - 1).is_none() && gone(waits).is_some(), "{share}");
        }
        let never =
            UpdateOptions { deleted_share: "100%".parse().expect("a share"), ..UpdateOptions::default() };
        assert_eq!(Guard(never).mass_deletion(&base, &folder([])), None);
        let largest_growth = "2000".parse().expect("a size");
        let growth_factor = 2.try_into().expect("a factor");
        let guard = Guard(UpdateOptions { largest_growth, growth_factor, ..UpdateOptions::default() });
        let waits = |held, size| guard.holds_back(Some(held), size, 0, u64::MAX).is_some();
        assert!(waits(1000, 3001) && !waits(1000, 3000) && !waits(2500, 5000), "by both measures");
    }

    #[test]
    fn more_than_half_of_the_files_gone_waits() {
        let base = folder(numbered(0..100));
        assert_eq!(mass_deletion(&base, &folder(numbered(50..100))), None, "half");
        let why = mass_deletion(&base, &folder(numbered(51..100))).expect("more than half");
        assert_eq!(why, "51 of its 100 files are gone");
        assert_eq!(mass_deletion(&folder(numbered(0..9)), &folder([])), None, "few");
        assert!(mass_deletion(&base, &folder([])).is_some());
    }

    #[test]
    fn what_was_moved_or_changed_is_not_gone() {
        let base = folder(numbered(0..100));
        let moved = numbered(0..100).map(|(path, content)| (path.replace("dir", "other"), content));
        assert_eq!(mass_deletion(&base, &folder(moved)), None);
        let changed = numbered(0..100).map(|(path, content)| (path, content.replace("content", "new")));
        assert_eq!(mass_deletion(&base, &folder(changed)), None);
    }
}
