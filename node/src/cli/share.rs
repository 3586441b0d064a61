//! `share`: a file for the network.

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::HumanBytes;
use wire::{ErrorCode, ResourceName};

use super::follow::follow;
use super::resource::parse_name;
use super::{Console, Failure};
use crate::control::api::{Kept, Links, ShareDone, ShareRequest};
use crate::control::{ApiError, ApiResult, Client};

const EXAMPLES: &str = "\
Examples:
  p2p-node share ~/film.mkv
  p2p-node share report-final-2.pdf --name report.pdf
  p2p-node share ~/new/report.pdf --update        the name was bound to another path
  p2p-node share report.pdf --onto 4              another machine of mine published version 4, and I know it

  p2p-node share ~/photos --links skip            a folder, with all that is in it
  p2p-node share ~/project --gitignore            without what a build makes
  p2p-node share ~/project --watch                each version by itself, as it changes
  p2p-node share report.pdf --keep 3              its last 3 old versions can still be had

Sharing a file or folder again after it changed publishes its new version; --links, --gitignore, --watch and --keep are as before,
unless they are given. What a `.p2pignore` in a folder names, in the
syntax of `.gitignore`, is left out of it.";

/// Share a file or a folder. It returns once it is registered.
///
/// It is served where it lies; nothing is copied, but with --keep. Ctrl-C cancels it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ShareArgs {
    /// The file or folder
    path: PathBuf,

    /// Under this name [default: the file's own]
    #[arg(long, value_parser = parse_name)]
    name: Option<ResourceName>,

    /// What becomes of symbolic links in a folder [default: as for the version before; at first: keep]
    #[arg(long, value_enum, value_name = "WHAT")]
    links: Option<Links>,

    /// Leave out of a folder what `.gitignore` files in it name, too
    ///
    /// It holds for the next versions as well. What git itself is configured with is not read.
    #[arg(long, overrides_with = "no_gitignore")]
    gitignore: bool,

    /// Share again what `.gitignore` files name
    #[arg(long, overrides_with = "gitignore")]
    no_gitignore: bool,

    /// Publish its next version by itself whenever it changes
    ///
    /// It holds until --no-watch or `unshare`, also over restarts of the daemon. `watch = true` in config.toml makes it the
    /// default for what is shared for the first time.
    #[arg(long, overrides_with = "no_watch")]
    watch: bool,

    /// Publish it only when it is shared again, from now on
    #[arg(long, overrides_with = "watch")]
    no_watch: bool,
    /// Keep a copy of this version of a file, and so many old ones, for those who want them [default: as for the version
    /// before; at first: none]
    ///
    /// `keep = NUMBER` in config.toml is the default for what is shared or got for the first time. 0 removes the copies. On file systems that can, a copy shares its bytes with the file and takes no space until
    /// that changes (reflink).
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(..=1000))]
    keep: Option<u32>,

    /// Publish it also where the name is bound to another path
    #[arg(long)]
    update: bool,

    /// Publish it on top of this version, which another machine of yours has published meanwhile
    ///
    /// It is refused where another version is the latest by now. Without --onto the file of a machine that comes too late is not
    /// published; it stays as it is.
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u64).range(1..=wire::limits::VERSION))]
    onto: Option<u64>,
}

impl ShareArgs {
    fn request(self) -> ApiResult<ShareRequest> {
        let resolving = |error| ApiError::io(format_args!("resolve {}", self.path.display()), &error);
        let path = std::path::absolute(&self.path).map_err(resolving)?;
        let name = match self.name {
            Some(name) => name,
            None => name_of(&path)?,
        };
        let Self { update, onto, links, keep, .. } = self;
        let gitignore = (self.gitignore || self.no_gitignore).then_some(self.gitignore);
        let watch = (self.watch || self.no_watch).then_some(self.watch);
        Ok(ShareRequest { path: path.into(), name, update, onto, links, gitignore, watch, keep })
    }
}

/// The name that a file has without `--name`: its own.
fn name_of(path: &Path) -> ApiResult<ResourceName> {
    let refused = |why: String| {
        let text = format!("{} cannot be shared under its own name: {why}", path.display());
        ApiError::usage(text).with_hint("choose a name with --name")
    };
    let name = path.file_name().ok_or_else(|| refused("it has none".to_owned()))?;
    let name = name.to_str().ok_or_else(|| refused("that is not UTF-8".to_owned()))?;
    parse_name(name).map_err(|error| refused(error.to_string()))
}

pub(super) async fn run(args: ShareArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    let request = args.request()?;
    // Interrupted, this drops the connection, and the daemon cancels the import.
    match follow(client.share(&request), request.name.as_str(), console).await? {
        Some(done) => Ok(console.result(&done, text)?),
        None => Err(cancelled(&request).into()),
    }
}

fn cancelled(request: &ShareRequest) -> ApiError {
    let text = format!("sharing {} was cancelled", request.name);
    ApiError::new(ErrorCode::Cancelled, text).with_hint("repeat the command to share it")
}

/// What people are told of a change that the index does not know yet.
pub(super) const PENDING: &str =
    "the index is away: the other members hear of it from this node, and the index once it is back";

fn text(done: &ShareDone) -> Vec<String> {
    let ShareDone { owner, name, version, outcome, .. } = done;
    let size = HumanBytes(done.size);
    let mut lines =
        vec![format!("{owner}/{name} version {version} {}: {size}, {}", outcome.name(), done.content)];
    lines.extend(done.pending.then(|| PENDING.to_owned()));
    lines.extend(done.kept.as_ref().map(kept));
    lines.extend(done.notes.iter().map(|note| format!("note: {}: {}", note.path, note.text)));
    let more = done.notes_count.saturating_sub(done.notes.len() as u64);
    lines.extend((more > 0).then(|| format!("and {more} more notes")));
    lines
}

/// What the copies of its versions cost.
pub(super) fn kept(kept: &Kept) -> String {
    let Kept { versions, bytes, copied } = *kept;
    let cost = match copied {
        0 => "reflinked: no space until they differ".to_owned(),
        copied if copied == bytes => "copied".to_owned(),
        copied => format!("{} of it copied, the rest reflinked", HumanBytes(copied)),
    };
    let plural = if versions == 1 { "" } else { "s" };
    format!("keeps {versions} version{plural}: {}, {cost}", HumanBytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::control::LocalCode;

    #[test]
    fn what_is_kept_has_its_price() {
        let said = |versions, bytes, copied| kept(&Kept { versions, bytes, copied });
        assert_eq!(said(3, 3 << 30, 0), "keeps 3 versions: 3.00 GiB, reflinked: no space until they differ");
        assert_eq!(said(1, 1 << 20, 1 << 20), "keeps 1 version: 1.00 MiB, copied");
        assert_eq!(
            said(2, 2 << 20, 1 << 20),
            "keeps 2 versions: 2.00 MiB, 1.00 MiB of it copied, the rest reflinked"
        );
    }

    #[test]
    fn a_file_has_its_own_name() {
        assert_eq!(name_of(Path::new("/a/u\u{308}bung.txt")).expect("good").as_str(), "übung.txt");
    }

    #[test]
    fn what_has_no_good_name_needs_one() {
        let latin1 = Path::new(std::ffi::OsStr::from_bytes(b"/a/\xe4"));
        for path in [Path::new("/"), Path::new("/a/.."), Path::new("/a/b:c"), Path::new("/a/con"), latin1] {
            let error = name_of(path).expect_err("refused");
            assert_eq!(error.code, LocalCode::Usage.into());
            assert!(error.hint.is_some_and(|hint| hint.contains("--name")));
        }
    }
}
