//! A file system that fails, or hangs, where a test says so.

mod folder;

use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use certs::UnixNanos;
use rustix::io::Errno;

use self::folder::FaultyFolder;
use super::{FileStat, Fs, FsFile, FsFolder, Replaced};

/// The calls that can be made to fail: those of [`Fs`], [`FsFolder`] and [`FsFile`] by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the method of that name")]
pub enum FsOp {
    OpenRead,
    OpenWrite,
    CreateNew,
    Stat,
    RenameNew,
    Replace,
    Remove,
    CreateDirAll,
    SyncFolder,
    FreeSpace,
    FileStat,
    ReadAt,
    WriteAt,
    CopyRange,
    SyncData,
    SyncAll,
    SetLen,
    SetAttributes,
    OpenFolder,
    CreateFolder,
    RemoveFolder,
    CreateLink,
    SyncFileSystem,
    ReadLink,
    RemoveEmpty,
}

impl FsOp {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::OpenRead,
        Self::OpenWrite,
        Self::CreateNew,
        Self::Stat,
        Self::RenameNew,
        Self::Replace,
        Self::Remove,
        Self::CreateDirAll,
        Self::SyncFolder,
        Self::FreeSpace,
        Self::FileStat,
        Self::ReadAt,
        Self::WriteAt,
        Self::CopyRange,
        Self::SyncData,
        Self::SyncAll,
        Self::SetLen,
        Self::SetAttributes,
        Self::OpenFolder,
        Self::CreateFolder,
        Self::RemoveFolder,
        Self::CreateLink,
        Self::SyncFileSystem,
        Self::ReadLink,
        Self::RemoveEmpty,
    ];
}

/// One planned failure.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The call that fails.
    pub op: FsOp,
    /// Only on paths that contain this text; of two paths the first counts.
    pub path_contains: String,
    /// The how-manyth such call fails, counted from 1 when the fault is injected. Later ones succeed again.
    pub nth: u64,
    /// The system's error number, such as 28 for ENOSPC.
    pub errno: i32,
}

impl Fault {
    /// The first such call on any path fails.
    pub fn first(op: FsOp, errno: i32) -> Self {
        Self { op, path_contains: String::new(), nth: 1, errno }
    }
}

/// For tests: passes every call on, but makes chosen ones fail or hang. Clones share their plan, so that it can be changed
/// while a store uses it.
#[derive(Debug, Clone)]
pub struct FaultyFs {
    inner: Arc<dyn Fs>,
    control: Arc<Control>,
}

/// Calls that hang, as on a disk that does not answer, until this is dropped. Hold it in the test, so that none hangs for
/// ever where the test fails.
#[derive(Debug)]
pub struct Hang {
    control: Arc<Control>,
    number: u64,
}

#[derive(Debug, Default)]
struct Control {
    plan: Mutex<Plan>,
    /// Notified when a [`Hang`] ends.
    released: Condvar,
}

#[derive(Debug, Default)]
struct Plan {
    faults: Vec<Fault>,
    hangs: Vec<Hung>,
    /// How many hangs there were.
    hangs_made: u64,
    hanging: usize,
    calls: u64,
    dies_after: Option<u64>,
    recorded: Vec<(Option<FsOp>, PathBuf)>,
    records: bool,
    shares_blocks: bool,
}

impl FaultyFs {
    /// In front of another one; nothing fails yet.
    pub fn new(inner: impl Fs) -> Self {
        Self { inner: Arc::new(inner), control: Arc::default() }
    }

    /// Plans a failure.
    pub fn inject(&self, fault: Fault) {
        self.plan().faults.push(fault);
    }

    /// Such calls on paths that contain this text hang from now on; then they go on as if nothing had been.
    pub fn hang(&self, op: FsOp, path_contains: &str) -> Hang {
        self.hang_after(0, op, path_contains)
    }

    /// The same, once so many of them were made.
    pub fn hang_after(&self, passes: u64, op: FsOp, path_contains: &str) -> Hang {
        let mut plan = self.plan();
        plan.hangs_made += 1;
        let number = plan.hangs_made;
        plan.hangs.push(Hung { number, op, path_contains: path_contains.to_owned(), passes });
        Hang { control: self.control.clone(), number }
    }

