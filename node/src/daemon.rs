//! The daemon, as the command line starts it: a node, its home's lock, its control socket.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};
use wire::ErrorCode;

use crate::clock;
use crate::control::{ApiError, ApiResult, LocalCode, server, socket};
use crate::home::{Home, HomeError, HomeLock};
use crate::net::BindError;
use crate::node::{Node, NodeOptions, StartError};
use crate::options::{DaemonOptions, Ready};
use crate::peer::CredentialsError;
use crate::tasks::Tasks;

/// How long a killed daemon may take to be gone.
const DYING: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Open files that the process may have, where the system allows it: many systems give 1,024 unless asked, and 256 uploads
/// of folders hold up to 8,704, twice that where their places are lent.
const DESCRIPTORS: u64 = 32_768;

/// Runs a daemon until `shutdown` is ready or it is told to stop; calls `ready` once it is bound and answers on the
/// control socket.
///
/// # Errors
/// Where it cannot start: the home is in use or damaged, the port is taken, no index is configured.
pub async fn run(
    options: DaemonOptions,
    ready: impl FnOnce(Ready),
    shutdown: impl Future<Output = ()>,
) -> ApiResult<()> {
    let mut shutdown = pin!(shutdown);
    let home = options.home.clone();
    allow_descriptors();
    home.create()?;
    let lock = tokio::select! {
        lock = lock(&home) => lock?,
        () = &mut shutdown => return Ok(()),
    };
    let (listener, socket) =
        socket::bind(&lock).map_err(|error| ApiError::io("make the control socket", &error))?;
    let node =
        Arc::new(Node::start(NodeOptions::from(options)).await.map_err(|error| start_error(error, &home))?);
    info!(node = %node.id(), address = %node.ready().address, "started");
    let tasks = Tasks::new();
    let stopping = tokio_util::sync::CancellationToken::new();
    let serving = tasks.spawn(server::serve(listener, node.clone(), stopping.clone().cancelled_owned()));
    ready(node.ready());
    tokio::select! {
        () = &mut shutdown => {}
        () = node.stop_wanted() => {}
    }
    stopping.cancel();
    let answered = async { drop(serving.await) };
    node.shut_down_after(answered).await;
    drop(socket);
    drop(lock);
    Ok(())
}

/// Raises the limit of open files to [`DESCRIPTORS`], or as far as this user may.
fn allow_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(DESCRIPTORS).min(DESCRIPTORS);
    if current.is_some_and(|current| current < wanted)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
    {
        warn!(%error, "the limit of open files stays as it is");
    }
}

/// Takes the home's lock. One whose daemon does not answer any more is waited for: a killed process keeps its locks until
/// what it was writing is written.
async fn lock(home: &Home) -> ApiResult<HomeLock> {
    let began = clock::monotonic();
    loop {
        match home.lock() {
            Err(HomeError::Locked { .. })
                if began.elapsed() < DYING && socket::connect(home).await.is_err() =>
            {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            other => return Ok(other?),
        }
    }
}

fn start_error(error: StartError, home: &Home) -> ApiError {
    if let StartError::Credentials(CredentialsError::Key(error)) = error {
        return error.into();
    }
    match &error {
        StartError::NoIndex if home.is_index() => ApiError::new(LocalCode::BadConfig, error.to_string())
            .with_hint("this home is an index's: start it with `p2p-node index`"),
        StartError::NoIndex => ApiError::new(LocalCode::BadConfig, error.to_string()).with_hint(
            "give --index <network-id>@<host>:<port>, or put index = \"...\" into config.toml; `p2p-node index` prints it",
        ),
        StartError::Credentials(_) | StartError::Index(_) => {
            ApiError::new(LocalCode::BadHome, error.to_string())
        }
        StartError::Store(damaged) => {
            let hint = damaged.hint().map(str::to_owned);
            ApiError { hint, ..ApiError::new(LocalCode::BadHome, error.to_string()) }
        }
        StartError::Bind(BindError::Socket { source, .. }) if source.kind() == std::io::ErrorKind::AddrInUse => {
            ApiError::new(LocalCode::Io, error.to_string())
                .with_hint("another program uses this port: choose one with --listen, or stop the other")
        }
        StartError::Bind(_) => ApiError::new(LocalCode::Io, error.to_string()),
        StartError::Randomness(_) => ApiError::new(ErrorCode::Internal, error.to_string()),
    }
}
