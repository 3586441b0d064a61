//! Which entries of a folder a download is to have: all, or those that a user chose by patterns.

use globset::{Glob, GlobSet, GlobSetBuilder};
use wire::manifest::{EntryKind, Layout};

use crate::ranges::RangeSet;

/// The longest pattern, in bytes.
const PATTERN_BYTES: usize = 4096;
/// The most patterns.
const PATTERNS: usize = 256;

/// Why patterns cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// Over 256 patterns, or one over 4,096 bytes.
    #[error("at most {PATTERNS} patterns of at most {PATTERN_BYTES} bytes each")]
    TooMany,
    /// Not a pattern.
    #[error("the pattern cannot be used: {0}")]
    Pattern(#[from] globset::Error),
}

/// Patterns as users write them: `*` stands for any text, also over folders. A folder that matches means all that is in
/// it.
#[derive(Debug, Clone)]
pub struct Patterns(GlobSet);

impl Patterns {
    /// Reads them.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn new(patterns: &[String]) -> Result<Self, PatternError> {
        if patterns.len() > PATTERNS || patterns.iter().any(|pattern| pattern.len() > PATTERN_BYTES) {
            return Err(PatternError::TooMany);
        }
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            set.add(Glob::new(pattern.trim_end_matches('/'))?);
        }
        Ok(Self(set.build()?))
    }

    fn matches(&self, path: &str) -> bool {
        let folders = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        self.0.is_match(path) || folders.into_iter().any(|folder| self.0.is_match(folder))
    }
}

/// The entries of a layout that are wanted. Memory: a byte for each entry, none where all are.
#[derive(Debug, Clone, Default)]
pub struct Chosen(Option<Vec<bool>>);

impl Chosen {
    /// All of them.
    pub fn all() -> Self {
        Self::default()
    }

    /// These, by entry.
    pub(super) const fn of(chosen: Vec<bool>) -> Self {
        Self(Some(chosen))
    }

    /// Those that match, and the folders that they lie in.
    pub fn by(patterns: &Patterns, layout: &Layout) -> Self {
        let mut chosen: Vec<_> = layout.entries.iter().map(|entry| patterns.matches(entry.path)).collect();
        // What is in a folder comes directly after it, so from the back each folder comes after all that is in it.
        let mut needed: Option<&str> = None;
        for (chosen, entry) in chosen.iter_mut().zip(&layout.entries).rev() {
            if needed == Some(entry.path) {
                *chosen = true;
            }
            if *chosen {
                needed = entry.path.rfind('/').and_then(|at| entry.path.get(..at));
            }
        }
        Self(Some(chosen))
    }

    /// Whether an entry is wanted.
    pub fn has(&self, entry: usize) -> bool {
        self.0.as_ref().is_none_or(|chosen| chosen.get(entry).is_some_and(|chosen| *chosen))
    }

    /// Whether nothing but folders is wanted.
    pub fn is_nothing(&self, layout: &Layout) -> bool {
        let mut entries = layout.entries.iter().enumerate();
        !entries.any(|(number, entry)| entry.kind != EntryKind::Folder && self.has(number))
    }

    /// The chunks of entries that are not wanted.
    pub fn unwanted(&self, layout: &Layout) -> RangeSet {
        let mut unwanted = RangeSet::new();
        for (number, entry) in layout.entries.iter().enumerate() {
            if entry.size > 0 && !self.has(number) {
                unwanted.insert(layout.chunks.chunks_of(entry.bytes()));
            }
        }
        unwanted
    }

    /// How many bytes are wanted.
    pub fn bytes(&self, layout: &Layout) -> u64 {
        let entries = layout.entries.iter().enumerate().filter(|(number, _)| self.has(*number));
        entries.map(|(_, entry)| entry.size).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::folder_of;
    use super::*;

    fn chosen(patterns: &[&str]) -> Vec<String> {
        let (_, layout) = folder_of(&[
            ("a/", b""),
            ("a/b/", b""),
            ("a/b/one.txt", b"1"),
            ("a/two.md", b"22"),
            ("c/", b""),
            ("three.txt", b"333"),
        ]);
        let patterns: Vec<_> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        let chosen = Chosen::by(&Patterns::new(&patterns).expect("patterns"), &layout);
        let entries = layout.entries.iter().enumerate().filter(|(number, _)| chosen.has(*number));
        let paths: Vec<_> = entries.map(|(_, entry)| entry.path.to_string()).collect();
        let wanted: u64 = (0..layout.chunks.len())
            .filter(|chunk| !chosen.unwanted(&layout).contains(*chunk))
            .filter_map(|chunk| layout.chunks.chunk(chunk))
            .map(|chunk| u64::from(chunk.length))
            .sum();
        assert_eq!(wanted, chosen.bytes(&layout));
        paths
    }

    #[test]
    fn what_matches_with_the_folders_that_it_lies_in() {
        assert_eq!(chosen(&["*.txt"]), ["a", "a/b", "a/b/one.txt", "three.txt"]);
        assert_eq!(chosen(&["a/two*"]), ["a", "a/two.md"]);
        assert_eq!(chosen(&["a/b/", "c"]), ["a", "a/b", "a/b/one.txt", "c"]);
        assert_eq!(chosen(&["a"]), ["a", "a/b", "a/b/one.txt", "a/two.md"]);
        assert_eq!(chosen(&["x*"]), Vec::<String>::new());
    }

    #[test]
    fn patterns_have_bounds() {
        assert!(matches!(Patterns::new(&vec![String::new(); 257]), Err(PatternError::TooMany)));
        assert!(matches!(Patterns::new(&["x".repeat(4097)]), Err(PatternError::TooMany)));
        assert!(matches!(Patterns::new(&["a[".to_owned()]), Err(PatternError::Pattern(_))));
    }
}
