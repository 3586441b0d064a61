//! What `index` and `run` share.

use serde::Serialize;

use super::args::Global;
use super::{Console, Failure, logging};
use crate::config::{Config, ConfigError};
use crate::control::ApiError;
use crate::home::Home;
use crate::options::{DaemonOptions, Ready};

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
