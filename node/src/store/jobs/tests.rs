use super::super::tests::{Fixture, NOW, manifest_of, record, signed};
use super::rows::{FINISHED_JOBS, SOURCES, SOURCES_BYTES, Sources};
use super::*;
use crate::rate::Rate;
use bytes::Bytes;
use certs::SecretKey;
use certs::UserName;
use rusqlite::types::ValueRef;
use wire::manifest::Manifest;

fn offer(name: &str, manifest: &Manifest) -> Offer {
    Offer {
        record: signed(record(name, 1, manifest)),
        receipt: Some(Bytes::from_static(b"receipt")),
        certificate: None,
        root: None,
    }
}

async fn created(fixture: &Fixture, target: &str) -> Job {
    let offer = offer(target, &manifest_of(b"job", 3));
    let job = NewJob {
        target: fixture.path(target),
        only: Vec::new(),
        base: None,
        options: JobOptions::PLAIN,
        offer,
    };
    match fixture.store.create_job(job, NOW).await.expect("created") {
        CreatedJob::New(job) => job,
        CreatedJob::Existing(job) => panic!("{job:?}"),
    }
}

fn failed() -> JobState {
    JobState::Failed(JobFailure { code: "no-holder".to_owned(), text: "nobody has it".to_owned() })
}

fn source(seed: u8, bytes: u64) -> JobSource {
    let node = SecretKey::from_seed([seed; 32]).public();
    JobSource { node, user: "carol".parse().expect("a name"), bytes }
}

#[tokio::test]
async fn progress_survives() {
    let mut fixture = Fixture::new();
    let job = created(&fixture, "a").await;
    assert_eq!((&job.state, job.created, job.finished), (&JobState::Running, NOW, None));
    let done: RangeSet = [0..2, 5..9].into_iter().collect();
    let sources = vec![source(1, 10), source(2, 99)];
    let moved = Moved { bytes_received: 109, bytes_reused: 11, elapsed_ms: 70, sources };
    fixture.store.checkpoint(job.id, done.clone(), Moved::default()).await.expect("written");
    // What is done stays.
    fixture.store.note_moved(job.id, moved).await.expect("written");
    fixture.reopen().await;
    let found = fixture.store.unfinished_jobs().await.expect("read");
    let sources = vec![source(2, 99), source(1, 10)];
    assert_eq!(found, [Job { done, bytes_received: 109, bytes_reused: 11, elapsed_ms: 70, sources, ..job }]);
}

#[tokio::test]
async fn one_job_for_each_target() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let job = created(&fixture, "a").await;
    let other = NewJob {
        target: job.target.clone(),
        only: Vec::new(),
        base: None,
        options: JobOptions::PLAIN,
        offer: offer("b", &manifest_of(b"b", 1)),
    };
    let again = async || store.create_job(other.clone(), NOW).await.expect("answered");
    assert_eq!(again().await, CreatedJob::Existing(job.clone()));
    store.set_job_state(job.id, failed(), NOW.plus(1)).await.expect("set");
    let CreatedJob::Existing(found) = again().await else { panic!("a failed job can go on") };
    assert_eq!((found.state, found.finished), (failed(), Some(NOW.plus(1))));
    store.set_job_state(job.id, JobState::Running, NOW.plus(2)).await.expect("set");
    assert_eq!(store.job(job.id).await.expect("read"), Some(job.clone()));
    store.set_job_state(job.id, JobState::Installed, NOW.plus(3)).await.expect("set");
    assert!(!store.set_job_state(job.id, JobState::Running, NOW).await.expect("asked"), "it stays installed");
    assert!(matches!(again().await, CreatedJob::New(new) if new.id > job.id));
}

#[tokio::test]
async fn what_was_installed_lately_comes_newest_first() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let mut ids = Vec::new();
    for (minute, target) in ["old", "a", "b", "c"].into_iter().enumerate() {
        let job = created(&fixture, target).await;
        store.set_job_state(job.id, JobState::Installed, NOW.plus(minute as u64)).await.expect("set");
        ids.push(job.id);
    }
    let failing = created(&fixture, "failed").await;
    store.set_job_state(failing.id, failed(), NOW.plus(9)).await.expect("set");
    let since = async |limit| {
        let found = store.installed_jobs(NOW.plus(1), limit).await.expect("read");
        found.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(since(10).await, [ids[3], ids[2], ids[1]]);
    assert_eq!(since(2).await, [ids[3], ids[2]]);
}

#[tokio::test]
async fn tombstones_are_not_downloaded() {
    let fixture = Fixture::new();
    let published = fixture.share("a", b"a").await;
    let gone = super::super::tests::tombstone(&published);
    let offer = Offer { record: gone.record, receipt: None, certificate: None, root: None };
    let job =
        NewJob { target: fixture.path("b"), only: Vec::new(), base: None, options: JobOptions::PLAIN, offer };
    assert!(matches!(fixture.store.create_job(job, NOW).await, Err(JobError::Tombstone(_))));
}

