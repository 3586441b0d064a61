//! Random versions, edits, and moments at which the machine stops.

use std::collections::BTreeSet;

use super::*;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn path(&mut self) -> String {
        let depth = 1 + self.below(3);
        let names: Vec<_> = (0..depth).map(|_| ["a", "b", "c", "d"][self.below(4) as usize]).collect();
        names.join("/")
    }

    fn node(&mut self) -> Node {
        match self.below(8) {
            0 => Node::Folder,
            1 => Node::Link(["x", "y"][self.below(2) as usize].to_owned()),
            _ => {
                let bytes = format!("version {}", self.below(9)).into_bytes();
                Node::File(bytes, self.below(4) == 0, 1 + self.below(3) as i64)
            }
        }
    }

    fn tree(&mut self) -> Tree {
        let mut tree = Tree::new();
        for _ in 0..1 + self.below(14) {
            let (path, node) = (self.path(), self.node());
            put(&mut tree, &path, node);
        }
        tree
    }

    /// The next version: some of it as it was.
    fn changed(&mut self, tree: &Tree) -> Tree {
        let mut next = tree.clone();
        for _ in 0..self.below(8) {
            let path = self.path();
            match self.below(3) {
                0 => remove(&mut next, &path),
                _ => {
                    let node = self.node();
                    put(&mut next, &path, node);
                }
            }
        }
        if next.is_empty() {
            put(&mut next, "a", file("version 1"));
        }
        next
    }

    /// Edits in a folder; what a user would miss is entered.
    fn edit(&mut self, root: &Path, edits: &mut BTreeSet<Vec<u8>>) {
        let (path, content) = (root.join(self.path()), format!("edit {}", self.next()));
        let kind = std::fs::symlink_metadata(&path).ok().map(|found| found.file_type());
        match (self.below(6), kind) {
            (0, Some(kind)) if !kind.is_dir() => {
                // What was an edit is one no more.
                edits.retain(|edit| !contents_at(&path).contains(edit));
                std::fs::remove_file(&path).expect("removed");
            }
            (1, Some(kind)) if kind.is_dir() => {
                edits.retain(|edit| !contents_at(&path).contains(edit));
                std::fs::remove_dir_all(&path).expect("removed");
                std::fs::write(&path, &content).expect("written");
                edits.insert(content.into_bytes());
            }
            (2, Some(kind)) if kind.is_file() => {
                edits.retain(|edit| !contents_at(&path).contains(edit));
                std::fs::remove_file(&path).expect("removed");
                std::fs::create_dir(&path).expect("created");
                std::fs::write(path.join("mine"), &content).expect("written");
                edits.insert(content.into_bytes());
            }
            (3, Some(kind)) if kind.is_file() => {
                edits.retain(|edit| !contents_at(&path).contains(edit));
                std::fs::remove_file(&path).expect("removed");
                symlink(&content, &path).expect("linked");
                edits.insert(content.into_bytes());
            }
            (_, Some(kind)) if kind.is_file() => {
                edits.retain(|edit| !contents_at(&path).contains(edit));
                std::fs::write(&path, &content).expect("written");
                edits.insert(content.into_bytes());
            }
            (_, None) if path.parent().is_some_and(Path::is_dir) && !leads_over_a_link(root, &path) => {
                std::fs::write(&path, &content).expect("written");
                edits.insert(content.into_bytes());
            }
            _ => {}
        }
    }
}

fn leads_over_a_link(root: &Path, path: &Path) -> bool {
    path.ancestors().take_while(|above| *above != root).any(Path::is_symlink)
}

/// The bytes of all files, and the targets of all links, at a path and below it.
fn contents_at(path: &Path) -> Vec<Vec<u8>> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Vec::new() };
    match found.file_type() {
        kind if kind.is_symlink() => {
            vec![std::fs::read_link(path).expect("a link").to_str().expect("UTF-8").to_owned().into_bytes()]
        }
        kind if kind.is_dir() => {
            let entries = std::fs::read_dir(path).expect("listed");
            entries.flat_map(|entry| contents_at(&entry.expect("listed").path())).collect()
        }
        _ => vec![std::fs::read(path).expect("read")],
    }
}

fn is_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn remove(tree: &mut Tree, path: &str) {
    tree.retain(|one, _| one != path && !is_in(one, path));
}

fn put(tree: &mut Tree, path: &str, node: Node) {
    for (at, _) in path.match_indices('/') {
        if tree.get(&path[..at]) != Some(&Node::Folder) {
            tree.insert(path[..at].to_owned(), Node::Folder);
        }
    }
    if node != Node::Folder {
        remove(tree, path);
    }
    tree.insert(path.to_owned(), node);
}

