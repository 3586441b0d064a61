//! The demonstration: an index and three peers on this machine, each a process of its own, and the main job done with
//! them.
//!
//! | concept | file |
//! | --- | --- |
//! | the steps | `script` |
//! | those without the index | `outage` |
//! | the processes | `process` |
//! | a line, or a document, for each step | `report` |

mod outage;
mod process;
mod report;
mod script;

use std::future::Future;
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
/// it makes lies in a temporary folder, which is removed, also where a step fails or `interrupt` is ready first.
///
/// # Errors
/// Where a step fails, or the folder cannot be removed.
pub async fn run(
    options: DemoOptions,
    interrupt: impl Future<Output = ()>,
    out: &mut dyn Write,
) -> ApiResult<()> {
    let folder = tempfile::Builder::new()
        .prefix("p2p-node-demo-")
        .tempdir()
        .map_err(|error| ApiError::io("make a temporary folder", &error))?;
    let mut processes = process::Processes::new(folder.path());
    let mut report = report::Report::new(options.json, out);
    let finished = tokio::select! {
        finished = script::run(options.path.as_deref(), folder.path(), &mut processes, &mut report) => finished,
        () = interrupt => Err(ApiError::new(ErrorCode::Cancelled, "interrupted")),
    };
    processes.kill().await;
    let doing = format!("remove the folder {}", folder.path().display());
    let removed = folder.close().map_err(|error| ApiError::io(doing, &error));
    match (finished, removed) {
        (Ok(()), Ok(())) => report.end(),
        (Err(error), Err(left)) => Err(error.while_doing(left)),
        (error, left) => error.and(left),
    }
}
