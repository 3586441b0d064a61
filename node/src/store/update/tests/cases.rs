//! One kind of change, or of edit, at a time.

use super::*;
use crate::store::PartialError;

fn write(fixture: &Fixture, path: &str, bytes: &str) {
    std::fs::write(fixture.path("docs").join(path), bytes).expect("written");
}

fn old() -> Tree {
    tree(&[
        ("a", Node::Folder),
        ("a/changes", file("1")),
        ("a/goes", file("goes")),
        ("a/same", file("same")),
        ("file becomes folder", file("was a file")),
        ("folder becomes file", Node::Folder),
        ("folder becomes file/x", file("x")),
        ("goes with all", Node::Folder),
        ("goes with all/deep", Node::Folder),
        ("goes with all/deep/y", file("y")),
        ("link", Node::Link("a/same".to_owned())),
        ("moves", file("moved about")),
        ("touched", file("t")),
    ])
}

fn new() -> Tree {
    tree(&[
        ("a", Node::Folder),
        ("a/changes", Node::File(b"one".to_vec(), true, 3)),
        ("a/same", file("same")),
        ("comes", Node::Folder),
        ("comes/empty", file("")),
        ("comes/moved", file("moved about")),
        ("file becomes folder", Node::Folder),
        ("file becomes folder/z", file("z")),
        ("folder becomes file", file("is a file")),
        ("link", Node::Link("a/changes".to_owned())),
        ("touched", Node::File(b"t".to_vec(), true, 9)),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_change() {
    for os in [OsFs::new(), OsFs::without_rename_flags()] {
        let (fixture, first, second) = installed(os, &old(), &new()).await;
        assert_eq!(disk(&fixture.path("docs")), old());
        let same = std::fs::metadata(fixture.path("docs/a/same")).expect("there").ino();
        let id = second.job(&fixture, Some(&first), false, &[]).await;
        let update = fixture.store.plan_update(id).await.expect("planned").expect("an update");
        assert_eq!(update.brought().bytes(&second.layout), 3 + 11 + 1 + 9, "all but `same` and `touched`");
        let partial = second.receive(&fixture, id).await.expect("received");
        let done = second.install(&fixture, id, partial).await.expect("installed");
        assert_eq!((disk(&fixture.path("docs")), done.kept.count), (new(), 0));
        assert_eq!(names(&fixture), ["docs"]);
        assert_eq!(std::fs::metadata(fixture.path("docs/a/same")).expect("there").ino(), same);
        let folder = std::fs::metadata(fixture.path("docs/comes")).expect("there");
        assert_eq!((folder.mtime(), folder.mode() & 0o777), (5, 0o777 & !OsFs::new().umask()));
        let held = fixture.store.holdings_at(fixture.path("docs")).await.expect("read");
        assert_eq!((held.len(), held[0].content), (1, second.layout.content));
        let state = fixture.store.check_holding(held[0].clone()).await.expect("asked");
        assert_eq!(state, HoldingState::Ok);
        let root = first.base().root;
        let query = move |c: &rusqlite::Connection| crate::store::manifests::root(c, root);
        assert_eq!(fixture.store.db().read("look", query).await.expect("read"), None, "nothing needs it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_are_kept_beside_and_what_is_not_of_it_stays() {
    let (fixture, first, second) = installed(OsFs::new(), &old(), &new()).await;
    write(&fixture, "a/changes", "my edit");
    write(&fixture, "a/goes", "edited, and goes");
    write(&fixture, "a/same", "edited, and stays");
    write(&fixture, "a/mine", "mine");
    write(&fixture, "folder becomes file/mine", "in the way");
    write(&fixture, "goes with all/deep/mine", "stays too");
    std::fs::create_dir(fixture.path("docs/comes")).expect("created");
    write(&fixture, "comes/moved", "mine, where something comes");
    std::fs::remove_file(fixture.path("docs/link")).expect("removed");
    let id = second.job(&fixture, Some(&first), true, &[]).await;
    let partial = second.receive(&fixture, id).await.expect("received");
    write(&fixture, "file becomes folder", "edited while it came");
    let done = second.install(&fixture, id, partial).await.expect("installed");
    let found = disk(&fixture.path("docs"));
    let edits =
        ["edited while it came", "edited, and goes", "in the way", "mine, where something comes", "my edit"];
    assert_eq!(conflicts(&found), edits.map(|edit| edit.as_bytes().to_vec()));
    assert_eq!(done.kept.count, 5);
    assert!(done.kept.files.iter().all(|file| file.path.exists()), "{:?}", done.kept);
    let stamp = "sync-conflict-20231114-221320-alice";
    assert!(found.contains_key(&format!("a/changes.{stamp}")), "{found:?}");
    assert!(found.contains_key(&format!("folder becomes file.{stamp}/mine")), "{found:?}");
    let contents = |path: &str| match &found[path] {
        Node::File(bytes, ..) => String::from_utf8(bytes.clone()).expect("UTF-8"),
        other => panic!("{other:?}"),
    };
    assert_eq!(contents("a/same"), "edited, and stays");
    assert_eq!(contents("a/mine"), "mine");
    assert_eq!(contents("goes with all/deep/mine"), "stays too");
    for (path, node) in new() {
        assert!(path == "a/same" || found[&path] == node, "{path}: {:?}", found[&path]);
    }
    assert_eq!(names(&fixture), ["docs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_touched_alone_is_no_edit_and_what_was_removed_comes_again() {
    let (fixture, first, second) = installed(OsFs::new(), &old(), &new()).await;
    write(&fixture, "moves", "moved about");
    write(&fixture, "a/changes", "one");
    std::fs::remove_dir_all(fixture.path("docs/folder becomes file")).expect("removed");
    std::fs::remove_file(fixture.path("docs/a/same")).expect("removed");
    let done = second.get(&fixture, Some(&first)).await;
    let mut expected = new();
    expected.remove("a/same");
    assert_eq!((disk(&fixture.path("docs")), done.kept.count), (expected, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_force_an_edit_in_the_way_is_refused_and_others_are_not() {
    for (path, refused) in
        [("a/changes", true), ("a/goes", true), ("comes", true), ("a/same", false), ("own", false)]
    {
        let (fixture, first, second) = installed(OsFs::new(), &old(), &new()).await;
        let id = second.job(&fixture, Some(&first), false, &[]).await;
        for late in [false, true] {
            let partial = match late {
                true => Some(second.receive(&fixture, id).await.expect("received")),
                false => None,
            };
            write(&fixture, path, "my edit");
            let before = disk(&fixture.path("docs"));
            let error = match partial {
                Some(partial) => second.install(&fixture, id, partial).await.err(),
                None => match second.receive(&fixture, id).await {
                    Ok(_) => None,
                    Err(PartialError::Install(error)) => Some(*error),
                    Err(error) => panic!("{error}"),
                },
            };
            let edited = matches!(&error, Some(InstallError::Edited(edited)) if *edited == fixture.path("docs").join(path));
            assert_eq!(edited, refused, "{path}: {error:?}");
            if refused {
                assert_eq!(disk(&fixture.path("docs")), before);
                let restored: (&str, Option<Node>) = (path, old().remove(path));
                match restored.1 {
                    Some(Node::File(bytes, ..)) => {
                        std::fs::write(fixture.path("docs").join(path), bytes).expect("written")
                    }
                    _ => std::fs::remove_file(fixture.path("docs").join(path)).expect("removed"),
                }
            }
        }
        if !is_installed(&fixture, id).await {
            let partial = second.receive(&fixture, id).await.expect("received");
            second.install(&fixture, id, partial).await.expect("installed");
        }
        assert!(conflicts(&disk(&fixture.path("docs"))).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_part_only_that_part() {
    let fixture = Fixture::new();
    let first = Version::put(&fixture, 1, &old()).await;
    let only = ["a", "goes with all"];
    let id = first.job(&fixture, None, false, &only).await;
    let partial = first.receive(&fixture, id).await.expect("received");
    first.install(&fixture, id, partial).await.expect("installed");
    fixture.store.collect_garbage().await.expect("collected");
    let second = Version::put(&fixture, 2, &new()).await;
    let name = first.offer.record.name.clone();
    let installed = fixture.store.installed_at(fixture.path("docs"), name, None).await.expect("read");
    let installed = installed.expect("known");
    assert_eq!((installed.base, &installed.only[..]), (first.base(), &only.map(str::to_owned)[..]));
    std::fs::write(fixture.path("docs/moves"), "mine").expect("written");
    let id = second.job(&fixture, Some(&first), true, &only).await;
    let partial = second.receive(&fixture, id).await.expect("received");
    second.install(&fixture, id, partial).await.expect("installed");
    let mut expected = new();
    expected.retain(|path, _| path.starts_with('a'));
    let mut found = disk(&fixture.path("docs"));
    assert!(matches!(found.remove("moves"), Some(Node::File(bytes, ..)) if bytes == b"mine"));
    assert_eq!(found, expected);
    assert!(fixture.store.holdings_at(fixture.path("docs")).await.expect("read").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_gone_is_downloaded_anew() {
    let (fixture, first, second) = installed(OsFs::new(), &old(), &new()).await;
    let id = second.job(&fixture, Some(&first), false, &[]).await;
    let partial = second.receive(&fixture, id).await.expect("received");
    std::fs::remove_dir_all(fixture.path("docs")).expect("removed");
    let error = second.install(&fixture, id, partial).await.expect_err("gone");
    assert!(matches!(&error, InstallError::TargetGone(_)) && error.hint().is_some(), "{error}");
    assert!(names(&fixture).is_empty());
    let partial = second.receive(&fixture, id).await.expect("received");
    second.install(&fixture, id, partial).await.expect("installed");
    assert_eq!(disk(&fixture.path("docs")), new());
}
