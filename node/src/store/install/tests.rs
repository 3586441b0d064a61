use super::super::fs::{Fault, Fs, FsOp, OsFs};
use super::super::tests::{Fixture, NOW, record, signed};
use super::*;
use crate::rate::Rate;
use crate::store::{CreatedJob, Holding, HoldingState, JobOptions, Moved, NewJob, Offer, Origin, import};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::Arc;

mod crash;
mod faults;
mod folder;
mod order;

const OLD: &[u8] = b"the old file";
const NEW: &[u8] = b"the new file, which is longer";
const MTIME: UnixNanos = UnixNanos(1_600_000_000_123_456_789);
const KEPT: &str = "file.sync-conflict-20231114-221320-alice.txt";

fn facts() -> InstallFacts {
    let user = "alice".parse().expect("a name");
    InstallFacts { executable: false, mtime: MTIME, user, base: None, bytes_reused: 0 }
}

fn options(force: bool) -> JobOptions {
    JobOptions { force, share: true, once: false, pinned: false, limit: Rate::UNLIMITED }
}

/// A version whose content is [`NEW`], with its manifest stored.
async fn offer(fixture: &Fixture) -> Offer {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("new");
    std::fs::write(&path, NEW).expect("written");
    let manifest = import(&OsFs::new(), &path, None, &|_, _| {}, &|| false).expect("imports").manifest;
    let record = signed(record("file.txt", 1, &manifest));
    let root = Some(manifest.root_hash);
    fixture.store.put_manifest(Arc::new(manifest)).await.expect("put");
    Offer { record, receipt: None, certificate: None, root }
}

/// A job whose file is downloaded but not installed, and the temporary file.
async fn ready(fixture: &Fixture, options: JobOptions) -> (JobId, PathBuf) {
    let job = NewJob {
        target: fixture.path("file.txt"),
        only: Vec::new(),
        base: None,
        options,
        offer: offer(fixture).await,
    };
    let CreatedJob::New(job) = fixture.store.create_job(job, NOW).await.expect("created") else {
        panic!("a second job")
    };
    let temporary = download(fixture, job.id).await;
    (job.id, temporary)
}

async fn download(fixture: &Fixture, id: JobId) -> PathBuf {
    let partial = fixture.store.open_partial(id, NOW).await.expect("opened").file;
    partial.write_chunks(0, NEW).expect("written");
    partial.sync_data().expect("synced");
    fixture
        .store
        .checkpoint(id, (0..1).into(), Moved { bytes_received: NEW.len() as u64, ..Moved::default() })
        .await
        .expect("written");
    partial.path().to_owned()
}

async fn job(fixture: &Fixture, id: JobId) -> Job {
    fixture.store.job(id).await.expect("read").expect("there")
}

async fn intents(fixture: &Fixture) -> Vec<Intent> {
    fixture.store.db().read("read intents", intents::list).await.expect("read")
}

async fn held(fixture: &Fixture) -> Option<Holding> {
    let mut held = fixture.store.holdings_at(fixture.path("file.txt")).await.expect("read");
    assert!(held.len() <= 1);
    held.pop()
}

