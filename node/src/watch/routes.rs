//! Which folders are to be watched, and whose changes the changes in them are. Pure.
//!
//! For a file the folder that it lies in is watched, since many programs replace a file by renaming another one over it;
//! so a hundred thousand files of one folder need one watch. A folder is watched with all that is in it, and what lies in
//! one that is watched so needs no watch of its own.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wire::ResourceName;

/// Where something watched lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The folder to watch; no part of its path is a link, where it was there when this was found out.
    pub(super) root: PathBuf,
    /// The name of the file in it; `None`: the folder with all that is in it.
    pub(super) file: Option<OsString>,
}

/// All that is watched.
#[derive(Debug, Default)]
pub(super) struct Routes {
    places: BTreeMap<ResourceName, (Arc<Path>, Option<OsString>)>,
    roots: HashMap<Arc<Path>, Root>,
    /// Roots that are to be watched otherwise than before.
    dirty: HashSet<Arc<Path>>,
}

/// Who shares something in a folder.
#[derive(Debug, Default)]
struct Root {
    folder: Vec<ResourceName>,
    files: HashMap<OsString, Vec<ResourceName>>,
}

impl Root {
    fn is_recursive(&self) -> bool {
        !self.folder.is_empty()
    }
}

impl Routes {
    /// How many shares are watched.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Says where something lies. Returns whether that was not known before.
    pub(super) fn put(&mut self, name: &ResourceName, place: Place) -> bool {
        let Place { root, file } = place;
        match self.places.get(name) {
            Some((known, known_file)) if **known == *root && *known_file == file => return false,
            Some(_) => self.remove(name),
            None => {}
        }
        let root = match self.roots.get_key_value(root.as_path()) {
            Some((root, _)) => root.clone(),
            None => Arc::from(root),
        };
        let entry = self.roots.entry(root.clone()).or_default();
        let before = entry.is_recursive() || !entry.files.is_empty();
        let was_recursive = entry.is_recursive();
        match &file {
            Some(file) => entry.files.entry(file.clone()).or_default().push(name.clone()),
            None => entry.folder.push(name.clone()),
        }
        if !before || was_recursive != entry.is_recursive() {
            self.dirty.insert(root.clone());
        }
        self.places.insert(name.clone(), (root, file));
        true
    }

    /// Something is not watched any more. O(n) of the watched folders where that was a folder.
    pub(super) fn remove(&mut self, name: &ResourceName) {
        let Some((root, file)) = self.places.remove(name) else { return };
        let Some(entry) = self.roots.get_mut(&root) else { return };
        match &file {
            None => entry.folder.retain(|other| other != name),
            Some(file) => {
                let names = entry.files.entry(file.clone()).or_default();
                names.retain(|other| other != name);
                if names.is_empty() {
                    entry.files.remove(file);
                }
            }
        }
        let (is_recursive, is_empty) = (entry.is_recursive(), entry.files.is_empty());
        if !is_recursive && file.is_none() {
            // What lies in it is not watched with it any more.
            self.dirty.extend(self.roots.keys().filter(|other| other.starts_with(&root)).cloned());
        }
        if !is_recursive && is_empty {
            self.roots.remove(&root);
            self.dirty.insert(root);
        }
    }

    /// The roots that are to be watched otherwise since the last call.
    pub(super) fn take_dirty(&mut self) -> Vec<Arc<Path>> {
        self.dirty.drain().collect()
    }

    /// How a folder is to be watched: with all that is in it, or not, or, `None`, not by itself.
    pub(super) fn wanted(&self, root: &Path) -> Option<bool> {
        let entry = self.roots.get(root)?;
        let is_covered = root.ancestors().skip(1).any(|above| self.is_recursive(above));
        (!is_covered).then(|| entry.is_recursive())
    }

    /// Whose changes a change at this path is.
    pub(super) fn of(&self, path: &Path) -> impl Iterator<Item = &ResourceName> {
        let folder = path.parent().and_then(|parent| self.roots.get(parent));
        let file =
            folder.zip(path.file_name()).and_then(|(root, name): (&Root, &OsStr)| root.files.get(name));
        let folders =
            path.ancestors().filter_map(|above| self.roots.get(above)).flat_map(|root| &root.folder);
        file.into_iter().flatten().chain(folders)
    }

    /// Whether this folder itself is watched.
    pub(super) fn is_root(&self, path: &Path) -> bool {
        self.roots.contains_key(path)
    }

