use super::super::fs::{Fault, FaultyFs, FsOp, OsFs};
use super::super::tests::{Fixture, NOW, manifest_of, record, signed};
use super::*;
use crate::store::{CreatedJob, JobOptions, Moved, NewJob, Offer};
use std::os::unix::fs::PermissionsExt;

fn faulty() -> (FaultyFs, Arc<dyn Fs>, tempfile::TempDir) {
    let fs = FaultyFs::new(OsFs::new());
    (fs.clone(), Arc::new(fs), tempfile::tempdir().expect("a folder"))
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).expect("listed").count()
}

const NAME: &str = ".x.00000000000000ab.part";

#[test]
fn written_in_any_order_and_read_back() {
    let (_, fs, folder) = faulty();
    let path = folder.path().join("deep/er").join(NAME);
    let partial = PartialFile::create(fs.clone(), &path, 10).expect("created");
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    std::thread::scope(|scope| {
        scope.spawn(|| partial.write_at(5, b"world").expect("written"));
        scope.spawn(|| partial.write_at(0, b"hello").expect("written"));
    });
    partial.sync_data().expect("synced");
    drop(partial);
    let partial = PartialFile::reopen(fs, &path, 10).expect("opens").expect("as it was");
    let mut buffer = [0; 7];
    partial.read_at(3, &mut buffer).expect("read");
    assert_eq!(&buffer, b"loworld");
    partial.discard();
    assert!(!path.exists());
    assert!(matches!(partial.write_at(0, b"x"), Err(PartialError::Discarded(_))));
    assert!(matches!(partial.sync_data(), Err(PartialError::Discarded(_))));
}

#[test]
fn positions_are_checked() {
    let (_, fs, folder) = faulty();
    let partial = PartialFile::create(fs, &folder.path().join(NAME), 10).expect("created");
    for (offset, length) in [(10, 1), (0, 11), (u64::MAX, 1), (u64::MAX, 0)] {
        let result = partial.write_at(offset, &vec![0; length]);
        assert!(matches!(result, Err(PartialError::OutOfBounds { .. })), "{offset} {length}");
        assert!(partial.read_at(offset, &mut vec![0; length]).is_err());
    }
    partial.write_at(10, b"").expect("nothing at the end");
}

#[test]
fn another_size_or_kind_starts_from_nothing() {
    let (_, fs, folder) = faulty();
    let path = folder.path().join(NAME);
    assert!(PartialFile::reopen(fs.clone(), &path, 3).expect("asked").is_none());
    std::fs::write(&path, b"four").expect("written");
    assert!(PartialFile::reopen(fs.clone(), &path, 3).expect("asked").is_none());
    assert!(!path.exists(), "of no use");
    std::fs::create_dir(&path).expect("created");
    assert!(PartialFile::reopen(fs, &path, 3).expect("asked").is_none());
    assert!(path.exists(), "not ours");
}

#[test]
fn too_little_space_is_known_before() {
    let (_, fs, folder) = faulty();
    let error = PartialFile::create(fs, &folder.path().join(NAME), 1 << 62).expect_err("too large");
    assert!(
        matches!(&error, PartialError::NoSpace { needed, available, .. } if needed > available),
        "{error}"
    );
    assert!(error.hint().is_some());
    assert_eq!(count(folder.path()), 0);
}

#[test]
fn a_failed_sync_poisons() {
    let (faults, fs, folder) = faulty();
    let path = folder.path().join(NAME);
    for errno in [5, 28] {
        let partial = PartialFile::create(fs.clone(), &path, 10).expect("created");
        faults.inject(Fault::first(FsOp::SyncData, errno));
        let error = partial.sync_data().expect_err("injected");
        assert!(matches!(error, PartialError::SyncFailed { .. }) && error.hint().is_some());
        assert!(matches!(partial.sync_data(), Err(PartialError::Discarded(_))));
        assert_eq!(count(folder.path()), 0);
    }
}