fn files(expected: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> =
        expected.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_file_gets_its_place_mode_time_and_holding() {
    for (executable, mode) in [(false, 0o666), (true, 0o777)] {
        let mut fixture = Fixture::new();
        let (id, _) = ready(&fixture, options(false)).await;
        let facts = InstallFacts { executable, ..facts() };
        let installed = fixture.store.install(id, facts, NOW.plus(5)).await.expect("installed");
        assert_eq!((&installed.path, &installed.kept), (&fixture.path("file.txt"), &Kept::default()));
        assert_eq!(fixture.files(), files(&[("file.txt", NEW)]));
        let metadata = std::fs::metadata(fixture.path("file.txt")).expect("there");
        assert_eq!(metadata.permissions().mode() & 0o777, mode & !OsFs::new().umask());
        assert_eq!(metadata.mtime_nsec(), 123_456_789);
        fixture.reopen().await;
        let found = job(&fixture, id).await;
        assert_eq!(
            (found.state, found.temporary, found.finished),
            (JobState::Installed, None, Some(NOW.plus(5)))
        );
        let holding = held(&fixture).await.expect("held");
        assert_eq!((holding.stamp, holding.origin), (installed.stamp, Origin::Get));
        assert_eq!(super::super::check(&OsFs::new(), &holding).expect("asked"), HoldingState::Ok);
        assert!(intents(&fixture).await.is_empty());
        let again = fixture.store.install(id, self::facts(), NOW).await;
        assert!(matches!(again, Err(InstallError::NothingToInstall(_))));
    }
}

#[tokio::test]
async fn what_is_not_to_be_shared_is_not_held() {
    let fixture = Fixture::new();
    let (id, _) = ready(&fixture, JobOptions { share: false, ..options(false) }).await;
    fixture.store.install(id, facts(), NOW).await.expect("installed");
    assert_eq!(held(&fixture).await, None);
}

#[tokio::test]
async fn an_existing_target_is_never_overwritten_unasked() {
    for os in [OsFs::new(), OsFs::without_rename_flags()] {
        let fixture = Fixture::with(os);
        let (id, temporary) = ready(&fixture, options(false)).await;
        std::fs::write(fixture.path("file.txt"), OLD).expect("written");
        let error = fixture.store.install(id, facts(), NOW).await.expect_err("exists");
        assert!(matches!(&error, InstallError::TargetExists(_)) && error.hint().is_some());
        let name = temporary.file_name().and_then(|name| name.to_str()).expect("a name");
        assert_eq!(fixture.files(), files(&[("file.txt", OLD), (name, NEW)]));
        let found = job(&fixture, id).await;
        assert_eq!((found.temporary, found.done), (Some(temporary), (0..1).into()), "nothing is lost");

        fixture.store.set_job_options(id, options(true)).await.expect("set");
        let installed = fixture.store.install(id, facts(), NOW).await.expect("installed");
        let kept = KeptFile { from: fixture.path("file.txt"), path: fixture.path(KEPT) };
        assert_eq!(installed.kept, Kept::of(Some(kept)));
        assert_eq!(fixture.files(), files(&[("file.txt", NEW), (KEPT, OLD)]));
    }
}

#[tokio::test]
async fn a_kept_file_never_replaces_another() {
    for os in [OsFs::new(), OsFs::without_rename_flags()] {
        let fixture = Fixture::with(os);
        std::fs::write(fixture.path("file.txt"), OLD).expect("written");
        std::fs::write(fixture.path(KEPT), b"kept before").expect("written");
        let (id, _) = ready(&fixture, options(true)).await;
        fixture.store.install(id, facts(), NOW).await.expect("installed");
        let second = KEPT.replace(".txt", "-1.txt");
        let expected = files(&[("file.txt", NEW), (KEPT, b"kept before"), (&second, OLD)]);
        assert_eq!(fixture.files(), expected);
    }
}

#[tokio::test]
async fn an_old_version_goes_and_a_local_edit_stays() {
    for os in [OsFs::new, OsFs::without_rename_flags] {
        for (base, expected) in [
            (OLD, files(&[("file.txt", NEW)])),
            (b"something else", files(&[("file.txt", NEW), (KEPT, OLD)])),
        ] {
            let fixture = Fixture::with(os());
            std::fs::write(fixture.path("file.txt"), OLD).expect("written");
            let (id, _) = ready(&fixture, options(true)).await;
            let facts = InstallFacts { base: Some(ContentHash::of(base)), ..facts() };
            fixture.store.install(id, facts, NOW).await.expect("installed");
            assert_eq!(fixture.files(), expected);
        }
    }
}

#[tokio::test]
async fn a_link_is_replaced_and_a_folder_is_not() {
    let fixture = Fixture::new();
    let target = fixture.path("file.txt");
    let elsewhere = tempfile::NamedTempFile::new().expect("a file");
    symlink(elsewhere.path(), &target).expect("linked");
    let (id, _) = ready(&fixture, options(true)).await;
    fixture.store.install(id, facts(), NOW).await.expect("installed");
    assert_eq!(std::fs::read(&target).expect("there"), NEW);
    assert!(std::fs::symlink_metadata(fixture.path(KEPT)).expect("kept").is_symlink());
    assert_eq!(elsewhere.as_file().metadata().expect("there").len(), 0, "what it led to is as before");

    std::fs::remove_file(&target).expect("removed");
    std::fs::create_dir(&target).expect("created");
    let (id, temporary) = ready(&fixture, options(true)).await;
    let error = fixture.store.install(id, facts(), NOW).await.expect_err("a folder");
    assert!(matches!(error, InstallError::TargetIsFolder(_)));
    assert!(target.is_dir() && temporary.exists());
    assert!(intents(&fixture).await.is_empty());
}

#[tokio::test]
async fn without_its_temporary_file_a_job_starts_from_nothing() {
    let fixture = Fixture::new();
    let (id, temporary) = ready(&fixture, options(false)).await;
    for damage in [
        |path: &Path| std::fs::write(path, b"short").expect("written"),
        |path: &Path| std::fs::remove_file(path).expect("removed"),
    ] {
        let temporary = job(&fixture, id).await.temporary.unwrap_or(temporary.clone());
        damage(&temporary);
        let error = fixture.store.install(id, facts(), NOW).await.expect_err("gone");
        assert!(matches!(error, InstallError::TemporaryGone(_)));
        let found = job(&fixture, id).await;
        assert!(found.temporary.is_none() && found.done.is_empty());
        download(&fixture, id).await;
    }
    let unknown = fixture.store.install(JobId(77), facts(), NOW).await;
    assert!(matches!(unknown, Err(InstallError::NothingToInstall(JobId(77)))));
}

#[test]
fn one_installation_of_a_job_at_a_time() {
    let installs = Installs::default();
    let first = installs.begin(JobId(1)).expect("free");
    assert!(installs.begin(JobId(1)).is_none());
    assert!(installs.begin(JobId(2)).is_some());
    drop(first);
    assert!(installs.begin(JobId(1)).is_some());
}
