//! Whatever happens, there is never a temporary file that no job names.

use super::super::fs::{Fault, Fs, FsOp};
use super::super::tests::{Fixture, NOW, manifest_of, record, signed};
use super::*;
use crate::store::{CreatedJob, JobFailure, JobOptions, JobState, NewJob, Offer};

/// What ends with a temporary file gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Discard,
    Remove,
    OtherManifest,
    OtherVersion,
    Forget,
}

const WAYS: [Way; 5] = [Way::Discard, Way::Remove, Way::OtherManifest, Way::OtherVersion, Way::Forget];

impl Way {
    async fn go(self, store: &Store, id: JobId) -> Result<(), String> {
        let root = wire::RootHash::of(b"another");
        match self {
            Self::Discard => store.discard_temporary(id).await.map_err(|error| error.to_string()),
            Self::Remove => store.remove_job(id, NOW).await.map(drop).map_err(|error| error.to_string()),
            Self::OtherManifest => store.set_job_root(id, root).await.map_err(|error| error.to_string()),
            Self::OtherVersion => {
                let offer = Offer { root: Some(root), ..offer() };
                store.revise_job(id, offer).await.map(drop).map_err(|error| error.to_string())
            }
            Self::Forget => store.forget_account(next(), NOW).await.map_err(|error| error.to_string()),
        }
    }
}

fn next() -> UserName {
    "bob".parse().expect("a name")
}

fn offer() -> Offer {
    let manifest = manifest_of(b"account", 3);
    let record = signed(record("a", 1, &manifest));
    Offer { record, receipt: None, certificate: None, root: Some(manifest.root_hash) }
}

/// A job with its temporary file.
async fn begun(fixture: &Fixture, target: &str) -> (JobId, PathBuf) {
    let options = JobOptions::PLAIN;
    let job = NewJob { target: fixture.path(target), only: Vec::new(), base: None, options, offer: offer() };
    let CreatedJob::New(job) = fixture.store.create_job(job, NOW).await.expect("created") else {
        panic!("a second job")
    };
    let partial = fixture.store.open_partial(job.id, NOW).await.expect("opened").file;
    (job.id, partial.path().to_owned())
}

async fn is_named(fixture: &Fixture, id: JobId, path: &std::path::Path) -> bool {
    let job = fixture.store.job(id).await.expect("read");
    job.and_then(|job| job.temporary).is_some_and(|temporary| temporary == path)
}

