use super::super::fs::{Fault, FsOp, OsFs};
use super::super::tests::Fixture;
use super::*;
use std::os::unix::fs::symlink;

async fn held(fixture: &Fixture, bytes: &[u8]) -> Holding {
    let published = fixture.share("file", bytes).await;
    fixture.store.holdings_at(published.path).await.expect("read").remove(0)
}

fn read(served: &ServedFile, offset: u64, length: usize) -> Result<Vec<u8>, ServeError> {
    let mut buffer = vec![0; length];
    served.read(offset, &mut buffer).map(|()| buffer)
}

/// The same from the system's cache; `None` where it is not there, or the file system cannot tell.
fn read_cached(served: &ServedFile, offset: u64, length: usize) -> Result<Option<Vec<u8>>, ServeError> {
    let mut buffer = vec![0; length];
    served.read_cached(offset, &mut buffer).map(|here| here.then_some(buffer))
}

#[tokio::test]
async fn what_was_shared_is_read_where_it_lies() {
    let fixture = Fixture::new();
    let holding = held(&fixture, b"hello world").await;
    assert_eq!(check(&OsFs::new(), &holding).expect("asked"), HoldingState::Ok);
    let served = open_served(&OsFs::new(), &holding).expect("opens");
    assert_eq!(served.size(), 11);
    assert_eq!(read(&served, 6, 5).expect("read"), &b"world"[..]);
    assert_eq!(read(&served, 11, 0).expect("read"), &b""[..]);
    assert!(read_cached(&served, 6, 5).expect("read").is_none_or(|bytes| bytes == b"world"));
    for (offset, length) in [(11, 1), (0, 12), (u64::MAX, 1)] {
        assert!(matches!(read(&served, offset, length), Err(ServeError::Changed(_))));
        assert!(matches!(read_cached(&served, offset, length), Err(ServeError::Changed(_))));
    }
}

/// What happens to a file, and the state in which it is then.
type Change = (&'static str, fn(&Path), HoldingState);

const CHANGES: [Change; 6] = [
    ("written", |path| std::fs::write(path, b"hello_world").expect("written"), HoldingState::Changed),
    (
        "shortened",
        |path| std::fs::OpenOptions::new().write(true).open(path).expect("opens").set_len(3).expect("cut"),
        HoldingState::Changed,
    ),
    ("removed", |path| std::fs::remove_file(path).expect("removed"), HoldingState::Missing),
    (
        "replaced by an equal one",
        |path| {
            let time = std::fs::metadata(path).expect("there").modified().expect("known");
            let new = path.with_extension("new");
            std::fs::copy(path, &new).expect("copied");
            std::fs::OpenOptions::new()
                .write(true)
                .open(&new)
                .expect("opens")
                .set_modified(time)
                .expect("set");
            std::fs::rename(new, path).expect("renamed");
        },
        HoldingState::Changed,
    ),
    (
        "replaced by a link",
        |path| {
            std::fs::rename(path, path.with_extension("moved")).expect("renamed");
            symlink(path.with_extension("moved"), path).expect("linked");
        },
        HoldingState::Changed,
    ),
    (
        "replaced by a folder",
        |path| {
            std::fs::remove_file(path).expect("removed");
            std::fs::create_dir(path).expect("created");
        },
        HoldingState::Changed,
    ),
];

/// So that a write in the same tick of the file system's clock is seen.
fn age(path: &Path) {
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("opens");
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1)).expect("set");
}

#[tokio::test]
async fn what_changed_is_not_served() {
    for (name, change, state) in CHANGES {
        let fixture = Fixture::new();
        let mut holding = held(&fixture, b"hello world").await;
        age(&holding.path);
        holding.stamp = OsFs::new().stat(&holding.path).expect("there").stamp;
        open_served(&OsFs::new(), &holding).expect("as it was");
        change(&holding.path);
        assert_eq!(check(&OsFs::new(), &holding).expect("asked"), state, "{name}");
        let error = open_served(&OsFs::new(), &holding).expect_err(name);
        assert_eq!(error.state(), Some(state), "{name}");
    }
}

#[tokio::test]
async fn a_change_while_it_is_open_is_noticed() {
    for (name, change, _) in &CHANGES[..2] {
        let fixture = Fixture::new();
        let mut holding = held(&fixture, b"hello world").await;
        age(&holding.path);
        holding.stamp = OsFs::new().stat(&holding.path).expect("there").stamp;
        let served = open_served(&OsFs::new(), &holding).expect("opens");
        read(&served, 0, 11).expect("as it was");
        let cached = read_cached(&served, 0, 3).expect("as it was").is_some();
        change(&holding.path);
        assert!(matches!(read(&served, 0, 11), Err(ServeError::Changed(_))), "{name}");
        match read_cached(&served, 0, 3) {
            Err(ServeError::Changed(_)) => {}
            Ok(None) if !cached => {}
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_new_number_of_the_device_is_no_change() {
    let fixture = Fixture::new();
    let mut holding = held(&fixture, b"x").await;
    holding.stamp.device += 1;
    assert_eq!(check(&OsFs::new(), &holding).expect("asked"), HoldingState::Ok);
    open_served(&OsFs::new(), &holding).expect("opens");
}

#[tokio::test]
async fn faults_are_no_changes() {
    let fixture = Fixture::new();
    let holding = held(&fixture, b"x").await;
    for errno in [5, 13] {
        for op in [FsOp::OpenRead, FsOp::FileStat] {
            fixture.fs.inject(Fault::first(op, errno));
            let error = open_served(&fixture.fs, &holding).expect_err("injected");
            assert!(matches!(&error, ServeError::File(_)) && error.state().is_none());
        }
        let served = open_served(&fixture.fs, &holding).expect("opens");
        fixture.fs.inject(Fault::first(FsOp::ReadAt, errno));
        assert!(matches!(read(&served, 0, 1), Err(ServeError::File(_))));
        fixture.fs.inject(Fault::first(FsOp::Stat, errno));
        assert!(check(&fixture.fs, &holding).is_err());
    }
}
