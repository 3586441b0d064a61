use wire::Kind;

use super::super::super::tests::{Fixture, NOW, folder_of, record, signed};
use super::*;
use crate::store::{Chosen, CreatedJob, InstallFacts, JobOptions, NewJob, Offer};
use certs::UnixNanos;

const FILES: &[(&str, &[u8])] = &[("a/", b""), ("a/1", b"11"), ("b", b"333"), ("c", b""), ("d", b"4444")];

/// A folder that was downloaded, and is held.
async fn held() -> (Fixture, Holding, Arc<Layout>) {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let (manifest, layout) = folder_of(FILES);
    store.put_manifest(manifest.clone()).await.expect("put");
    let record = signed(wire::Record { kind: Kind::Folder, ..record("docs", 1, &manifest) });
    let offer = Offer { record, receipt: None, certificate: None, root: Some(manifest.root_hash) };
    let options = JobOptions::PLAIN;
    let job = NewJob { target: fixture.path("docs"), options, only: Vec::new(), base: None, offer };
    let CreatedJob::New(job) = store.create_job(job, NOW).await.expect("created") else {
        panic!("a new job")
    };
    let opened = store.open_partial_folder(job.id, layout.clone(), Chosen::all(), NOW).await.expect("opened");
    opened.file.write_chunks(0, b"113334444").expect("written");
    let (user, mtime) = ("alice".parse().expect("a name"), UnixNanos(3));
    let facts = InstallFacts { executable: false, mtime, user, base: None, bytes_reused: 0 };
    store.install_folder(job.id, facts, Arc::new(opened.file), NOW).await.expect("installed");
    let holding = store.holdings_at(fixture.path("docs")).await.expect("read").remove(0);
    (fixture, holding, layout)
}

fn read(served: &ServedFolder, offset: u64, length: usize) -> Result<Vec<u8>, ServeError> {
    let mut buffer = vec![0; length];
    served.read(offset, &mut buffer).map(|()| buffer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_over_files() {
    let (fixture, holding, layout) = held().await;
    assert!(holding.folder);
    assert_eq!(fixture.store.check_holding(holding.clone()).await.expect("asked"), HoldingState::Ok);
    tokio::task::block_in_place(|| {
        let served = fixture.store.open_served_folder(&holding, layout).expect("opens");
        assert_eq!(read(&served, 0, 9).expect("read"), b"113334444".as_slice());
        assert_eq!(read(&served, 1, 5).expect("read"), b"13334".as_slice());
        assert_eq!(read(&served, 9, 0).expect("nothing"), b"".as_slice());
        assert!(matches!(read(&served, 8, 2), Err(ServeError::Changed(_))));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_is_not_served_and_the_others_are() {
    for what in ["written", "removed", "a folder", "a link", "its folder a link"] {
        let (fixture, holding, layout) = held().await;
        let path = fixture.path("docs").join("a/1");
        match what {
            "written" => std::fs::write(&path, b"xx").expect("written"),
            "its folder a link" => {
                std::fs::rename(path.with_file_name(""), fixture.path("elsewhere")).expect("renamed");
                std::os::unix::fs::symlink(fixture.path("elsewhere"), fixture.path("docs/a"))
                    .expect("linked");
            }
            _ => {
                std::fs::rename(&path, fixture.path("elsewhere")).expect("moved");
                match what {
                    "a folder" => std::fs::create_dir(&path).expect("created"),
                    "a link" => std::os::unix::fs::symlink(fixture.path("elsewhere"), &path).expect("linked"),
                    _ => {}
                }
            }
        }
        tokio::task::block_in_place(|| {
            let served = fixture.store.open_served_folder(&holding, layout.clone()).expect("opens");
            let error = read(&served, 0, 9).expect_err(what);
            assert!(matches!(&error, ServeError::Changed(changed) if *changed == path), "{what}: {error:?}");
            assert_eq!(read(&served, 2, 7).expect("the others"), b"3334444".as_slice(), "{what}");
        });
        let state = fixture.store.check_holding(holding.clone()).await.expect("asked");
        assert_eq!(state, HoldingState::Changed, "{what}");
        let store = &fixture.store;
        store.set_holding_state(holding.id, HoldingState::Changed).await.expect("set");
        let changed = store.holdings_at(holding.path.clone()).await.expect("read").remove(0);
        assert!(store.open_served_folder(&changed, layout).is_err(), "it stays so");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_away_is_missing() {
    let (fixture, holding, layout) = held().await;
    std::fs::rename(fixture.path("docs"), fixture.path("away")).expect("moved");
    let error = fixture.store.open_served_folder(&holding, layout.clone()).expect_err("away");
    assert_eq!(error.state(), Some(HoldingState::Missing));
    let state = fixture.store.check_holding(holding.clone()).await.expect("asked");
    assert_eq!(state, HoldingState::Missing);
    std::fs::rename(fixture.path("away"), fixture.path("docs")).expect("back");
    let back = Holding { state, ..holding };
    assert_eq!(fixture.store.check_holding(back.clone()).await.expect("asked"), HoldingState::Ok);
    assert!(fixture.store.open_served_folder(&back, layout).is_ok());
}
