//! What differs between two versions of a folder, and so what an update of one to the other has to do. No I/O.

use std::cmp::Ordering;
use std::collections::HashMap;

use wire::ContentHash;
use wire::manifest::{EntryKind, Layout, Placed, compare_paths};

use crate::store::Chosen;

/// What is to be done with an entry of the new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Change {
    /// Nothing: it is as it was before, or it is not wanted.
    None,
    /// Another modification time, or a file's executable bit. A link's time alone does not count.
    Attributes,
    /// A file with other bytes, or a link to elsewhere; or one where there was none.
    Bring,
    /// A folder where there was none.
    Make,
}

/// All that differs. Memory: 5 bytes an entry of the new version, 4 for each that goes, 8 for each that moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Diff {
    /// For each entry of the new version.
    pub(in crate::store) changes: Vec<Change>,
    /// For each entry of the new version the one of the old version with the same path, or [`NO_ENTRY`].
    before: Vec<u32>,
    /// Entries of the old version whose path the new one does not have, in order.
    pub(in crate::store) gone: Vec<u32>,
    /// Files to bring whose bytes a file of the old version has: the new entry, then the old one.
    pub(in crate::store) moved: Vec<(u32, u32)>,
}

/// No entry has this number: a folder has far fewer.
const NO_ENTRY: u32 = u32::MAX;

impl Diff {
    /// From the `picked` entries of one layout to those of another. O(n).
    pub(in crate::store) fn new(old: (&Layout, &Chosen), new: (&Layout, &Chosen)) -> Self {
        let (mut olds, mut news) = (picked(old).peekable(), picked(new).peekable());
        let mut diff = Self {
            changes: vec![Change::None; new.0.entries.len()],
            before: vec![NO_ENTRY; new.0.entries.len()],
            gone: Vec::new(),
            moved: Vec::new(),
        };
        loop {
            let order = match (olds.peek(), news.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((_, old)), Some((_, new))) => compare_paths(old.path, new.path),
            };
            let old = if order.is_le() { olds.next() } else { None };
            let new = if order.is_ge() { news.next() } else { None };
            diff.enter(old, new);
        }
        diff.find_moved(old, new.0);
        diff
    }

    /// What is to be done with an entry of the new version.
    pub(in crate::store) fn change(&self, entry: usize) -> Change {
        self.changes.get(entry).copied().unwrap_or(Change::None)
    }

    /// The entry of the old version with the same path.
    pub(in crate::store) fn before(&self, entry: usize) -> Option<u32> {
        self.before.get(entry).copied().filter(|before| *before != NO_ENTRY)
    }

    /// The entries that have to be downloaded.
    pub(in crate::store) fn brought(&self) -> Chosen {
        Chosen::of(self.changes.iter().map(|change| *change == Change::Bring).collect())
    }

    fn enter(&mut self, old: Option<(usize, Placed<'_>)>, new: Option<(usize, Placed<'_>)>) {
        let number = |entry: usize| u32::try_from(entry).unwrap_or(NO_ENTRY);
        match (old, new) {
            (Some((old, _)), None) => self.gone.push(number(old)),
            (old, Some((entry, new))) => {
                let change = change_to(old.as_ref().map(|(_, old)| *old), new);
                let before = old.map_or(NO_ENTRY, |(old, _)| number(old));
                if let (Some(at), Some(known)) = (self.changes.get_mut(entry), self.before.get_mut(entry)) {
                    (*at, *known) = (change, before);
                }
            }
            (None, None) => {}
        }
    }

    fn find_moved(&mut self, old: (&Layout, &Chosen), new: &Layout) {
        let mut wanted: HashMap<ContentHash, Vec<u32>> = HashMap::new();
        for (number, entry) in (0..).zip(&new.entries) {
            let is_file = entry.kind == EntryKind::File && entry.size > 0;
            if is_file && self.change(number as usize) == Change::Bring {
                wanted.entry(entry.hash).or_default().push(number);
            }
        }
        for (number, entry) in picked(old).filter(|(_, entry)| entry.kind == EntryKind::File) {
            let Some(of) = wanted.remove(&entry.hash) else { continue };
            let number = u32::try_from(number).unwrap_or(NO_ENTRY);
            self.moved.extend(of.into_iter().map(|new| (new, number)));
        }
        self.moved.sort_unstable();
    }
}

