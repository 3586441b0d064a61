//! `get`: resources downloaded.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::HumanBytes;
use wire::ErrorCode;

use super::failure::tell;
use super::follow::follow;
use super::resource::ResourceArg;
use super::several::{self, Wanted};
use super::table::{Column, Table};
use super::{Console, Failure, documents, share};
use crate::control::api::{ConflictCopy, GetDone, GetRequest, JobRequest, JobState, LocalPath, Started};
use crate::control::{ApiError, ApiResult, Client, LocalCode};
use crate::percents::percents;
use crate::rate::Rate;

/// How long an interrupted command waits until the daemon has paused the download.
const PAUSE_PATIENCE: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  p2p-node get alice/film.mkv                     to downloads/alice/film.mkv in the home
  p2p-node get alice/film.mkv -o .                into this folder
  p2p-node get alice/film.mkv -o ~/film.mkv --force
  p2p-node get alice/photos                       again: what changed since, file by file
  p2p-node get alice/film.mkv bob/song.ogg        both at once
  p2p-node get alice/film.mkv --version 3 -o old/ an old version, as long as somebody has it
  p2p-node get alice/report.pdf --keep 3          its last 3 old versions stay, and are served
  p2p-node get alice/film.mkv --wait              also where nobody who has it is online yet
  p2p-node get alice/film.mkv --detach            it goes on without the command
  p2p-node get alice/film.mkv --limit 500KiB      slowly; of one that runs, changes its limit
  p2p-node get alice/photos --only '2026/*' --only '*.txt'
  p2p-node get alice/film.mkv --json --quiet | jq .sources
  p2p-node get alice/film.mkv --json | jq -r '[.state, .bytes_done, .rate, .eta_ms] | @tsv'

Ctrl-C pauses the download; `p2p-node pause` does so from elsewhere, and then too this command ends with exit code 7.
The same command, or `p2p-node resume`, goes on with it; `p2p-node cancel` drops it.
With --json each line is one object. Its `event` is `progress`, twice a second and where what is done changes; `done`
with the result; `failed` or `paused` with {\"owner\",\"name\",\"error\"}. With --quiet too there is no progress.";

/// Download resources, each from all who have it at once. It returns once they are verified and in their places.
///
/// While it runs, the same command elsewhere follows it too.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct GetArgs {
    /// Whose, and its name; several are downloaded at once
    #[arg(value_name = "OWNER/NAME", required = true)]
    resources: Vec<ResourceArg>,

    /// The file or folder to make, or a folder that exists, to put it in; of several resources the folder
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,

    /// Make the folders above the target that are not there
    #[arg(short, long, requires = "output")]
    parents: bool,

    /// Return as soon as the daemon has begun; the download goes on without the command, also when the daemon starts again
    #[arg(short, long)]
    detach: bool,

    /// Wait for a holder where none is online
    #[arg(short, long)]
    wait: bool,

    /// Get this version, old or not, instead of the latest; `p2p-node versions` lists them
    ///
    /// It implies --once: what is subscribed to never goes to an old version. Where a subscription has its place, choose another
    /// one with -o.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=wire::limits::VERSION))]
    version: Option<u64>,

    /// Get the latest version alone; do not subscribe to later ones
    #[arg(long)]
    once: bool,

    /// Do not serve it to others
    #[arg(long)]
    no_share: bool,

    /// At most so many bytes a second, such as 10MB, 500KiB or 2.5m, or none; kept with the download. `p2p-node limit --transfer` changes it
    #[arg(long, value_name = "RATE")]
    limit: Option<Rate>,

    /// Replace what lies at the target: another file, or what was changed in a download since; it is kept beside. Of a folder
    /// only where it is an older version of the same
    #[arg(long)]
    force: bool,

    /// Of a folder only what matches; `*` stands for any text, a folder that matches for all in it. May be repeated. Parts
    /// are not served to others
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,

    /// Keep a copy of this version of a file, and so many old ones, and serve them [default: as before; at first as the
    /// daemon is configured]
    ///
    /// 0 removes the copies. On file systems that can, a copy shares its bytes with the file and takes no space until
    /// that changes (reflink).
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(..=1000),
        conflicts_with_all = ["version", "once", "no_share", "only"])]
    keep: Option<u32>,
}

impl GetArgs {
    fn wanted(self) -> ApiResult<Vec<Wanted>> {
        let path = self.output.as_ref().map(std::path::absolute).transpose();
        let mut path = path.map_err(|error| ApiError::io("resolve the path of -o", &error))?;
        if self.resources.len() > 1 {
            // That says that it is a folder, whether it is there or not.
            path = path.map(|path| path.join(""));
        }
        if self.resources.len() > 1 && self.version.is_some() {
            return Err(ApiError::usage("--version is of one resource")
                .with_hint("get each of them by a command of its own"));
        }
        let path: Option<LocalPath> = path.map(Into::into);
        let request = |resource: &ResourceArg| GetRequest {
            owner: resource.owner.clone(),
            name: resource.name.clone(),
            path: path.clone(),
            version: self.version,
            once: self.once || self.version.is_some(),
            share: !self.no_share,
            force: self.force,
            limit: self.limit,
            wait: self.wait,
            parents: self.parents,
            only: self.only.clone(),
            keep: self.keep,
        };
        let wanted = |resource: ResourceArg| Wanted { request: request(&resource), resource };
        Ok(self.resources.iter().cloned().map(wanted).collect())
    }
}

pub(super) async fn run(args: GetArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    let detach = args.detach;
    let wanted = args.wanted()?;
    match detach {
        true => start_all(&wanted, client, console).await,
        false => several::get_all(&wanted, client, console).await,
    }
}

