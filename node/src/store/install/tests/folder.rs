//! A folder: whole at its target or not there, whenever the machine stops.

use wire::Kind;

use super::super::super::tests::folder_of;
use super::*;
use crate::store::Chosen;

const FILES: &[(&str, &[u8])] = &[("a/", b""), ("a/1", b"11"), ("b", b"333"), ("c", b"")];

/// A job whose temporary folder has all of its bytes.
async fn received(fixture: &Fixture) -> (JobId, Arc<Partial>) {
    let store = &fixture.store;
    let (manifest, _) = folder_of(FILES);
    store.put_manifest(manifest.clone()).await.expect("put");
    let record = signed(wire::Record { kind: Kind::Folder, ..record("docs", 1, &manifest) });
    let offer = Offer { record, receipt: None, certificate: None, root: Some(manifest.root_hash) };
    let job =
        NewJob { target: fixture.path("docs"), options: options(true), only: Vec::new(), base: None, offer };
    let CreatedJob::New(job) = store.create_job(job, NOW).await.expect("created") else {
        panic!("a new job")
    };
    (job.id, open(fixture, job.id).await)
}

async fn open(fixture: &Fixture, id: JobId) -> Arc<Partial> {
    let (_, layout) = folder_of(FILES);
    let opened = fixture.store.open_partial_folder(id, layout, Chosen::all(), NOW).await.expect("opened");
    opened.file.write_chunks(0, b"11333").expect("written");
    Arc::new(opened.file)
}

/// What lies beside the target, and whether that is the whole folder.
fn found(fixture: &Fixture) -> Vec<(String, bool)> {
    let entries = std::fs::read_dir(fixture.path("")).expect("listed").map(|entry| entry.expect("listed"));
    let whole = |path: &Path| {
        FILES.iter().all(|(name, bytes)| match name.strip_suffix('/') {
            Some(folder) => path.join(folder).is_dir(),
            None => std::fs::read(path.join(name)).is_ok_and(|found| found == *bytes),
        })
    };
    entries.map(|entry| (entry.file_name().into_string().expect("UTF-8"), whole(&entry.path()))).collect()
}

#[tokio::test]
async fn a_machine_that_stops_at_any_call_leaves_all_or_nothing_of_it() {
    for after in 0.. {
        let mut fixture = Fixture::new();
        let (id, partial) = received(&fixture).await;
        fixture.fs.die_after(after);
        let result = fixture.store.install_folder(id, facts(), partial, NOW).await;
        let stopped = fixture.fs.is_dead();
        fixture.fs.clear();
        fixture.reopen().await;
        let before = found(&fixture);
        assert_eq!(before.len(), 1, "{after}: {before:?}");
        assert!(before[0].0 != "docs" || before[0].1, "{after}: a part at the target");
        fixture.store.recover(NOW).await.expect("asked");
        if job(&fixture, id).await.state != JobState::Installed {
            let partial = open(&fixture, id).await;
            fixture.store.install_folder(id, facts(), partial, NOW).await.expect("goes on");
        }
        assert_eq!(found(&fixture), [("docs".to_owned(), true)], "{after}");
        let holding = fixture.store.holdings_at(fixture.path("docs")).await.expect("read").remove(0);
        assert_eq!(fixture.store.check_holding(holding).await.expect("asked"), HoldingState::Ok, "{after}");
        if !stopped {
            assert!(result.is_ok(), "{after}: {result:?}");
            assert!(after > 10, "it stopped nowhere");
            return;
        }
    }
}

#[tokio::test]
async fn nothing_is_replaced_by_a_folder() {
    let fixture = Fixture::new();
    let (id, partial) = received(&fixture).await;
    for what in ["a file", "a folder"] {
        match what {
            "a file" => std::fs::write(fixture.path("docs"), b"mine").expect("written"),
            _ => std::fs::create_dir(fixture.path("docs")).expect("created"),
        }
        let error = fixture.store.install_folder(id, facts(), partial.clone(), NOW).await.expect_err(what);
        assert!(matches!(error, InstallError::TargetTaken(_)) && error.hint().is_some(), "{what}: {error}");
        let taken = fixture.path("docs");
        match what {
            "a file" => std::fs::remove_file(taken).expect("it stays"),
            _ => std::fs::remove_dir(taken).expect("it stays"),
        }
    }
    fixture.store.install_folder(id, facts(), partial, NOW).await.expect("installed");
    assert_eq!(found(&fixture), [("docs".to_owned(), true)]);
}

#[tokio::test]
async fn without_renaming_flags_it_is_renamed_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let fs = crate::store::fs::OsFs::without_rename_flags();
    let path = |name: &str| folder.path().join(name);
    for name in ["from", "taken"] {
        std::fs::create_dir(path(name)).expect("created");
    }
    let error = fs.rename_new(&path("from"), &path("taken")).expect_err("taken");
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    fs.rename_new(&path("from"), &path("to")).expect("renamed");
    assert!(path("to").is_dir() && !path("from").exists());
}