fn picked<'a>((layout, picked): (&'a Layout, &'a Chosen)) -> impl Iterator<Item = (usize, Placed<'a>)> {
    layout.entries.iter().enumerate().filter(|(number, _)| picked.has(*number))
}

fn change_to(old: Option<Placed<'_>>, new: Placed<'_>) -> Change {
    let whole = if new.kind == EntryKind::Folder { Change::Make } else { Change::Bring };
    let Some(old) = old.filter(|old| old.kind == new.kind) else { return whole };
    match new.kind {
        EntryKind::Link if old.target == new.target => Change::None,
        EntryKind::Link => Change::Bring,
        EntryKind::File if (old.hash, old.size) != (new.hash, new.size) => Change::Bring,
        _ if (old.executable, old.mtime) == (new.executable, new.mtime) => Change::None,
        _ => Change::Attributes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Patterns;
    use crate::store::tests::folder_of;

    const OLD: &[(&str, &[u8])] = &[
        ("a/", b""),
        ("a/edited", b"1"),
        ("a/same", b"22"),
        ("becomes a file/", b""),
        ("becomes a file/in it", b"in it"),
        ("becomes a folder", b"333"),
        ("goes", b"4444"),
        ("moves", b"55555"),
    ];
    const NEW: &[(&str, &[u8])] = &[
        ("a/", b""),
        ("a/edited", b"one"),
        ("a/same", b"22"),
        ("becomes a file", b"a file"),
        ("becomes a folder/", b""),
        ("becomes a folder/moved", b"55555"),
        ("comes", b"6"),
    ];

    fn of(patterns: &[&str], layout: &Layout) -> Chosen {
        match patterns {
            [] => Chosen::all(),
            patterns => {
                let patterns: Vec<_> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
                Chosen::by(&Patterns::new(&patterns).expect("patterns"), layout)
            }
        }
    }

    /// The diff, the paths of what is to be brought or made, and of what goes.
    fn diff(patterns: &[&str]) -> (Diff, Vec<&'static str>, Vec<&'static str>) {
        let ((_, old), (_, new)) = (folder_of(OLD), folder_of(NEW));
        let diff = Diff::new((&old, &of(patterns, &old)), (&new, &of(patterns, &new)));
        let changed = (0..NEW.len()).filter(|entry| diff.change(*entry) != Change::None);
        let changed = changed.map(|entry| NEW[entry].0).collect();
        let gone = diff.gone.iter().map(|entry| OLD[*entry as usize].0).collect();
        (diff, changed, gone)
    }

    #[test]
    fn what_differs_is_brought_and_what_is_missing_goes() {
        let (diff, changed, gone) = diff(&[]);
        let expected = ["a/edited", "becomes a file", "becomes a folder/", "becomes a folder/moved", "comes"];
        assert_eq!(changed, expected);
        assert_eq!(gone, ["becomes a file/in it", "goes", "moves"]);
        assert_eq!(diff.moved, [(5, 7)]);
        assert_eq!((diff.before(1), diff.before(3), diff.before(6)), (Some(1), Some(3), None));
        assert_eq!((diff.change(4), diff.change(5)), (Change::Make, Change::Bring));
        let brought: Vec<_> = (0..NEW.len()).filter(|entry| diff.brought().has(*entry)).collect();
        assert_eq!(brought, [1, 3, 5, 6]);
    }

    #[test]
    fn of_a_part_only_what_is_in_it() {
        let (_, changed, gone) = diff(&["a", "goes"]);
        assert_eq!((changed, gone), (vec!["a/edited"], vec!["goes"]));
    }

    #[test]
    fn the_same_needs_nothing_and_attributes_are_told() {
        let (_, layout) = folder_of(OLD);
        let all = Chosen::all();
        let none = Diff::new((&layout, &all), (&layout, &all));
        assert!(none.gone.is_empty() && none.changes.iter().all(|change| *change == Change::None));
        let file = layout.entries.get(1).expect("a file");
        let executable = Placed { executable: true, ..file };
        assert_eq!(change_to(Some(file), executable), Change::Attributes);
        let folder = layout.entries.get(0).expect("a folder");
        let touched = Placed { mtime: certs::UnixNanos(5), ..folder };
        assert_eq!(change_to(Some(folder), touched), Change::Attributes);
        assert_eq!(
            (change_to(Some(folder), file), change_to(Some(file), folder)),
            (Change::Bring, Change::Make)
        );
    }
}