/// What must hold after an update, whatever happened.
fn check(what: &str, fixture: &Fixture, versions: (&Tree, &Tree), before: &Tree, edits: &BTreeSet<Vec<u8>>) {
    let (old, new) = versions;
    let found = disk(&fixture.path("docs"));
    let show = || format!("{what}\nold: {old:?}\nbefore: {before:?}\nnew: {new:?}\nfound: {found:?}");
    assert_eq!(names(fixture), ["docs"], "{}", show());
    for (path, node) in new {
        let same = |one: &Node, other: &Node| match (one, other) {
            (Node::File(one, ..), Node::File(other, ..)) => one == other,
            (one, other) => one == other,
        };
        let stays = old.get(path).is_some_and(|old| same(old, node));
        match stays {
            false => assert_eq!(found.get(path), Some(node), "{path}: {}", show()),
            true if *node == Node::Folder => {}
            // As it was before, or removed or edited by the user.
            true => {
                let unedited = before.get(path) == old.get(path);
                let expected = if unedited { Some(node) } else { before.get(path) };
                let under_user = path
                    .match_indices('/')
                    .any(|(at, _)| before.get(&path[..at]).is_some_and(|above| *above != Node::Folder));
                assert!(under_user || found.get(path) == expected, "{path}: {}", show());
            }
        }
    }
    for path in old.keys().filter(|path| !new.contains_key(*path)) {
        let of_user = old[path] == Node::Folder && before.get(path) != Some(&Node::Folder)
            || found.keys().any(|one| is_in(one, path));
        assert!(of_user || !found.contains_key(path), "{path}: {}", show());
    }
    let mut contents = contents_at(&fixture.path("docs"));
    contents.retain(|content| content.starts_with(b"edit"));
    contents.sort();
    let expected: Vec<_> = edits.iter().cloned().collect();
    assert_eq!(contents, expected, "each edit is there once: {}", show());
    for (path, node) in &found {
        let is_edit = match node {
            Node::File(bytes, ..) => bytes.starts_with(b"edit"),
            Node::Link(target) => target.starts_with("edit"),
            Node::Folder => found.keys().any(|one| is_in(one, path)),
        };
        assert!(!path.contains(CONFLICT) || is_edit, "a conflict without an edit, {path}: {}", show());
    }
}

async fn run(seed: u64, stops: bool) {
    let mut random = Random(seed);
    let old = random.tree();
    let new = random.changed(&old);
    let os = if random.below(4) == 0 { OsFs::without_rename_flags() } else { OsFs::new() };
    let (mut fixture, first, second) = installed(os, &old, &new).await;
    if first.layout.content == second.layout.content {
        return;
    }
    let root = fixture.path("docs");
    let mut edits = BTreeSet::new();
    let edit = |random: &mut Random, edits: &mut BTreeSet<Vec<u8>>| {
        (0..random.below(5)).for_each(|_| random.edit(&root, edits));
    };
    edit(&mut random, &mut edits);
    let id = second.job(&fixture, Some(&first), true, &[]).await;
    let partial = second.receive(&fixture, id).await.expect("received");
    edit(&mut random, &mut edits);
    let before = disk(&root);
    let what = format!("seed {seed}, stops {stops}");
    if stops {
        fixture.fs.die_after(random.below(150));
    }
    let mut result = second.install(&fixture, id, partial).await.map(drop);
    for _ in 0..4 {
        if !stops {
            break;
        }
        fixture.fs.clear();
        fixture.reopen().await;
        fixture.fs.die_after(random.below(200));
        result = fixture.store.recover(NOW.plus(1000)).await.map(drop).map_err(InstallError::from);
    }
    fixture.fs.clear();
    if stops {
        fixture.reopen().await;
        for recovered in fixture.store.recover(NOW.plus(9000)).await.expect("recovers") {
            recovered.outcome.unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        if !is_installed(&fixture, id).await {
            let partial =
                second.receive(&fixture, id).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            result = second.install(&fixture, id, partial).await.map(drop);
        } else {
            result = Ok(());
        }
    }
    result.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(is_installed(&fixture, id).await);
    check(&what, &fixture, (&old, &new), &before, &edits);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_update_over_any_edits() {
    for seed in 0..250 {
        run(seed, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_machine_stops() {
    for seed in 1000..1250 {
        run(seed, true).await;
    }
}