#[tokio::test]
async fn a_file_that_is_there_is_named_wherever_the_machine_stops() {
    for way in WAYS {
        for step in 0.. {
            let mut fixture = Fixture::new();
            let (id, path) = begun(&fixture, "a").await;
            fixture.fs.die_after(step);
            let result = way.go(&fixture.store, id).await;
            let died = fixture.fs.is_dead();
            assert_eq!(result.is_err(), died, "{way:?} {step}");
            fixture.fs.clear();
            fixture.reopen().await;
            assert!(!path.exists() || is_named(&fixture, id, &path).await, "{way:?} {step}");
            way.go(&fixture.store, id).await.expect("the second time");
            assert!(!path.exists() && !is_named(&fixture, id, &path).await, "{way:?} {step}");
            if !died {
                break;
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_removed_keeps_its_name_and_says_why() {
    for way in WAYS {
        for (op, errno) in [(FsOp::Remove, 30), (FsOp::Remove, 13), (FsOp::SyncFolder, 5)] {
            let fixture = Fixture::new();
            let (id, path) = begun(&fixture, "a").await;
            fixture.fs.inject(Fault::first(op, errno));
            let error = way.go(&fixture.store, id).await.expect_err("injected");
            assert!(error.starts_with("cannot "), "{way:?}: {error}");
            assert!(is_named(&fixture, id, &path).await, "{way:?} {op:?}");
            way.go(&fixture.store, id).await.expect("without the fault");
            assert!(!path.exists() && !is_named(&fixture, id, &path).await, "{way:?} {op:?}");
        }
    }
}

#[tokio::test]
async fn a_disk_that_is_away_is_waited_for() {
    let fixture = Fixture::new();
    let (id, path) = begun(&fixture, "disk/a").await;
    let (disk, away) = (fixture.path("disk"), fixture.path("away"));
    std::fs::rename(&disk, &away).expect("unmounted");
    let error = fixture.store.discard_temporary(id).await.expect_err("away");
    assert!(matches!(&error, PartialError::File(_)) && error.hint().is_some(), "{error}");
    assert!(fixture.store.remove_job(id, NOW).await.is_err());
    assert!(is_named(&fixture, id, &path).await);
    std::fs::rename(&away, &disk).expect("mounted");
    fixture.store.remove_job(id, NOW).await.expect("removed");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_of_a_user_is_not_removed_under_a_jobs_name() {
    let fixture = Fixture::new();
    let (id, path) = begun(&fixture, "a").await;
    let strange = fixture.path("holiday.part");
    std::fs::rename(&path, &strange).expect("renamed");
    let name = strange.clone();
    let rename = move |t: &rusqlite::Transaction| jobs::set_temporary(t, id, &Some(name));
    fixture.store.db().write("rename", rename).await.expect("written");
    fixture.store.remove_job(id, NOW).await.expect("removed");
    assert!(strange.exists());
}

/// An old failed job whose file cannot go stays, and goes with the next job that ends.
#[tokio::test]
async fn jobs_that_are_too_many_are_not_forgotten_before_their_files() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let (old, path) = begun(&fixture, "old").await;
    let failed = || JobState::Failed(JobFailure { code: "io".to_owned(), text: "broken".to_owned() });
    store.set_job_state(old, failed(), NOW).await.expect("set");
    let columns = "user, name, force, share, once, record, done, bytes_received, sources, created";
    let fill = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        INSERT INTO job (target, state, finished, {columns})
        SELECT x'00', 'installed', ?1 + i, {columns} FROM job, n WHERE id = 1"
    );
    let later = NOW.plus(1).0.cast_signed();
    store.db().write("fill", move |t| t.execute(&fill, [later])).await.expect("filled");
    let (first, _) = begun(&fixture, "first").await;
    fixture.fs.inject(Fault::first(FsOp::Remove, 30));
    store.set_job_state(first, failed(), NOW.plus(5000)).await.expect("set");
    assert!(path.exists() && is_named(&fixture, old, &path).await);
    let (second, _) = begun(&fixture, "second").await;
    store.set_job_state(second, failed(), NOW.plus(6000)).await.expect("set");
    assert!(!path.exists() && store.job(old).await.expect("read").is_none());
}

/// With an installation that was begun, whether its file can be reached or not.
#[tokio::test]
async fn an_account_is_forgotten_whole_and_has_an_heir_at_once() {
    for away in [false, true] {
        let fixture = Fixture::new();
        let store = &fixture.store;
        store.set_owner("alice".parse().expect("a name")).await.expect("set");
        fixture.share("shared", b"shared").await;
        let (id, path) = begun(&fixture, "disk/a").await;
        let stamp = fixture.fs.stat(&path).expect("there").stamp;
        let intent = intents::Intent {
            job: id,
            target: fixture.path("disk/a"),
            temporary: path.clone(),
            keep: fixture.path("disk/kept"),
            stamp,
            content: offer().record.content.expect("of a file"),
            base: None,
            force: false,
            update: None,
        };
        store.db().write("begin", move |t| intents::begin(t, &intent)).await.expect("begun");
        if away {
            std::fs::rename(fixture.path("disk"), fixture.path("away")).expect("unmounted");
        }
        store.forget_account(next(), NOW).await.expect("forgotten");
        assert_eq!(store.owner().await.expect("read"), Some(next()));
        assert!(!path.exists());
        assert_eq!(store.survey(9).await.expect("read").count, 0);
        assert!(store.open_jobs().await.expect("read").is_empty());
        assert!(store.holdings(None, 9).await.expect("read").is_empty());
        assert_eq!(store.collect_garbage().await.expect("read"), crate::store::Collected::default());
    }
}

#[tokio::test]
async fn the_heir_is_remembered_with_the_forgetting_or_not_at_all() {
    for step in 0.. {
        let mut fixture = Fixture::new();
        let alice: UserName = "alice".parse().expect("a name");
        fixture.store.set_owner(alice.clone()).await.expect("set");
        begun(&fixture, "a").await;
        fixture.share("shared", b"shared").await;
        fixture.fs.die_after(step);
        let _ = fixture.store.forget_account(next(), NOW).await;
        let died = fixture.fs.is_dead();
        fixture.fs.clear();
        fixture.reopen().await;
        let store = &fixture.store;
        let left =
            store.survey(9).await.expect("read").count + store.open_jobs().await.expect("read").len() as u64;
        let owner = store.owner().await.expect("read").expect("some");
        assert_eq!((owner == alice, left), if left > 0 { (true, 2) } else { (false, 0) }, "{step}");
        if !died {
            break;
        }
    }
}