    /// How many calls hang now.
    pub fn hanging(&self) -> usize {
        self.plan().hanging
    }

    /// Forgets all planned failures, and lives again.
    pub fn clear(&self) {
        let mut plan = self.plan();
        plan.faults.clear();
        plan.dies_after = None;
    }

    /// As if the machine stopped after this many more calls: from then on every call fails with EIO.
    pub fn die_after(&self, calls: u64) {
        let mut plan = self.plan();
        plan.dies_after = Some(plan.calls + calls);
    }

    /// Whether it has stopped.
    pub fn is_dead(&self) -> bool {
        let plan = self.plan();
        plan.dies_after.is_some_and(|last| plan.calls > last)
    }

    /// How many calls were made, failed ones included.
    pub fn calls(&self) -> u64 {
        self.plan().calls
    }

    /// Says from now on of all files that they could share blocks, so that they are copied as such.
    pub fn share_blocks(&self) {
        self.plan().shares_blocks = true;
    }

    /// Keeps from now on what is called, in order.
    pub fn record(&self) {
        let mut plan = self.plan();
        plan.records = true;
        plan.recorded.clear();
    }

    /// What was called since [`FaultyFs::record`], on which path (of two, the first); `None` is a [`FaultyFs::step`].
    pub fn recorded(&self) -> Vec<(Option<FsOp>, PathBuf)> {
        self.plan().recorded.clone()
    }

    /// Counts a step that is no call on a file, such as a transaction, as one where the machine may stop.
    ///
    /// # Errors
    /// EIO if it has stopped.
    pub fn step(&self) -> io::Result<()> {
        let mut plan = self.plan();
        plan.keep(None, Path::new(""));
        plan.count()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.control.plan()
    }

    fn check(&self, op: FsOp, path: &Path) -> io::Result<()> {
        self.control.check(op, path)
    }

    fn wrap(&self, path: &Path, file: Arc<dyn FsFile>) -> Arc<dyn FsFile> {
        Arc::new(FaultyFile { inner: file, path: path.to_owned(), control: self.control.clone() })
    }
}

impl Drop for Hang {
    fn drop(&mut self) {
        self.control.plan().hangs.retain(|hung| hung.number != self.number);
        self.control.released.notify_all();
    }
}

impl Control {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, op: FsOp, path: &Path) -> io::Result<()> {
        let mut plan = self.plan();
        plan.check(op, path)?;
        if let Some(number) = plan.hangs(op, path) {
            plan.hanging += 1;
            let hangs = |plan: &mut Plan| plan.hangs.iter().any(|hung| hung.number == number);
            let waiting = self.released.wait_while(plan, hangs);
            waiting.unwrap_or_else(PoisonError::into_inner).hanging -= 1;
        }
        Ok(())
    }
}

impl Plan {
    /// Which of the hangs holds this call, if one does.
    fn hangs(&mut self, op: FsOp, path: &Path) -> Option<u64> {
        let hung = self.hangs.iter_mut().find(|hung| hung.is_of(op, path))?;
        let holds = hung.passes == 0;
        hung.passes = hung.passes.saturating_sub(1);
        holds.then_some(hung.number)
    }

    fn count(&mut self) -> io::Result<()> {
        self.calls += 1;
        match self.dies_after {
            Some(last) if self.calls > last => Err(raw(Errno::IO.raw_os_error())),
            _ => Ok(()),
        }
    }

    fn keep(&mut self, op: Option<FsOp>, path: &Path) {
        if self.records {
            self.recorded.push((op, path.to_owned()));
        }
    }

    fn check(&mut self, op: FsOp, path: &Path) -> io::Result<()> {
        self.keep(Some(op), path);
        self.count()?;
        let text = path.to_string_lossy();
        let mut failure = None;
        self.faults.retain_mut(|fault| {
            if fault.op != op || !text.contains(&fault.path_contains) {
                return true;
            }
            fault.nth = fault.nth.saturating_sub(1);
            if fault.nth == 0 {
                failure = Some(raw(fault.errno));
            }
            fault.nth > 0
        });
        failure.map_or(Ok(()), Err)
    }
}

