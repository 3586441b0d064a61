//! `demo`: everything on this machine alone.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::args::Global;
use super::{Console, Failure, logging};
use crate::control::ApiError;
use crate::demo::DemoOptions;

const EXAMPLES: &str = "\
Examples:
  p2p-node demo
  p2p-node demo ~/film.mkv";

/// Show what the system does: an index and three peers on this machine, in a temporary folder.
///
/// Signs users up, shares a file, finds it, downloads it from one holder and from two at once, verifies it, cleans up.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DemoArgs {
    /// The file to share [default: one of 256 MiB, made for it]
    path: Option<PathBuf>,
}

pub(super) async fn run(args: DemoArgs, global: &Global, console: &mut Console) -> Result<(), Failure> {
    logging::start_command(global, console)?;
    let path = args.path.map(std::path::absolute).transpose();
    let path = path.map_err(|error| ApiError::io("resolve the path", &error))?;
    let options = DemoOptions { path, json: console.json() };
    let interrupt = console.interrupt();
    let mut out = Watched { out: console.out(), closed: false };
    let ended = crate::demo::run(options, interrupt, &mut out).await;
    if out.closed {
        return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
    }
    Ok(ended?)
}

/// A stream whose reader may leave: that ends the demonstration, and is no failure of it.
struct Watched<'a> {
    out: &'a mut dyn Write,
    closed: bool,
}

impl Watched<'_> {
    fn noticing<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.closed |= result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        result
    }
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.noticing(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.noticing(flushed)
    }
}