#[tokio::test]
async fn another_manifest_starts_from_nothing() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let job = created(&fixture, "a").await;
    let (one, two) = (RootHash::of(b"one"), RootHash::of(b"two"));
    store.set_job_root(job.id, one).await.expect("set");
    store.open_partial(job.id, NOW).await.expect("opened");
    store
        .checkpoint(job.id, (0..2).into(), Moved { bytes_received: 5, ..Moved::default() })
        .await
        .expect("written");
    store.set_job_root(job.id, one).await.expect("set");
    let found = store.job(job.id).await.expect("read").expect("there");
    assert_eq!(found.done, (0..2).into());
    assert!(found.temporary.is_some());
    store.set_job_root(job.id, two).await.expect("set");
    let found = store.job(job.id).await.expect("read").expect("there");
    assert_eq!((found.root, found.done, found.temporary), (Some(two), RangeSet::new(), None));

    let newer = Offer { root: Some(one), ..offer("a", &manifest_of(b"newer", 9)) };
    let limit = Rate::new(5 << 20).expect("a rate");
    let options = JobOptions { force: true, limit, ..JobOptions::PLAIN };
    store.set_job_options(job.id, options).await.expect("set");
    let revised = store.revise_job(job.id, newer.clone()).await.expect("revised").expect("there");
    assert_eq!((revised.root, revised.options), (Some(one), options));
    assert_eq!(revised.record, newer.record);
    store.set_job_state(job.id, JobState::Installed, NOW).await.expect("set");
    assert_eq!(store.revise_job(job.id, newer).await.expect("asked"), None);
}

#[tokio::test]
async fn filters_and_pages() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let mut ids = Vec::new();
    for target in ["a", "b", "c", "d"] {
        ids.push(created(&fixture, target).await.id);
    }
    store.set_job_state(ids[0], failed(), NOW).await.expect("set");
    store.set_job_state(ids[1], JobState::Paused, NOW).await.expect("set");
    store.set_job_state(ids[2], JobState::Installed, NOW).await.expect("set");
    let list = async |filter, after, limit| {
        let jobs = store.jobs(filter, after, limit).await.expect("read");
        jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(list(JobFilter::All, None, 9).await, ids);
    assert_eq!(list(JobFilter::All, Some(ids[1]), 1).await, [ids[2]]);
    assert_eq!(list(JobFilter::Unfinished, None, 9).await, [ids[1], ids[3]]);
    assert_eq!(list(JobFilter::Open, None, 9).await, [ids[0], ids[1], ids[3]]);
}

#[tokio::test]
async fn a_removed_job_leaves_nothing() {
    let fixture = Fixture::new();
    let job = created(&fixture, "a").await;
    let partial = fixture.store.open_partial(job.id, NOW).await.expect("opened").file;
    let removed = fixture.store.remove_job(job.id, NOW).await.expect("removed").expect("was there");
    assert_eq!(removed.id, job.id);
    assert!(!partial.path().exists());
    assert!(fixture.store.remove_job(job.id, NOW).await.expect("asked").is_none());
    assert_eq!(fixture.store.job(job.id).await.expect("read"), None);
}

#[tokio::test]
async fn finished_jobs_are_bounded_and_leave_no_files() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let first = created(&fixture, "first").await;
    let partial = store.open_partial(first.id, NOW).await.expect("opened").file;
    assert!(partial.path().exists());
    store.set_job_state(first.id, failed(), NOW).await.expect("set");
    // All that this one has is of an earlier version.
    let second = created(&fixture, "second").await;
    store.set_job_root(second.id, RootHash::of(b"one")).await.expect("set");
    store.open_partial(second.id, NOW).await.expect("opened");
    store.checkpoint(second.id, (0..1).into(), Moved::default()).await.expect("written");
    let newer = offer("second", &manifest_of(b"newer", 9));
    store.supersede_job(second.id, newer).await.expect("superseded");
    store.set_job_state(second.id, failed(), NOW).await.expect("set");
    // As many as fill the bound: made in one transaction, for speed.
    store
        .db()
        .write("fill", move |transaction| {
            let columns = "user, name, force, share, once, record, done, bytes_received, sources, created";
            for number in 0..i64::from(FINISHED_JOBS) {
                transaction.execute(
                    &format!("INSERT INTO job (target, state, finished, {columns}) SELECT x'00', 'installed', ?1, {columns} FROM job WHERE id = 1"),
                    [NOW.plus(1).0.cast_signed() + number],
                )?;
            }
            Ok(())
        })
        .await
        .expect("filled");
    let last = created(&fixture, "last").await;
    store.set_job_state(last.id, failed(), NOW.plus(2000)).await.expect("set");
    assert_eq!(store.job(first.id).await.expect("read"), None);
    assert_eq!(store.job(second.id).await.expect("read"), None);
    assert_eq!(fixture.files(), []);
    assert!(!partial.path().exists());
    let count: i64 = store
        .db()
        .read("count", |c| c.query_row("SELECT count(*) FROM job", [], |row| row.get(0)))
        .await
        .expect("read");
    assert_eq!(count, i64::from(FINISHED_JOBS));
}

#[test]
fn sources_are_bounded() {
    let longest: UserName = "x".repeat(UserName::MAX_BYTES).parse().expect("a name");
    let node = SecretKey::from_seed([1; 32]).public();
    let sources = (0..2000).map(|number| JobSource { node, user: longest.clone(), bytes: u64::MAX - number });
    let bytes = encode_sources(sources.collect());
    assert!(bytes.len() <= SOURCES_BYTES, "{}", bytes.len());
    let found = Sources::from_sql(ValueRef::Blob(&bytes)).expect("decodes").0;
    assert_eq!(found.len(), SOURCES);
}
