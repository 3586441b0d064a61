use std::collections::BTreeSet;

use certs::UnixNanos;

use super::super::tests::{Fixture, NOW, manifest_of, record, signed};
use super::*;
use crate::store::{CreatedJob, InstallFacts, JobFailure, JobOptions, Moved, NewJob};

fn offer(version: u64, seed: &[u8]) -> Offer {
    let record = signed(record("a", version, &manifest_of(seed, 3)));
    Offer { record, receipt: None, certificate: None, root: None }
}

/// Makes a job of which one chunk of a first version is there.
async fn begin(fixture: &Fixture) -> Result<JobId, Box<dyn std::error::Error>> {
    let store = &fixture.store;
    let job = NewJob {
        target: fixture.path("a"),
        only: Vec::new(),
        options: JobOptions::PLAIN,
        base: None,
        offer: offer(1, b"one"),
    };
    let CreatedJob::New(job) = store.create_job(job, NOW).await? else { return Err("there was one".into()) };
    receive(fixture, job.id, b"one").await?;
    Ok(job.id)
}

/// Opens the job's temporary file by the manifest with this seed, and says that a chunk is in it.
async fn receive(fixture: &Fixture, id: JobId, seed: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    let (store, manifest) = (&fixture.store, manifest_of(seed, 3));
    store.set_job_root(id, manifest.root_hash).await?;
    store.put_manifest(Arc::new(manifest)).await?;
    let file = store.open_partial(id, NOW).await?.file;
    file.write_chunks(0, seed)?;
    file.sync_data()?;
    Ok(store.checkpoint(id, (0..1).into(), Moved::default()).await?)
}

async fn open(fixture: &Fixture, id: JobId) -> Option<OpenedRemnant> {
    fixture.store.open_remnant(id, |_| Chosen::all()).await.expect("asked")
}

/// The temporary files that are there, and those that the database names.
async fn temporaries(fixture: &Fixture) -> (BTreeSet<PathBuf>, BTreeSet<PathBuf>) {
    let there = fixture.files().into_iter().map(|(name, _)| fixture.path(&name)).collect();
    let sql = "SELECT temporary FROM job WHERE temporary IS NOT NULL UNION SELECT temporary FROM remnant";
    let query =
        |c: &Connection| crate::store::columns::all(c, sql, [], |row| get::<PathBuf>(row, "temporary"));
    let named = fixture.store.db().read("read", query).await.expect("read");
    (there, named.into_iter().collect())
}

#[tokio::test]
async fn what_was_received_is_kept_until_it_is_taken_over() {
    let mut fixture = Fixture::new();
    let id = begin(&fixture).await.expect("begun");
    assert!(open(&fixture, id).await.is_none());
    let job = fixture.store.supersede_job(id, offer(2, b"two")).await.expect("superseded").expect("there");
    assert_eq!((job.record.version, job.root, job.temporary, job.done), (2, None, None, RangeSet::new()));
    fixture.reopen().await;
    fixture.store.collect_garbage().await.expect("collected");
    let left = open(&fixture, id).await.expect("its manifest is kept, too");
    let mut read = [0; 3];
    left.file.read_at(0, &mut read).expect("read");
    assert_eq!((&read, left.done, left.layout.chunks.len()), (b"one", (0..1).into(), 3));

    fixture.store.discard_remnant(id).await.expect("discarded");
    assert!(!left.file.path().exists());
    assert!(!fixture.store.has_remnant(id).await.expect("asked"));
    let root = manifest_of(b"one", 3).root_hash;
    assert!(fixture.store.manifest_root(root).await.expect("asked").is_none(), "nothing needs it any more");
    fixture.store.discard_remnant(id).await.expect("nothing to do");
}

#[tokio::test]
async fn the_first_one_stays_until_then() {
    let fixture = Fixture::new();
    let id = begin(&fixture).await.expect("begun");
    fixture.store.supersede_job(id, offer(2, b"two")).await.expect("superseded");
    receive(&fixture, id, b"two").await.expect("received");
    fixture.store.supersede_job(id, offer(3, b"three")).await.expect("superseded");
    let left = open(&fixture, id).await.expect("there");
    assert_eq!(left.layout.content, manifest_of(b"one", 3).root.content);
    assert_eq!(fixture.files().len(), 1, "the second one is gone");
}

#[tokio::test]
async fn it_goes_with_its_job() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let id = begin(&fixture).await.expect("begun");
    store.supersede_job(id, offer(2, b"two")).await.expect("superseded");
    receive(&fixture, id, b"two").await.expect("received");
    store.remove_job(id, NOW).await.expect("removed");
    assert_eq!(fixture.files(), []);

    let id = begin(&fixture).await.expect("begun");
    store.supersede_job(id, offer(2, b"two")).await.expect("superseded");
    let failed = JobState::Failed(JobFailure { code: "io".to_owned(), text: "why".to_owned() });
    store.set_job_state(id, failed, NOW).await.expect("set");
    let job = store.job(id).await.expect("read").expect("there");
    let (forgetting, left) = (store.clone(), fixture.path(&fixture.files()[0].0));
    off_thread(move || forgetting.forget_old(vec![(id, left)])).await;
    assert_eq!((store.job(job.id).await.expect("read"), fixture.files()), (None, Vec::new()));

    let id = begin(&fixture).await.expect("begun");
    store.supersede_job(id, offer(2, b"two")).await.expect("superseded");
    store.forget_account("carol".parse().expect("a name"), NOW).await.expect("forgotten");
    assert_eq!(fixture.files(), []);
}

/// As after a crash between the last checkpoint and the removal: nothing is missing, so nobody takes anything over.
#[tokio::test]
async fn it_goes_once_the_new_version_is_in_place() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let id = begin(&fixture).await.expect("begun");
    store.supersede_job(id, offer(2, b"two")).await.expect("superseded");
    receive(&fixture, id, b"two").await.expect("received");
    assert!(store.has_remnant(id).await.expect("asked"));
    let facts = InstallFacts {
        executable: false,
        mtime: UnixNanos(1),
        user: "alice".parse().expect("a name"),
        base: None,
        bytes_reused: 0,
    };
    store.install(id, facts, NOW).await.expect("installed");
    assert!(!store.has_remnant(id).await.expect("asked"));
    let names: Vec<_> = fixture.files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a"]);
}

/// Wherever the machine stops: no temporary file is without a name, and what has a name can be removed.
#[tokio::test]
async fn no_file_is_without_a_name_whenever_the_machine_stops() {
    let mut survived = false;
    for calls in 0.. {
        let mut fixture = Fixture::new();
        let id = begin(&fixture).await.expect("begun");
        fixture.fs.die_after(calls);
        let all = async {
            fixture.store.supersede_job(id, offer(2, b"two")).await?;
            receive(&fixture, id, b"two").await?;
            fixture.store.discard_remnant(id).await?;
            Ok::<_, Box<dyn std::error::Error>>(())
        };
        let ended = all.await;
        survived = ended.is_ok();
        fixture.fs.clear();
        fixture.reopen().await;
        let (there, named) = temporaries(&fixture).await;
        assert!(there.is_subset(&named), "after {calls} calls: {there:?} are there, {named:?} have names");
        if let Some(left) = open(&fixture, id).await {
            assert_eq!(left.done, (0..1).into());
        }
        fixture.store.remove_job(id, NOW).await.expect("removed");
        assert_eq!(fixture.files(), [], "after {calls} calls");
        if survived {
            break;
        }
        assert!(calls < 100, "{ended:?}");
    }
    assert!(survived);
}