#[test]
fn faults_are_told_and_leave_nothing_that_is_not_wanted() {
    let (faults, fs, folder) = faulty();
    let path = folder.path().join(NAME);
    for errno in [28, 13, 30, 5] {
        for op in [FsOp::CreateNew, FsOp::FreeSpace, FsOp::SetLen, FsOp::SyncFolder] {
            faults.inject(Fault::first(op, errno));
            let error = PartialFile::create(fs.clone(), &path, 10).expect_err("injected");
            assert!(matches!(error, PartialError::File(_)) && error.hint().is_some(), "{op:?}");
            assert_eq!(count(folder.path()), 0, "{op:?}");
        }
        let partial = PartialFile::create(fs.clone(), &path, 10).expect("created");
        for op in [FsOp::WriteAt, FsOp::ReadAt] {
            faults.inject(Fault::first(op, errno));
            let result = match op {
                FsOp::WriteAt => partial.write_at(0, b"x"),
                _ => partial.read_at(0, &mut [0]),
            };
            let error = result.expect_err("injected");
            assert!(matches!(error, PartialError::File(_)) && error.hint().is_some());
        }
        partial.write_at(0, b"x").expect("what is there stays of use");
        partial.discard();
        faults.inject(Fault::first(FsOp::CreateDirAll, errno));
        let error = PartialFile::create(fs.clone(), &folder.path().join("sub").join(NAME), 10);
        assert!(matches!(error, Err(PartialError::File(_))));
        assert_eq!(count(folder.path()), 0);
    }
}

#[test]
fn discarding_spares_what_has_the_name_now() {
    let (_, fs, folder) = faulty();
    let path = folder.path().join(NAME);
    let partial = PartialFile::create(fs, &path, 1).expect("created");
    std::fs::rename(&path, folder.path().join("installed")).expect("renamed");
    std::fs::write(&path, b"a user's").expect("written");
    partial.discard();
    assert_eq!(std::fs::read(&path).expect("there"), b"a user's");
}

#[tokio::test]
async fn a_job_keeps_its_file_and_its_progress() {
    let mut fixture = Fixture::new();
    let manifest = manifest_of(b"partial", 3);
    let offer = Offer {
        record: signed(record("a", 1, &manifest)),
        receipt: None,
        certificate: None,
        root: Some(manifest.root_hash),
    };
    let options = JobOptions {
        force: false,
        share: true,
        once: false,
        pinned: false,
        limit: crate::rate::Rate::UNLIMITED,
    };
    let job = NewJob { target: fixture.path("sub/a"), only: Vec::new(), base: None, options, offer };
    let CreatedJob::New(job) = fixture.store.create_job(job, NOW).await.expect("created") else { panic!() };
    let opened = fixture.store.open_partial(job.id, NOW).await.expect("opened");
    assert_eq!((opened.file.size(), opened.done.len()), (manifest.root.size, 0));
    assert_eq!(opened.file.path().parent(), job.target.parent());
    fixture
        .store
        .checkpoint(job.id, (0..2).into(), Moved { bytes_received: 5, ..Moved::default() })
        .await
        .expect("written");
    fixture.reopen().await;
    let again = fixture.store.open_partial(job.id, NOW).await.expect("opened");
    assert_eq!((again.file.path(), again.done), (opened.file.path(), (0..2).into()));

    std::fs::remove_file(again.file.path()).expect("removed");
    let anew = fixture.store.open_partial(job.id, NOW).await.expect("opened");
    assert_ne!(anew.file.path(), again.file.path());
    assert!(anew.done.is_empty());
    let stored = fixture.store.job(job.id).await.expect("read").expect("there");
    assert_eq!((stored.temporary.as_deref(), stored.done), (Some(anew.file.path()), RangeSet::new()));
    let none = fixture.store.open_partial(JobId(99), NOW).await;
    assert!(matches!(none, Err(PartialError::NoJob(JobId(99)))));
    fixture.store.set_job_state(job.id, JobState::Installed, NOW).await.expect("set");
    let installed = fixture.store.open_partial(job.id, NOW).await;
    assert!(matches!(installed, Err(PartialError::Installed(id)) if id == job.id));
}
