//! What `index` and `run` share.

use std::net::SocketAddr;

use serde::Serialize;

use super::args::{FallbackArgs, Global, TransportArgs};
use super::{Console, Failure, logging};
use crate::config::{Config, ConfigError};
use crate::control::ApiError;
use crate::home::Home;
use crate::options::{DaemonOptions, LimitOptions, Ready, Role, UpdateOptions};

/// The configuration: the file that `--config` names, which must exist, or the home's, which need not.
pub(super) fn config(global: &Global, home: &Home) -> Result<Config, ApiError> {
    match &global.config {
        Some(path) => match Config::read(path)? {
            Some(config) => Ok(config),
            None => Err(ConfigError::Missing { path: path.clone() }.into()),
        },
        None => Ok(Config::read(&home.config())?.unwrap_or_default()),
    }
}

/// What was given for any daemon, by flags or variables.
pub(super) struct Given {
    pub(super) listen: Option<SocketAddr>,
    pub(super) transport: TransportArgs,
    pub(super) fallback: FallbackArgs,
}

/// What a daemon is started with: what was given goes before the file, that before the default.
pub(super) fn options(given: Given, role: Role, config: &Config, home: Home) -> DaemonOptions {
    DaemonOptions {
        home,
        listen: given.listen.or(config.listen),
        role,
        transport: given.transport.options(config),
        limits: LimitOptions::default().with(&config.limits),
        updates: UpdateOptions::default().with(&config.updates),
        watch: config.watch.unwrap_or_default(),
        keep: config.keep.unwrap_or_default(),
        hook_timeout: config.hook_timeout_s.unwrap_or_default(),
        fallback: given.fallback.options(config),
    }
}

/// Runs a daemon until it is stopped or interrupted.
pub(super) async fn run(
    options: DaemonOptions,
    config: &Config,
    global: &Global,
    console: &mut Console,
) -> Result<(), Failure> {
    logging::start_daemon(global, config.log.as_deref(), console)?;
    let interrupt = console.interrupt();
    let mut announced = false;
    let announce = |ready: Ready| {
        announced = true;
        // Where nobody reads that any more, the daemon runs all the same.
        if let Err(error) = print(&ready, console) {
            tracing::warn!(%error, "cannot print that the daemon is ready");
        }
    };
    let ended = crate::daemon::run(options, announce, interrupt).await;
    match ended {
        // The one document is printed; what goes wrong after it is for standard error.
        Err(error) if announced && console.json() => {
            console.complain(format_args!("error: {error}"));
            Err(Failure::Reported(error.code.into()))
        }
        other => Ok(other?),
    }
}

fn print(ready: &Ready, console: &mut Console) -> std::io::Result<()> {
    #[derive(Serialize)]
    struct Document {
        ready: String,
        id: String,
        address: String,
    }
    if console.json() {
        let (id, address) = (ready.id.to_string(), ready.address.to_string());
        console.document(&Document { ready: format!("{id}@{address}"), id, address })?;
    } else {
        writeln!(console.out(), "{ready}")?;
    }
    console.flush()
}
