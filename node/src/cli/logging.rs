//! What is logged, to standard error.
//!
//! `-v` and `-q` go before the environment's P2P_NODE_LOG, that before `log` of the configuration file.

use std::io;

use tracing_subscriber::EnvFilter;

use super::args::Global;
use super::console::{Console, colours};
use crate::control::ApiError;

/// The environment variable with a filter in tracing's syntax.
pub(super) const VARIABLE: &str = "P2P_NODE_LOG";
/// What a daemon logs that was told nothing: its life cycle.
pub(super) const DAEMON_DEFAULT: &str = "warn,p2p_node=info";

/// For a command that asks the daemon: problems alone, unless more is wanted.
pub(super) fn start_command(global: &Global, console: &Console) -> Result<(), ApiError> {
    let by_flag = match (global.quiet, global.verbose) {
        (true, _) => Some("error"),
        (false, 0) => None,
        (false, 1) => Some("warn,p2p_node=info"),
        (false, 2) => Some("warn,p2p_node=debug"),
        (false, _) => Some("trace"),
    };
    start(by_flag, None, "warn", console)
}

/// For a daemon: its life cycle, unless more or less is wanted.
pub(super) fn start_daemon(
    global: &Global,
    configured: Option<&str>,
    console: &Console,
) -> Result<(), ApiError> {
    start(daemon_flag(global), configured, DAEMON_DEFAULT, console)
}

/// What the flags say that a daemon is to log.
pub(super) fn daemon_flag(global: &Global) -> Option<&'static str> {
    match (global.quiet, global.verbose) {
        (true, _) => Some("error"),
        (false, 0) => None,
        (false, 1) => Some("info,p2p_node=debug"),
        (false, 2) => Some("info,p2p_node=trace"),
        (false, _) => Some("trace"),
    }
}

/// What the environment says.
pub(super) fn variable() -> Option<String> {
    std::env::var(VARIABLE).ok().filter(|value| !value.is_empty())
}

fn start(
    by_flag: Option<&str>,
    configured: Option<&str>,
    default: &str,
    console: &Console,
) -> Result<(), ApiError> {
    let variable = variable();
    let filter = by_flag.or(variable.as_deref()).or(configured).unwrap_or(default);
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| ApiError::usage(format!("'{filter}' says not what to log: {error}")))?;
    // Where a program that embeds this one has its own logging, that stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours(console.terminals().err))
        .with_writer(io::stderr)
        .try_init();
    Ok(())
}
