//! `get`: a resource downloaded.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::HumanBytes;
use wire::ErrorCode;

use super::follow::follow;
use super::resource::ResourceArg;
use super::table::{Column, Table};
use super::{Console, Failure};
use crate::control::api::{GetDone, GetRequest, JobRequest, LocalPath};
use crate::control::{ApiError, ApiResult, Client, LocalCode};
use crate::percents::percents;

/// How long an interrupted command waits until the daemon has paused the download.
const PAUSE_PATIENCE: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  p2p-node get alice/film.mkv                     to downloads/alice/film.mkv in the home
  p2p-node get alice/film.mkv -o .                into this folder
  p2p-node get alice/film.mkv -o ~/film.mkv --force
  p2p-node get alice/photos --only '2026/*' --only '*.txt'
  p2p-node get alice/film.mkv --json | jq .sources

Ctrl-C pauses the download. The same command resumes it; `p2p-node cancel OWNER/NAME` drops it.";

/// Download a resource, from all who have it at once. It returns once it is verified and in its place.
///
/// While it runs, the same command elsewhere follows it too.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct GetArgs {
    /// Whose, and its name
    #[arg(value_name = "OWNER/NAME")]
    resource: ResourceArg,

    /// The file or folder to make, or a folder that exists, to put it in
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,

    /// Get this version alone; do not subscribe to later ones
    #[arg(long)]
    once: bool,

    /// Do not serve it to others
    #[arg(long)]
    no_share: bool,

    /// Replace another file at the target; the old one is kept beside it
    #[arg(long)]
    force: bool,

    /// Of a folder only what matches; `*` stands for any text, a folder that matches for all in it. May be repeated. Parts
    /// are not served to others
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
}

impl GetArgs {
    fn request(&self) -> ApiResult<GetRequest> {
        let path = self.output.as_ref().map(std::path::absolute).transpose();
        let path = path.map_err(|error| ApiError::io("resolve the path of -o", &error))?;
        let ResourceArg { owner, name } = self.resource.clone();
        Ok(GetRequest {
            owner,
            name,
            path: path.map(Into::into),
            once: self.once,
            share: !self.no_share,
            force: self.force,
            only: self.only.clone(),
        })
    }
}

pub(super) async fn run(args: GetArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    let request = args.request()?;
    let label = args.resource.to_string();
    match follow(client.get(&request), &label, console).await? {
        Some(done) => Ok(console.result(&done, text)?),
        None => Err(pause(client, &args.resource, request.path).await.into()),
    }
}

/// Pauses the download, and says how it goes on.
async fn pause(client: &Client, resource: &ResourceArg, path: Option<LocalPath>) -> ApiError {
    let request = JobRequest { owner: resource.owner.clone(), name: resource.name.clone(), path };
    let late = || ApiError::new(ErrorCode::Timeout, "no answer in time");
    let answer = tokio::time::timeout(PAUSE_PATIENCE, client.pause(&request)).await;
    match answer.unwrap_or_else(|_| Err(late())) {
        Ok(_) => ApiError::new(LocalCode::Paused, format!("the download of {resource} is paused"))
            .with_hint(format!("repeat the command to resume it; `p2p-node cancel {resource}` drops it")),
        Err(error) if error.code == ErrorCode::NotFound.into() => {
            let text = format!("interrupted; there is no download of {resource}");
            ApiError::new(ErrorCode::Cancelled, text).with_hint("repeat the command to get it")
        }
        Err(error) => error.while_doing(format_args!("pausing the download of {resource}")),
    }
}

const SOURCES: &[Column] =
    &[Column::Left("FROM"), Column::Right("BYTES"), Column::Right("SHARE"), Column::Left("NODE")];

fn text(done: &GetDone) -> Vec<String> {
    let verified = format!("verified: {}", done.content);
    let mut lines = vec![summary(done), verified, format!("path: {}", done.path)];
    let bytes: Vec<u64> = done.sources.iter().map(|source| source.bytes).collect();
    let rows = done.sources.iter().zip(percents(&bytes)).map(|(source, share)| {
        let (user, bytes) = (source.user.to_string(), HumanBytes(source.bytes).to_string());
        vec![user, bytes, format!("{share} %"), source.node.to_string()]
    });
    lines.extend(Table::new(SOURCES).lines(rows));
    lines
}

/// What came, how long it took, how quick it was, and what needed not to come.
fn summary(done: &GetDone) -> String {
    let GetDone { owner, name, version, size, seconds, bytes_received, bytes_reused, .. } = done;
    let mut summary = format!("{owner}/{name} version {version}: {}", HumanBytes(*size));
    if *bytes_received == 0 && *bytes_reused > 0 {
        return summary + ", here already";
    }
    summary += &format!(" in {seconds:.1} s");
    let rate = if *seconds > 0.0 { (*bytes_received as f64 / seconds) as u64 } else { 0 };
    if rate > 0 {
        summary += &format!(", {}/s", HumanBytes(rate));
    }
    if *bytes_reused > 0 {
        summary += &format!(", {} of it were here already", HumanBytes(*bytes_reused));
    }
    summary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_here_already_took_no_time() {
        let done = |bytes_received, bytes_reused| GetDone {
            owner: "bob".parse().expect("a name"),
            name: "x".parse().expect("a name"),
            version: 2,
            path: PathBuf::from("/x").into(),
            size: 3 << 20,
            content: wire::ContentHash::of(b"x"),
            bytes_received,
            bytes_reused,
            seconds: if bytes_received > 0 { 2.0 } else { 0.0 },
            sources: Vec::new(),
        };
        assert_eq!(summary(&done(0, 3 << 20)), "bob/x version 2: 3.00 MiB, here already");
        assert_eq!(summary(&done(3 << 20, 0)), "bob/x version 2: 3.00 MiB in 2.0 s, 1.50 MiB/s");
        assert_eq!(
            summary(&done(2 << 20, 1 << 20)),
            "bob/x version 2: 3.00 MiB in 2.0 s, 1.00 MiB/s, 1.00 MiB of it were here already"
        );
    }
}
