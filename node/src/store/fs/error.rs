//! Errors of single file operations, and what a person can do about them.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::FileKind;

/// One operation on one file failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct FileError {
    /// What was being done, as a verb and what belongs to it: "read", "make durable".
    pub action: &'static str,
    /// To which file.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

impl FileError {
    /// What a person can do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        io_hint(&self.source)
    }
}

/// The folder of a file is not there, so nobody knows whether the file is. Found inside the [`io::Error`] of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its folder is not there")]
pub struct FolderAway;

impl From<FolderAway> for io::Error {
    fn from(error: FolderAway) -> Self {
        Self::new(io::ErrorKind::NotFound, error)
    }
}

/// What lies at the path is no regular file. Found inside the [`io::Error`] of an open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is {}, not a regular file", .0.as_str())]
pub struct NotRegular(pub FileKind);

impl NotRegular {
    /// The one inside an error, if any.
    pub fn in_error(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<NotRegular> for io::Error {
    fn from(error: NotRegular) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

/// What a person can do about a failed operation, where that is known.
pub fn io_hint(error: &io::Error) -> Option<&'static str> {
    if error.get_ref().is_some_and(|inner| inner.is::<FolderAway>()) {
        return Some("mount the disk again, or make the folder anew if it is gone for good; then try again");
    }
    let hint = match Errno::from_io_error(error)? {
        Errno::NOSPC => "the disk is full; free some space and run the same command again",
        Errno::DQUOT => "your disk quota is used up; free some space and run the same command again",
        Errno::ACCESS | Errno::PERM => {
            "the node's user may not do this; check who owns the file and its folder, and their permissions"
        }
        Errno::ROFS => "the file system is read-only; choose another folder, or mount it for writing",
        Errno::IO => {
            "the disk reports a fault; look at the system's log and check the disk before trying again"
        }
        Errno::MFILE | Errno::NFILE => "too many files are open; raise the limit (ulimit -n)",
        Errno::FBIG => "the file system cannot hold a file of this size; choose another folder",
        Errno::NAMETOOLONG => "the file system wants a shorter name",
        _ => return None,
    };
    Some(hint)
}

/// Adds to an error what was being done to which file.
pub(crate) trait At<T> {
    /// On failure: cannot `action` `path`.
    fn at(self, action: &'static str, path: &Path) -> Result<T, FileError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, FileError> {
        self.map_err(|source| failed(action, path, source))
    }
}

/// The error of an operation.
pub(crate) fn failed(action: &'static str, path: &Path, source: io::Error) -> FileError {
    FileError { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faults_that_users_meet_have_hints() {
        for errno in [Errno::NOSPC, Errno::ACCESS, Errno::PERM, Errno::ROFS, Errno::IO, Errno::DQUOT] {
            assert!(io_hint(&io::Error::from_raw_os_error(errno.raw_os_error())).is_some(), "{errno:?}");
        }
        assert!(io_hint(&FolderAway.into()).is_some());
        assert_eq!(io_hint(&io::ErrorKind::NotFound.into()), None);
        assert_eq!(io_hint(&NotRegular(FileKind::Folder).into()), None);
    }

    #[test]
    fn says_what_to_what_and_why() {
        let error = failed("read", Path::new("/a/b"), io::Error::other("broken"));
        assert_eq!(error.to_string(), "cannot read /a/b: broken");
    }
}
