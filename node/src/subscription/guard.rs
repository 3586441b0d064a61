//! When an owner's change is so large that the user is asked first.

use std::collections::HashMap;

use wire::ContentHash;
use wire::manifest::{EntryKind, Layout, Placed, compare_paths};

/// Folders with fewer files than this are never held back for what is gone.
const FEW_FILES: usize = 10;

/// What a user wants to be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Guard {
    /// A version that is larger by this factor, and by [`Guard::growth_bytes`], waits. At least 1.
    pub(crate) growth_factor: u64,
    /// See [`Guard::growth_factor`].
    pub(crate) growth_bytes: u64,
    /// A version after which less than so many bytes are free on the disk waits.
    pub(crate) free_bytes: u64,
}

impl Default for Guard {
    fn default() -> Self {
        Self { growth_factor: 10, growth_bytes: 1 << 30, free_bytes: 512 << 20 }
    }
}

impl Guard {
    /// Why a version of `size` bytes waits, where one of `held` bytes is and `free` bytes are free, of which the new one
    /// takes `needed`; `None` where it need not wait.
    pub(crate) fn holds_back(&self, held: Option<u64>, size: u64, needed: u64, free: u64) -> Option<String> {
        let left = free.saturating_sub(needed);
        if left < self.free_bytes {
            let text = format!("it takes {needed} bytes, and leaves {left} free on the disk");
            return Some(text);
        }
        let held = held?;
        let grows = size.saturating_sub(held) > self.growth_bytes;
        let text = || format!("it grows from {held} to {size} bytes");
        (grows && size / self.growth_factor > held).then(text)
    }
}

/// Why the next version of a folder waits: more than half of its files are gone. A file that was moved is not gone.
pub(crate) fn mass_deletion(base: &Layout, next: &Layout) -> Option<String> {
    let before = files(base).count();
    if !base.is_folder() || before < FEW_FILES {
        return None;
    }
    let mut gone = gone(base, next);
    if gone.len() * 2 > before {
        let mut lost: HashMap<_, _> = gone.iter().map(|hash| (*hash, true)).collect();
        files(next).for_each(|entry| drop(lost.get_mut(&entry.hash).map(|lost| *lost = false)));
        gone.retain(|hash| lost.get(hash) == Some(&true));
    }
    (gone.len() * 2 > before).then(|| format!("{} of its {before} files are gone", gone.len()))
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
