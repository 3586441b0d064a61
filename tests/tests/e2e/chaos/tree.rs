//! A folder that changes from version to version, on the disk and as it is to arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use p2p_node_tests::fixtures;
use wire::ContentHash;

/// Files that a folder has at least, and at most.
const FILES: std::ops::Range<usize> = 12..28;
const LARGEST_FILE: u64 = 20_000;
const FOLDERS: [&str; 4] = ["", "a/", "b/", "b/c/"];

/// A source of numbers that are the same for the same seed.
#[derive(Debug)]
pub(super) struct Random {
    seed: u64,
    drawn: u64,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// Below this bound, which is not 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        let seed = self.seed.wrapping_mul(1 << 32).wrapping_add(self.drawn);
        let bytes = fixtures::bytes(seed, 8).try_into().expect("8 bytes");
        u64::from_be_bytes(bytes) % bound
    }

    /// Bytes that were never drawn before.
    pub(super) fn bytes(&mut self, size: usize) -> Vec<u8> {
        let seed = self.below(u64::MAX);
        fixtures::bytes(seed, size)
    }

    /// One of these.
    pub(super) fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }
}

/// What a folder contains: each folder, and each file with its content and whether it may be executed.
pub(super) type Listing = BTreeMap<String, Option<(ContentHash, bool)>>;

/// What lies in a folder. What goes while it is looked at is left out.
pub(super) fn listing(root: &Path) -> Listing {
    let mut found = Listing::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Some(entries) = unless_gone(std::fs::read_dir(&folder)) else { continue };
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            let Some(metadata) = unless_gone(std::fs::symlink_metadata(&path)) else { continue };
            let name = path.strip_prefix(root).expect("below").to_str().expect("UTF-8").to_owned();
            if metadata.is_dir() {
                found.insert(name, None);
                folders.push(path);
            } else if let Some(content) = unless_gone(std::fs::read(&path)) {
                let executable = metadata.permissions().mode() & 0o100 != 0;
                found.insert(name, Some((ContentHash::of(&content), executable)));
            }
        }
    }
    found
}

fn unless_gone<T>(result: std::io::Result<T>) -> Option<T> {
    match result {
        Ok(found) => Some(found),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
        Err(error) => panic!("{error}"),
    }
}

/// The owner's folder.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    named: u64,
    /// What some version had at each path; of a folder `None`.
    ever: BTreeMap<String, BTreeSet<Option<ContentHash>>>,
}

impl Tree {
    /// Makes one, of 20 files.
    pub(super) fn make(root: PathBuf, random: &mut Random) -> Self {
        let mut tree = Self { root, named: 0, ever: BTreeMap::new() };
        (0..20).for_each(|_| tree.add(random));
        tree.note();
        tree
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the next version.
    pub(super) fn change(&mut self, random: &mut Random) {
        for _ in 0..1 + random.below(4) {
            let files = self.files();
            match random.below(6) {
                0 if files.len() < FILES.end => self.add(random),
                1 if files.len() > FILES.start => {
                    std::fs::remove_file(self.root.join(random.one_of(&files))).expect("removed");
                }
                2 => self.rename(&random.one_of(&files), random),
                3 => self.change_mode(&random.one_of(&files)),
                4 => self.rename_folder(random),
                _ => {
                    let size = random.below(LARGEST_FILE) as usize;
                    let content = random.bytes(size);
                    fixtures::write(&self.root.join(random.one_of(&files)), &content);
                }
            }
        }
        self.note();
    }

    /// What is wrong with what is seen, if something is: each file is as some version had it.
    pub(super) fn wrong(&self, seen: &Listing) -> Option<String> {
        let known = |(path, found): (&String, &Option<(ContentHash, bool)>)| {
            let content = found.map(|(content, _)| content);
            self.ever.get(path).is_some_and(|ever| ever.contains(&content))
        };
        seen.iter().find(|one| !known(*one)).map(|(path, found)| format!("{path}: {found:?}"))
    }

    fn files(&self) -> Vec<String> {
        let all = listing(&self.root);
        all.into_iter().filter(|(_, found)| found.is_some()).map(|(path, _)| path).collect()
    }

    fn new_path(&mut self, random: &mut Random) -> PathBuf {
        self.named += 1;
        self.root.join(format!("{}{}.bin", random.one_of(&FOLDERS), self.named))
    }

    fn add(&mut self, random: &mut Random) {
        let size = random.below(LARGEST_FILE) as usize;
        let content = random.bytes(size);
        fixtures::write(&self.new_path(random), &content);
    }

    fn rename(&mut self, from: &str, random: &mut Random) {
        let to = self.new_path(random);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        std::fs::rename(self.root.join(from), to).expect("renamed");
    }

    fn change_mode(&self, path: &str) {
        let path = self.root.join(path);
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        std::fs::set_permissions(path, Permissions::from_mode(mode ^ 0o111)).expect("set");
    }

    fn rename_folder(&mut self, random: &mut Random) {
        let from = self.root.join("a");
        if from.exists() {
            self.named += 1;
            let to = self.root.join(format!("{}a-{}", random.one_of(&FOLDERS[2..]), self.named));
            std::fs::create_dir_all(to.parent().expect("a folder")).expect("made");
            std::fs::rename(from, to).expect("renamed");
        }
    }

    fn note(&mut self) {
        for (path, found) in listing(&self.root) {
            self.ever.entry(path).or_default().insert(found.map(|(content, _)| content));
        }
    }
}
