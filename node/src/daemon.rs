//! The daemon, as the command line starts it.

use std::future::Future;

use wire::ErrorCode;

use crate::control::{ApiError, ApiResult};
use crate::options::{DaemonOptions, Ready};

/// Runs a daemon until `shutdown` is ready or it is told to stop; calls `ready` once it is bound and answers on the
/// control socket.
///
/// # Errors
/// Where it cannot start, or fails.
pub async fn run(
    options: DaemonOptions,
    ready: impl FnOnce(Ready),
    shutdown: impl Future<Output = ()>,
) -> ApiResult<()> {
    let _ = (options, ready, shutdown);
    Err(ApiError::new(ErrorCode::Unsupported, "this build has no daemon"))
}
