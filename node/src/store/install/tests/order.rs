//! In which order calls and transactions come: what no test that keeps the machine's memory can tell otherwise.

use super::*;

/// One thing that happened, with the role of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Did {
    SyncFile,
    Rename,
    Exchange,
    KeepOld,
    Remove,
    SyncFolder,
    Commit,
}

/// What was recorded, without what changes nothing on a disk.
fn done(fixture: &Fixture, temporary: &Path) -> Vec<Did> {
    let target = fixture.path("file.txt");
    let did = |(op, path): (Option<FsOp>, PathBuf)| match op {
        None => Some(Did::Commit),
        Some(FsOp::SyncAll | FsOp::SyncData) if path == temporary => Some(Did::SyncFile),
        Some(FsOp::RenameNew) if path == temporary => Some(Did::Rename),
        Some(FsOp::Replace) if path == temporary => Some(Did::Exchange),
        Some(FsOp::Remove) if path == temporary => Some(Did::Remove),
        Some(FsOp::SyncFolder) if Some(path.as_path()) == target.parent() => Some(Did::SyncFolder),
        Some(FsOp::RenameNew | FsOp::Replace | FsOp::Remove | FsOp::SyncFolder) => panic!("{op:?} {path:?}"),
        Some(_) => None,
    };
    fixture.fs.recorded().into_iter().filter_map(did).collect()
}

/// File synced, intent, rename, folder synced, folder synced after the old file's turn, commit.
#[tokio::test]
async fn an_installation_is_durable_step_by_step() {
    for os in [OsFs::new(), OsFs::without_rename_flags()] {
        let fixture = Fixture::with(os);
        let (id, temporary) = ready(&fixture, options(false)).await;
        fixture.fs.record();
        fixture.store.install(id, facts(), NOW).await.expect("installed");
        use Did::*;
        assert_eq!(done(&fixture, &temporary), [SyncFile, Commit, Rename, SyncFolder, SyncFolder, Commit]);
    }
}

/// With an old file: it is moved only once the new one's name is durable, and the commit waits for its new name.
#[tokio::test]
async fn with_force_the_old_file_moves_after_the_new_one_is_durable() {
    for base in [None, Some(OLD)] {
        let fixture = Fixture::new();
        std::fs::write(fixture.path("file.txt"), OLD).expect("written");
        let (id, temporary) = ready(&fixture, options(true)).await;
        fixture.fs.record();
        let facts = InstallFacts { base: base.map(ContentHash::of), ..facts() };
        fixture.store.install(id, facts, NOW).await.expect("installed");
        let mut did = done(&fixture, &temporary);
        // Its second rename away from the temporary name is the old file's: the first one finds the target taken.
        let first = did.iter().position(|did| *did == Did::Rename).expect("tried");
        did.remove(first);
        if let Some(second) = did.iter_mut().find(|did| **did == Did::Rename) {
            *second = Did::KeepOld;
        }
        use Did::*;
        let old = if base.is_some() { Remove } else { KeepOld };
        assert_eq!(did, [SyncFile, Commit, Exchange, SyncFolder, old, SyncFolder, Commit]);
    }
}

#[tokio::test]
async fn what_is_discarded_is_gone_durably_before_its_name_is_forgotten() {
    use Did::*;
    let fixture = Fixture::new();
    let (id, temporary) = ready(&fixture, options(false)).await;
    fixture.fs.record();
    fixture.store.discard_temporary(id).await.expect("discarded");
    assert_eq!(done(&fixture, &temporary), [Remove, SyncFolder, Commit]);

    let temporary = download(&fixture, id).await;
    fixture.fs.record();
    fixture.store.remove_job(id, NOW).await.expect("removed");
    let did = done(&fixture, &temporary);
    assert_eq!(did, [Remove, SyncFolder, Commit, Commit]);
}

/// The name is committed before the file is made, and durable before anything can be said to be in it.
#[tokio::test]
async fn a_temporary_file_is_named_before_it_is_made() {
    let fixture = Fixture::new();
    let (id, _) = ready(&fixture, options(false)).await;
    fixture.store.discard_temporary(id).await.expect("discarded");
    fixture.fs.record();
    let temporary = download(&fixture, id).await;
    let calls = fixture.fs.recorded();
    let at = |wanted: Option<FsOp>| calls.iter().position(|(op, _)| *op == wanted).expect("made");
    assert!(at(None) < at(Some(FsOp::CreateNew)) && at(Some(FsOp::CreateNew)) < at(Some(FsOp::SyncFolder)));
    let did = done(&fixture, &temporary);
    assert_eq!(did, [Did::Commit, Did::SyncFolder, Did::SyncFile, Did::Commit], "synced, then the bitmap");
}
