//! What `get --json` says: how far each download is, and how it ended, one object a line.

use std::io;

use certs::UserName;
use serde::Serialize;
use wire::ResourceName;

use super::resource::ResourceArg;
use super::{Console, Exit};
use crate::control::api::{FilesProgress, GetDone, Progress, Stage, TransferPeer};
use crate::control::{ApiError, LocalCode};

/// How far one is.
#[derive(Serialize)]
struct Going<'a> {
    event: &'static str,
    id: Option<u64>,
    owner: &'a UserName,
    name: &'a ResourceName,
    state: Stage,
    size: Option<u64>,
    bytes_done: u64,
    bytes_received: u64,
    bytes_reused: u64,
    rate: u64,
    eta_ms: Option<u64>,
    holders: &'a [TransferPeer],
    files: Option<&'a FilesProgress>,
    note: Option<&'a str>,
}

/// That it ended well.
#[derive(Serialize)]
struct Done<'a> {
    event: &'static str,
    #[serde(flatten)]
    done: &'a GetDone,
}

/// That it did not, or not yet.
#[derive(Serialize)]
struct Failed<'a> {
    event: &'static str,
    owner: &'a UserName,
    name: &'a ResourceName,
    error: &'a ApiError,
}

/// Writes how far the download with this label, `OWNER/NAME`, is.
pub(super) fn going(label: &str, progress: &Progress, console: &mut Console) -> io::Result<()> {
    let Ok(ResourceArg { owner, name }) = label.parse() else { return Ok(()) };
    console.document(&Going {
        event: "progress",
        id: progress.id,
        owner: &owner,
        name: &name,
        state: progress.stage,
        size: progress.bytes_total,
        bytes_done: progress.bytes_done,
        bytes_received: progress.bytes_received,
        bytes_reused: progress.bytes_reused,
        rate: progress.rate,
        eta_ms: progress.eta_ms,
        holders: &progress.peers,
        files: progress.files.as_ref(),
        note: progress.note.as_deref(),
    })?;
    console.flush()
}

/// Writes that one is done.
pub(super) fn done(done: &GetDone, console: &mut Console) -> io::Result<()> {
    console.document(&Done { event: "done", done })?;
    console.flush()
}

/// Writes why one is not done, and says how the command ends by it.
pub(super) fn failed(resource: &ResourceArg, error: &ApiError, console: &mut Console) -> io::Result<Exit> {
    let event = if error.code == LocalCode::Paused.into() { "paused" } else { "failed" };
    console.document(&Failed { event, owner: &resource.owner, name: &resource.name, error })?;
    console.flush()?;
    Ok(error.code.into())
}
