//! This machine's errors as the user is told them: what failed, and what can be done about it.

use std::io;

use wire::ErrorCode;

use crate::control::{ApiError, Code, LocalCode};
use crate::store::fs::FileError;
use crate::store::{DbError, ImportError, InstallError, JobError, LayoutError, PartialError};
use crate::transfer::HashError;

/// An error of the store, on its way to the user.
#[derive(Debug)]
pub(crate) struct LocalError(ApiError);

impl LocalError {
    /// For the user.
    pub(crate) fn to_api(&self) -> ApiError {
        self.0.clone()
    }
}

impl From<ImportError> for ApiError {
    fn from(error: ImportError) -> Self {
        let code: Code = match &error {
            ImportError::NotFound(_) => LocalCode::NoSuchPath.into(),
            ImportError::Folder(_) => ErrorCode::Changed.into(),
            ImportError::Empty(_) | ImportError::Home(_) => LocalCode::Usage.into(),
            ImportError::NotRegular { .. } => LocalCode::Usage.into(),
            ImportError::Unreadable { .. } => LocalCode::PermissionDenied.into(),
            ImportError::ChangedWhileReading(_) | ImportError::BeingWritten(_) => ErrorCode::Changed.into(),
            ImportError::TooLarge(_) => ErrorCode::TooLarge.into(),
            ImportError::Cancelled => ErrorCode::Cancelled.into(),
            ImportError::File(error) => io_code(&error.source).into(),
        };
        hinted(Self::new(code, error.to_string()), error.hint())
    }
}

impl From<PartialError> for LocalError {
    fn from(error: PartialError) -> Self {
        let code = match &error {
            PartialError::NoSpace { .. } => LocalCode::DiskFull,
            PartialError::Clash(_) => LocalCode::Exists,
            PartialError::Install(error) if matches!(**error, InstallError::Edited(_)) => LocalCode::Exists,
            PartialError::File(error) => io_code(&error.source),
            PartialError::SyncFailed { source, .. } => io_code(source),
            _ => LocalCode::Io,
        };
        Self(hinted(ApiError::new(code, error.to_string()), error.hint()))
    }
}

impl From<InstallError> for LocalError {
    fn from(error: InstallError) -> Self {
        let code = match &error {
            InstallError::TargetExists(_)
            | InstallError::TargetTaken(_)
            | InstallError::Edited(_)
            | InstallError::BaseGone(_)
            | InstallError::TargetIsFolder(_)
            | InstallError::TargetIsNoFile(_) => LocalCode::Exists,
            InstallError::File(error) => io_code(&error.source),
            InstallError::SyncFailed { source, .. } => io_code(source),
            _ => LocalCode::Io,
        };
        Self(hinted(ApiError::new(code, error.to_string()), error.hint()))
    }
}

impl From<DbError> for LocalError {
    fn from(error: DbError) -> Self {
        Self(hinted(ApiError::internal(&error), error.hint()))
    }
}

impl From<HashError> for LocalError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::File(error) => error.into(),
            HashError::Died => Self(ApiError::internal(error)),
        }
    }
}

impl From<LayoutError> for LocalError {
    fn from(error: LayoutError) -> Self {
        Self(ApiError::internal(error))
    }
}

impl From<JobError> for LocalError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Db(error) => error.into(),
            JobError::Install(error) => (*error).into(),
            JobError::Discard(error) => error.into(),
            JobError::Tombstone(_) => Self(ApiError::internal(error)),
        }
    }
}

impl From<FileError> for LocalError {
    fn from(error: FileError) -> Self {
        let hint = error.hint();
        Self(hinted(ApiError::new(io_code(&error.source), error.to_string()), hint))
    }
}

impl ApiError {
    /// Something that should not happen, or that only an operator can mend.
    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        Self::new(ErrorCode::Internal, error.to_string())
    }
}

fn hinted(error: ApiError, hint: Option<&str>) -> ApiError {
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn io_code(error: &io::Error) -> LocalCode {
    use io::ErrorKind as K;
    match error.kind() {
        K::NotFound => LocalCode::NoSuchPath,
        K::PermissionDenied => LocalCode::PermissionDenied,
        K::StorageFull | K::QuotaExceeded => LocalCode::DiskFull,
        K::ReadOnlyFilesystem => LocalCode::ReadOnly,
        _ => LocalCode::Io,
    }
}