    /// All that depends on the watch of a folder. O(n) of the watched folders.
    pub(super) fn under(&self, root: &Path) -> Vec<ResourceName> {
        let recursive = self.is_recursive(root);
        let roots = self.roots.iter().filter(|(other, _)| match recursive {
            true => other.starts_with(root),
            false => ***other == *root,
        });
        roots.flat_map(|(_, root)| root.folder.iter().chain(root.files.values().flatten())).cloned().collect()
    }

    /// What is watched after a name and up to another one.
    pub(super) fn between(
        &self,
        after: Option<&ResourceName>,
        to: Option<&ResourceName>,
    ) -> Vec<ResourceName> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let to = to.map_or(Bound::Unbounded, Bound::Included);
        self.places.range::<ResourceName, _>((after, to)).map(|(name, _)| name.clone()).collect()
    }

    fn is_recursive(&self, root: &Path) -> bool {
        self.roots.get(root).is_some_and(Root::is_recursive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> ResourceName {
        name.parse().expect("a name")
    }

    fn file(root: &str, file: &str) -> Place {
        Place { root: root.into(), file: Some(file.into()) }
    }

    fn folder(root: &str) -> Place {
        Place { root: root.into(), file: None }
    }

    fn dirty(routes: &mut Routes) -> Vec<String> {
        let mut dirty: Vec<_> =
            routes.take_dirty().into_iter().map(|root| root.display().to_string()).collect();
        dirty.sort();
        dirty
    }

    fn of(routes: &Routes, path: &str) -> Vec<String> {
        let mut names: Vec<_> = routes.of(Path::new(path)).map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[test]
    fn many_files_of_a_folder_are_one_watch() {
        let mut routes = Routes::default();
        for number in 0..1000 {
            assert!(routes.put(&name(&number.to_string()), file("/a", &number.to_string())));
        }
        assert_eq!(
            (dirty(&mut routes), routes.wanted(Path::new("/a"))),
            (vec!["/a".to_owned()], Some(false))
        );
        assert_eq!(of(&routes, "/a/7"), ["7"]);
        assert_eq!(of(&routes, "/a/none"), [""; 0]);
        assert_eq!(of(&routes, "/a/b/7"), [""; 0]);
        assert!(!routes.put(&name("7"), file("/a", "7")), "known");
        for number in 0..1000 {
            routes.remove(&name(&number.to_string()));
        }
        assert_eq!((dirty(&mut routes), routes.wanted(Path::new("/a"))), (vec!["/a".to_owned()], None));
        assert_eq!(routes.len(), 0);
    }

    #[test]
    fn what_lies_in_a_watched_folder_needs_no_watch_as_long_as_that_is_watched() {
        let mut routes = Routes::default();
        routes.put(&name("file"), file("/a/b", "file"));
        routes.put(&name("tree"), folder("/a"));
        routes.put(&name("inner"), folder("/a/b/c"));
        assert_eq!(dirty(&mut routes), ["/a", "/a/b", "/a/b/c"]);
        let wanted = |routes: &Routes| ["/a", "/a/b", "/a/b/c"].map(|root| routes.wanted(Path::new(root)));
        assert_eq!(wanted(&routes), [Some(true), None, None]);
        assert_eq!(of(&routes, "/a/b/file"), ["file", "tree"]);
        assert_eq!(of(&routes, "/a/b/c/x"), ["inner", "tree"]);
        assert_eq!(of(&routes, "/a"), ["tree"], "the folder itself");
        assert_eq!(routes.under(Path::new("/a")).len(), 3);
        assert_eq!(routes.under(Path::new("/a/b")), [name("file")]);
        routes.remove(&name("tree"));
        assert_eq!(dirty(&mut routes), ["/a", "/a/b", "/a/b/c"]);
        assert_eq!(wanted(&routes), [None, Some(false), Some(true)]);
    }

    #[test]
    fn a_share_that_moves_and_two_of_one_file() {
        let mut routes = Routes::default();
        routes.put(&name("one"), file("/a", "x"));
        routes.put(&name("two"), file("/a", "x"));
        assert_eq!(of(&routes, "/a/x"), ["one", "two"]);
        routes.put(&name("one"), file("/b", "x"));
        assert_eq!(
            (of(&routes, "/a/x"), of(&routes, "/b/x")),
            (vec!["two".to_owned()], vec!["one".to_owned()])
        );
        assert_eq!(dirty(&mut routes), ["/a", "/b"]);
        assert_eq!(routes.between(Some(&name("one")), None), [name("two")]);
        assert_eq!(routes.between(None, Some(&name("one"))), [name("one")]);
    }
}
