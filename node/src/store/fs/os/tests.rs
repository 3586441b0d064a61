use super::*;
use std::os::unix::fs::symlink;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn only_regular_files_are_opened() {
    let folder = folder();
    let fs = OsFs::new();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("file"), b"x").expect("written");
    symlink(path("file"), path("link")).expect("linked");
    let fifo = (rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR);
    rustix::fs::mknodat(CWD, path("fifo"), fifo.0, fifo.1, 0).expect("a fifo");
    let kind = |name: &str| {
        let error = fs.open_read(&path(name)).expect_err(name);
        NotRegular::in_error(&error).expect("not regular").0
    };
    assert!(fs.open_read(&path("file")).is_ok());
    assert_eq!(kind("link"), FileKind::Link);
    assert_eq!(kind("fifo"), FileKind::Other);
    assert_eq!(kind("."), FileKind::Folder);
    assert_eq!(fs.open_read(&path("none")).expect_err("none").kind(), io::ErrorKind::NotFound);
}

#[test]
fn new_files_are_private() {
    let folder = folder();
    let path = folder.path().join("new");
    let fs = OsFs::new();
    fs.create_new(&path).expect("created");
    assert_eq!(fs.stat(&path).expect("there").mode, 0o600);
    assert_eq!(fs.create_new(&path).expect_err("taken").kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn attributes_come_back() {
    let folder = folder();
    let fs = OsFs::new();
    let file = fs.create_new(&folder.path().join("new")).expect("created");
    for mtime in [-1_500_000_000, 0, 1_700_000_000_123_456_789] {
        file.set_attributes(0o751, UnixNanos(mtime)).expect("set");
        let stat = file.stat().expect("stat");
        assert_eq!((stat.mode, stat.stamp.mtime, stat.is_executable()), (0o751, UnixNanos(mtime), true));
    }
}

#[test]
fn renaming_never_replaces() {
    for fs in [OsFs::new(), OsFs::without_rename_flags()] {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a"), b"a").expect("written");
        std::fs::write(path("b"), b"b").expect("written");
        let error = fs.rename_new(&path("a"), &path("b")).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        fs.rename_new(&path("a"), &path("c")).expect("free");
        assert!(!path("a").exists());
        assert_eq!(std::fs::read(path("b")).expect("there"), b"b");
        assert_eq!(std::fs::read(path("c")).expect("there"), b"a");
    }
}

#[test]
fn replacing_loses_nothing() {
    for (fs, old_at) in [(OsFs::new(), "new"), (OsFs::without_rename_flags(), "keep")] {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("new"), b"new").expect("written");
        let missing = fs.replace(&path("new"), &path("target"), &path("keep")).expect_err("missing");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        std::fs::write(path("target"), b"old").expect("written");
        fs.replace(&path("new"), &path("target"), &path("keep")).expect("replaced");
        assert_eq!(std::fs::read(path("target")).expect("there"), b"new");
        assert_eq!(std::fs::read(path(old_at)).expect("there"), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 2);
    }
}

#[test]
fn the_umask_is_read_without_changing_it() {
    let mask = umask_of_process().expect("this system tells");
    assert_eq!(OsFs::new().umask(), mask);
    assert_eq!(umask_of_process(), Some(mask));
}

#[test]
fn folders_sync_and_have_space() {
    let folder = folder();
    let fs = OsFs::new();
    fs.sync_folder(folder.path()).expect("synced");
    assert!(fs.free_space(folder.path()).expect("known") > 0);
}

#[test]
fn what_passes_the_cache_is_written_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    let file = OsFs::new().create_new(&path).expect("created");
    file.reserve(3 << 20).expect("reserved");
    assert_eq!(file.stat().expect("there").stamp.size, 3 << 20);
    let bytes: Vec<u8> = (0..(1 << 20) + 77).map(|n: u32| n as u8).collect();
    // Neither begins nor ends with a page.
    file.write_uncached(&bytes, 12_345).expect("written");
    file.write_uncached(&[], 5).expect("nothing to write");
    file.sync_data().expect("synced");
    let found = std::fs::read(&path).expect("read");
    assert!(found[12_345..][..bytes.len()] == bytes[..], "what was written");
    let others = found[..12_345].iter().chain(&found[12_345 + bytes.len()..]);
    assert!(others.into_iter().all(|&byte| byte == 0), "and nothing else");
}

#[test]
fn what_is_cached_is_read_up_to_the_end() {
    let folder = folder();
    let path = folder.path().join("file");
    std::fs::write(&path, b"hello world").expect("written");
    let file = OsFs::new().open_read(&path).expect("opens");
    let mut buffer = [0; 20];
    let read = file.read_cached(&mut buffer, 6).expect("read");
    // 0 where the file system cannot tell.
    assert!(read == 0 || &buffer[..read] == b"world", "{read}: {buffer:?}");
    assert_eq!(file.read_cached(&mut buffer, 11).expect("read"), 0);
    assert_eq!(file.read_cached(&mut [], 0).expect("read"), 0);
}
