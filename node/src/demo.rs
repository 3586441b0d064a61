//! The demonstration: an index and three peers on this machine.

use std::io::Write;
use std::path::PathBuf;

use wire::ErrorCode;

use crate::control::{ApiError, ApiResult};

/// What the demonstration is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoOptions {
    /// The file to share; absolute. Without it one is made.
    pub path: Option<PathBuf>,
    /// One document instead of a line for each step.
    pub json: bool,
}

/// Runs it, and writes what it does to `out`.
///
/// # Errors
/// Where a step fails.
pub async fn run(options: DemoOptions, out: &mut dyn Write) -> ApiResult<()> {
    let _ = (options, out);
    Err(ApiError::new(ErrorCode::Unsupported, "this build has no demonstration"))
}