/// Begins downloads that go on by themselves, one after the other: each takes a moment. Where some fail, the command ends
/// as the first of them does.
async fn start_all(wanted: &[Wanted], client: &Client, console: &mut Console) -> Result<(), Failure> {
    let mut first = None;
    for one in wanted {
        let started = follow(client.start(&one.request), &one.resource.to_string(), console).await;
        let (started, interrupted) = match started.transpose() {
            Some(started) => (started, false),
            None => (Err(pause(client, &one.resource, one.request.path.clone()).await), true),
        };
        match started {
            Ok(started) => console.result(&started, started_text)?,
            Err(error) if wanted.len() == 1 => return Err(error.into()),
            Err(error) => {
                let exit = error.code.into();
                match console.json() {
                    true => drop(documents::failed(&one.resource, &error, console)?),
                    false => tell(&error.while_doing(&one.resource), console)?,
                }
                first = first.or(Some(Failure::Reported(exit)));
            }
        }
        console.flush()?;
        if interrupted {
            break;
        }
    }
    first.map_or(Ok(()), Err)
}

fn started_text(started: &Started) -> Vec<String> {
    let Started { owner, name, version, path, size, .. } = started;
    let size = HumanBytes(*size);
    vec![match started.id {
        Some(id) => format!("download {id} of {owner}/{name} version {version} runs: {size}, to {path}"),
        None => format!("{owner}/{name} version {version}: {size}, here already: {path}"),
    }]
}

/// Pauses the download, and says how it goes on.
pub(super) async fn pause(client: &Client, resource: &ResourceArg, path: Option<LocalPath>) -> ApiError {
    let request = JobRequest::Resource { owner: resource.owner.clone(), name: resource.name.clone(), path };
    let late = || ApiError::new(ErrorCode::Timeout, "no answer in time");
    let answer = tokio::time::timeout(PAUSE_PATIENCE, client.pause(&request)).await;
    match answer.unwrap_or_else(|_| Err(late())) {
        Ok(done) if done.state != JobState::Paused => {
            let text = format!("interrupted; the download of {resource} is {}", done.state.name());
            ApiError::new(ErrorCode::Cancelled, text).with_hint("`p2p-node transfers` says how it stands")
        }
        Ok(_) => ApiError::new(LocalCode::Paused, format!("the download of {resource} is paused"))
            .with_hint(format!(
                "repeat the command to go on, or `p2p-node resume {resource}`; `p2p-node cancel {resource}` drops it"
            )),
        Err(error) if error.code == ErrorCode::NotFound.into() => {
            let text = format!("interrupted; there is no download of {resource}");
            ApiError::new(ErrorCode::Cancelled, text).with_hint("repeat the command to get it")
        }
        Err(error) => error.while_doing(format_args!("pausing the download of {resource}")),
    }
}

const SOURCES: &[Column] =
    &[Column::Left("FROM"), Column::Right("BYTES"), Column::Right("SHARE"), Column::Left("NODE")];

pub(super) fn text(done: &GetDone) -> Vec<String> {
    let verified = format!("verified: {}", done.content);
    let mut lines = vec![summary(done), verified, format!("path: {}", done.path)];
    let bytes: Vec<u64> = done.sources.iter().map(|source| source.bytes).collect();
    let rows = done.sources.iter().zip(percents(&bytes)).map(|(source, share)| {
        let (user, bytes) = (source.user.to_string(), HumanBytes(source.bytes).to_string());
        vec![user, bytes, format!("{share} %"), source.node.to_string()]
    });
    lines.extend(Table::new(SOURCES).lines(rows));
    lines.extend(done.kept.as_ref().map(share::kept));
    let conflict = |one: &ConflictCopy| format!("kept beside: {} is now {}", one.path, one.kept);
    lines.extend(done.conflicts.iter().map(conflict));
    let more = done.conflicts_count.saturating_sub(done.conflicts.len() as u64);
    lines.extend((more > 0).then(|| format!("and {more} more")));
    lines.extend(done.source.remark(done.age_seconds).map(|remark| format!("found {remark}")));
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
    use crate::control::api::Source;

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
            source: Source::Index,
            age_seconds: 0,
            kept: None,
            conflicts: Vec::new(),
            conflicts_count: 0,
        };
        assert_eq!(summary(&done(0, 3 << 20)), "bob/x version 2: 3.00 MiB, here already");
        assert_eq!(summary(&done(3 << 20, 0)), "bob/x version 2: 3.00 MiB in 2.0 s, 1.50 MiB/s");
        assert_eq!(
            summary(&done(2 << 20, 1 << 20)),
            "bob/x version 2: 3.00 MiB in 2.0 s, 1.00 MiB/s, 1.00 MiB of it were here already"
        );
    }
    #[test]
    fn what_is_kept_beside_is_named() {
        let path = |path: &str| LocalPath::from(PathBuf::from(path));
        let done = GetDone {
            owner: "bob".parse().expect("a name"),
            name: "x".parse().expect("a name"),
            version: 2,
            path: path("/x"),
            size: 1,
            content: wire::ContentHash::of(b"x"),
            bytes_received: 1,
            bytes_reused: 0,
            seconds: 1.0,
            sources: Vec::new(),
            kept: None,
            conflicts: vec![ConflictCopy { path: path("/x/a"), kept: path("/x/a.sync-conflict-1-bob") }],
            conflicts_count: 3,
            source: Source::Index,
            age_seconds: 0,
        };
        let lines = text(&done);
        let beside = ["kept beside: /x/a is now /x/a.sync-conflict-1-bob", "and 2 more"];
        assert!(lines.ends_with(&beside.map(str::to_owned)), "{lines:?}");
    }
}
