//! The demonstration: an index and three peers on this machine, each a process of its own, and the main job done with
//! them.
//!
//! | concept | file |
//! | --- | --- |
//! | the steps | `script` |
//! | one process | `process` |
//! | a line, or a document, for each step | `report` |

mod process;
mod report;
mod script;

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

/// Runs it, and writes what it does to `out`: a line for each step, as it is done, or one document at the end. All that
/// it makes lies in a temporary folder, which is removed, also where a step fails or the user interrupts it.
///
/// # Errors
/// Where a step fails.
pub async fn run(options: DemoOptions, out: &mut dyn Write) -> ApiResult<()> {
    let mut report = report::Report::new(options.json, out);
    let finished = tokio::select! {
        finished = script::run(options.path.as_deref(), &mut report) => finished,
        _ = tokio::signal::ctrl_c() => Err(ApiError::new(ErrorCode::Cancelled, "interrupted; everything is cleaned up")),
    };
    finished?;
    report.end()
}
