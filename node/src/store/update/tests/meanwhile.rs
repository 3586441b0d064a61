//! Programs that write while an update is put in place.

use std::io::Write;

use super::super::super::fs::FsOp;
use super::*;

fn versions() -> (Tree, Tree) {
    let old = tree(&[("a", file("one")), ("b", file("goes")), ("t", file("touched"))]);
    let new = tree(&[("a", file("two")), ("t", Node::File(b"touched".to_vec(), false, 9))]);
    (old, new)
}

/// Runs an update that hangs at a call, does something meanwhile, and returns what lies there after it.
async fn meanwhile(op: FsOp, path: &str, passes: u64, act: impl FnOnce(&Path)) -> Tree {
    let (old, new) = versions();
    let (fixture, first, second) = installed(OsFs::new(), &old, &new).await;
    let id = second.job(&fixture, Some(&first), true, &[]).await;
    let partial = second.receive(&fixture, id).await.expect("received");
    let hang = fixture.fs.hang_after(passes, op, path);
    let installing = second.install(&fixture, id, partial);
    tokio::pin!(installing);
    while fixture.fs.hanging() == 0 {
        tokio::select! {
            done = &mut installing => panic!("it did not hang: {done:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    act(&fixture.path("docs"));
    drop(hang);
    installing.await.expect("installed");
    assert_eq!(names(&fixture), ["docs"]);
    disk(&fixture.path("docs"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_just_before_the_swap_is_kept() {
    let edit = |root: &Path| std::fs::write(root.join("a"), "my edit").expect("written");
    let found = meanwhile(FsOp::Replace, "new/a", 0, edit).await;
    assert_eq!((&found["a"], conflicts(&found)), (&file("two"), vec![b"my edit".to_vec()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_writes_on_to_an_old_file_loses_nothing() {
    // The old file is under its temporary name, and looked at for the first time, or for the second.
    for passes in [1, 2] {
        let open = std::cell::RefCell::new(None::<std::fs::File>);
        let write = |root: &Path| {
            let above = std::fs::read_dir(root.parent().expect("a folder")).expect("listed");
            let temporary =
                above.map(|entry| entry.expect("listed").path()).find(|path| !path.ends_with("docs"));
            let old = temporary.expect("there").join("new/a");
            let mut file = std::fs::OpenOptions::new().append(true).open(old).expect("opened");
            file.write_all(b", and more").expect("written");
            open.replace(Some(file));
        };
        let found = meanwhile(FsOp::Stat, "new/a", passes, write).await;
        assert_eq!(
            (&found["a"], conflicts(&found)),
            (&file("two"), vec![b"one, and more".to_vec()]),
            "{passes}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_what_goes_is_kept() {
    let edit = |root: &Path| std::fs::write(root.join("b"), "my edit").expect("written");
    let found = meanwhile(FsOp::RenameNew, "docs/b", 0, edit).await;
    assert_eq!((found.get("b"), conflicts(&found)), (None, vec![b"my edit".to_vec()]));
}

/// Of the same length, within the time that is set: nothing but the bytes tells it.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_comes_with_a_new_time_is_seen() {
    let edit = |root: &Path| std::fs::write(root.join("t"), "TOUCHED").expect("written");
    let found = meanwhile(FsOp::SetAttributes, "docs/t", 0, edit).await;
    let Node::File(bytes, _, mtime) = &found["t"] else { panic!("{found:?}") };
    assert_eq!((bytes.as_slice(), *mtime), (&b"TOUCHED"[..], NOW.0 as i64 / 1000));
}
