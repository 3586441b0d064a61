//! Every call fails once, in every way that disks fail.

use super::*;

#[tokio::test]
async fn every_call_in_turn() {
    for errno in [28, 13, 30, 5] {
        for op in FsOp::ALL {
            for nth in 1..=4 {
                fail(op, nth, errno).await;
            }
        }
    }
}

async fn fail(op: FsOp, nth: u64, errno: i32) {
    let what = format!("{op:?} {nth} {errno}");
    let fixture = Fixture::new();
    std::fs::write(fixture.path("file.txt"), OLD).expect("written");
    let (id, temporary) = ready(&fixture, options(true)).await;
    fixture.fs.inject(Fault { nth, ..Fault::first(op, errno) });
    let result = fixture.store.install(id, facts(), NOW).await;
    fixture.fs.clear();
    let name = temporary.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    let after = files(&[("file.txt", NEW), (KEPT, OLD)]);
    match &result {
        Ok(_) => assert_eq!(fixture.files(), after, "{what}"),
        Err(error @ InstallError::SyncFailed { .. }) => {
            assert_eq!(fixture.files(), files(&[("file.txt", OLD)]), "{what}: discarded");
            assert!(job(&fixture, id).await.temporary.is_none(), "{what}");
            assert!(error.hint().is_some(), "{what}");
            download(&fixture, id).await;
        }
        Err(error) => {
            assert!(matches!(error, InstallError::File(_)) && error.hint().is_some(), "{what}: {error}");
            let exchanged = files(&[("file.txt", NEW), (&name, OLD)]);
            let before = files(&[("file.txt", OLD), (&name, NEW)]);
            assert!([before, exchanged, after.clone()].contains(&fixture.files()), "{what}");
        }
    }
    // Without the fault the same again ends it.
    if result.is_err() {
        fixture.store.install(id, facts(), NOW).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    assert_eq!(fixture.files(), after, "{what}");
    assert_eq!(job(&fixture, id).await.state, JobState::Installed, "{what}");
}
