//! What the system says of a file.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use certs::UnixNanos;

use crate::clock;

/// Times of files come from another clock than ours, and with ticks of up to 2 s (FAT).
const CLOCK_TICK_NANOS: i64 = 2_000_000_000;

/// By what the store sees that a file is still the one that was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileStamp {
    /// Bytes.
    pub size: u64,
    /// When it was last modified.
    pub mtime: UnixNanos,
    /// Its number on its file system.
    pub inode: u64,
    /// The file system's number. It may change when the system starts anew.
    pub device: u64,
}

impl FileStamp {
    /// Whether a file with this stamp is taken for unchanged since it had the other: size, modification time and inode
    /// are equal.
    ///
    /// The device is not compared: its number is given anew at each start of the system (LVM, btrfs, NFS, USB), and a
    /// restart would make every shared file `changed`.
    pub fn same_as(&self, other: &Self) -> bool {
        (self.size, self.mtime, self.inode) == (other.size, other.mtime, other.inode)
    }

    /// Whether it was modified within this time, by this machine's clock; one that is dated ahead was not.
    pub fn is_recent(&self, time: Duration) -> bool {
        let age = UnixNanos::from(clock::wall()).0.saturating_sub(self.mtime.0);
        // The clock of the files may be ahead of ours by a tick.
        let time = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        age < time && age > -CLOCK_TICK_NANOS
    }

    /// Whether a file that was read between these times may have been written once more afterwards and still have this
    /// stamp: it was modified when it was read, or so shortly before or after that the clocks cannot tell.
    pub fn is_racy(&self, from: UnixNanos, to: UnixNanos) -> bool {
        let mtime = self.mtime.0;
        mtime >= from.0.saturating_sub(CLOCK_TICK_NANOS) && mtime <= to.0.saturating_add(CLOCK_TICK_NANOS)
    }
}

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A fifo, a socket or a device.
    Other,
}

impl FileKind {
    /// What people call it, with its article.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Regular => "a file",
            Self::Folder => "a folder",
            Self::Link => "a symbolic link",
            Self::Other => "a fifo, a socket or a device",
        }
    }
}

/// All that the store asks about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    /// What it is.
    pub kind: FileKind,
    /// By what it is recognized.
    pub stamp: FileStamp,
    /// Its permission bits, 0 to 0o7777.
    pub mode: u32,
}

impl FileStat {
    /// Whether its owner may execute it.
    pub const fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }

    #[expect(clippy::useless_conversion, reason = "the fields' types differ between systems")]
    pub(super) fn of_stat(stat: &rustix::fs::Stat) -> Self {
        use rustix::fs::FileType;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::Regular,
            FileType::Directory => FileKind::Folder,
            FileType::Symlink => FileKind::Link,
            _ => FileKind::Other,
        };
        let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
        let stamp = FileStamp {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: UnixNanos(i64::from(stat.st_mtime).saturating_mul(1_000_000_000).saturating_add(nanos)),
            inode: u64::from(stat.st_ino),
            device: u64::try_from(stat.st_dev).unwrap_or(0),
        };
        Self { kind, stamp, mode: u32::from(stat.st_mode) & 0o7777 }
    }

    pub(super) fn of(metadata: &Metadata) -> Self {
        let kind = match metadata.file_type() {
            kind if kind.is_file() => FileKind::Regular,
            kind if kind.is_dir() => FileKind::Folder,
            kind if kind.is_symlink() => FileKind::Link,
            _ => FileKind::Other,
        };
        let stamp = FileStamp {
            size: metadata.len(),
            mtime: UnixNanos(
                metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec()),
            ),
            inode: metadata.ino(),
            device: metadata.dev(),
        };
        Self { kind, stamp, mode: metadata.mode() & 0o7777 }
    }
}
