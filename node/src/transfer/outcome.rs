//! How a download ends.

use wire::{ErrorBody, ErrorCode};

use crate::control::{ApiError, LocalCode};
use crate::local::LocalError;
use crate::store::{JobSource, Kept};

/// What a finished download reports.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    pub(crate) bytes_received: u64,
    /// What was here already: copied from what this node holds, or of chunks that were equal to another one.
    pub(crate) bytes_reused: u64,
    pub(crate) sources: Vec<JobSource>,
    /// What lay there and had to be kept beside.
    pub(crate) kept: Kept,
}

/// Why a download is not finished.
#[derive(Debug)]
pub(crate) enum JobError {
    /// It was paused, or the node stops: it goes on later from where it is.
    Stopped,
    /// It was cancelled: what was received is removed.
    Cancelled,
    /// There is a newer version, with this record: it begins anew with that.
    Newer(Box<super::VerifiedRecord>),
    /// The owner changed so much that the user is asked first; why.
    HeldBack(String),
    /// The network's part: not found, no holder, wrong content.
    Refused(ErrorBody),
    /// This machine's part: disk or database, with what the user can do about it.
    Local(ApiError),
}

impl JobError {
    /// Something that should not happen.
    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        Self::Local(ApiError::internal(error))
    }

    /// For the user.
    pub(crate) fn to_api(&self) -> ApiError {
        match self {
            Self::Stopped => ApiError::new(LocalCode::Paused, "the download is paused"),
            Self::Cancelled => ApiError::new(ErrorCode::Cancelled, "the download was cancelled"),
            Self::Newer(_) => ApiError::new(ErrorCode::Internal, "a newer version appeared"),
            Self::HeldBack(why) => ApiError::new(LocalCode::HeldBack, why.clone()),
            Self::Refused(body) => body.clone().into(),
            Self::Local(error) => error.clone(),
        }
    }
}

impl From<ErrorBody> for JobError {
    fn from(body: ErrorBody) -> Self {
        Self::Refused(body)
    }
}

impl<E: Into<LocalError>> From<E> for JobError {
    fn from(error: E) -> Self {
        Self::Local(error.into().to_api())
    }
}