/// What hangs.
#[derive(Debug)]
struct Hung {
    number: u64,
    op: FsOp,
    path_contains: String,
    /// Calls that go on before.
    passes: u64,
}

impl Hung {
    fn is_of(&self, op: FsOp, path: &Path) -> bool {
        self.op == op && path.to_string_lossy().contains(&self.path_contains)
    }
}

fn raw(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

impl Fs for FaultyFs {
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.check(FsOp::OpenRead, path)?;
        Ok(self.wrap(path, self.inner.open_read(path)?))
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.check(FsOp::OpenWrite, path)?;
        Ok(self.wrap(path, self.inner.open_write(path)?))
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.check(FsOp::CreateNew, path)?;
        Ok(self.wrap(path, self.inner.create_new(path)?))
    }

    fn reflink(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(FsOp::CreateNew, to)?;
        self.inner.reflink(from, to)
    }

    fn open_folder(&self, path: &Path) -> io::Result<Arc<dyn FsFolder>> {
        self.check(FsOp::OpenFolder, path)?;
        let inner = self.inner.open_folder(path)?;
        Ok(Arc::new(FaultyFolder { inner, path: path.to_owned(), fs: self.clone() }))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.check(FsOp::CreateFolder, path)?;
        self.inner.create_folder(path)
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        self.check(FsOp::Stat, path)?;
        self.inner.stat(path)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(FsOp::RenameNew, from)?;
        self.inner.rename_new(from, to)
    }

    fn replace(&self, new: &Path, target: &Path, keep: &Path) -> io::Result<Replaced> {
        self.check(FsOp::Replace, new)?;
        self.inner.replace(new, target, keep)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check(FsOp::Remove, path)?;
        self.inner.remove(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.check(FsOp::RemoveFolder, path)?;
        self.inner.remove_folder(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.check(FsOp::CreateDirAll, path)?;
        self.inner.create_dir_all(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.check(FsOp::SyncFolder, path)?;
        self.inner.sync_folder(path)
    }

    fn free_space(&self, path: &Path) -> io::Result<u64> {
        self.check(FsOp::FreeSpace, path)?;
        self.inner.free_space(path)
    }

    fn umask(&self) -> u32 {
        self.inner.umask()
    }
}

#[derive(Debug)]
struct FaultyFile {
    inner: Arc<dyn FsFile>,
    path: PathBuf,
    control: Arc<Control>,
}

impl FaultyFile {
    fn check(&self, op: FsOp) -> io::Result<()> {
        self.control.check(op, &self.path)
    }
}

impl FsFile for FaultyFile {
    fn stat(&self) -> io::Result<FileStat> {
        self.check(FsOp::FileStat)?;
        self.inner.stat()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.check(FsOp::ReadAt)?;
        self.inner.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check(FsOp::WriteAt)?;
        self.inner.write_at(bytes, offset)
    }

    fn write_uncached(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check(FsOp::WriteAt)?;
        self.inner.write_uncached(bytes, offset)
    }

    fn shares_blocks(&self) -> bool {
        self.control.plan().shares_blocks || self.inner.shares_blocks()
    }

    fn copy_range(&self, source: &dyn FsFile, from: u64, to: u64, length: u64) -> io::Result<u64> {
        self.check(FsOp::CopyRange)?;
        self.inner.copy_range(source, from, to, length)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inner.descriptor()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check(FsOp::SyncData)?;
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.check(FsOp::SyncAll)?;
        self.inner.sync_all()
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        self.check(FsOp::SetLen)?;
        self.inner.set_len(size)
    }

    fn reserve(&self, size: u64) -> io::Result<()> {
        self.check(FsOp::SetLen)?;
        self.inner.reserve(size)
    }

    fn set_attributes(&self, mode: u32, mtime: UnixNanos) -> io::Result<()> {
        self.check(FsOp::SetAttributes)?;
        self.inner.set_attributes(mode, mtime)
    }

    fn set_modified(&self, mtime: UnixNanos) -> io::Result<()> {
        self.check(FsOp::SetAttributes)?;
        self.inner.set_modified(mtime)
    }
}
