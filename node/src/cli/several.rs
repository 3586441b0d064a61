//! Several downloads at once: all are followed, one that fails stops no other.

use std::cell::Cell;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::sync::mpsc;
use wire::ErrorCode;

use super::board::Board;
use super::failure::tell;
use super::get::{pause, text};
use super::resource::ResourceArg;
use super::{Console, Exit, Failure};
use crate::control::api::{Event, GetDone, GetRequest, Progress};
use crate::control::{ApiError, ApiResult, Client};

/// Downloads that are followed at once: half of what the daemon lets all commands follow. The others begin as these end.
const AT_ONCE: usize = 32;
/// Progress that waits to be shown; more is skipped, as newer follows.
const NEWS: usize = 64;
/// How often progress is written where it is no terminal that sees it.
const LINES_EVERY: Duration = Duration::from_secs(5);

/// One of several.
pub(super) struct Wanted {
    pub(super) resource: ResourceArg,
    pub(super) request: GetRequest,
}

/// Downloads all of these; each result is printed as it comes. Where some fail, the command ends as the first of them
/// in the order of time does.
pub(super) async fn get_all(
    wanted: &[Wanted],
    client: &Client,
    console: &mut Console,
) -> Result<(), Failure> {
    let mut interrupt = console.interrupt();
    let mut board = Board::new(wanted.iter().map(|one| one.resource.to_string()).collect(), console);
    let stands: Vec<_> = wanted.iter().map(|_| Cell::new(Stands::Waits)).collect();
    let (news, mut progress) = mpsc::channel(NEWS);
    let follow_one = |(which, one): (usize, &Wanted)| {
        stands[which].set(Stands::Runs);
        let (request, news) = (one.request.clone(), news.clone());
        async move { (which, follow(client, &request, which, &news).await) }
    };
    let mut ends =
        Box::pin(stream::iter(wanted.iter().enumerate()).map(follow_one).buffer_unordered(AT_ONCE));
    let mut ticks = tokio::time::interval(LINES_EVERY);
    ticks.tick().await;
    let mut exit = None;
    let interrupted = loop {
        tokio::select! {
            biased;
            () = &mut interrupt => break true,
            _ = ticks.tick() => board.tick(console),
            Some((which, progress)) = progress.recv() => board.show(which, progress),
            end = ends.next() => {
                let Some((which, end)) = end else { break false };
                stands[which].set(Stands::Ended);
                board.end(which, end.as_ref().ok().map(|done| done.size));
                let failed = board.beside(|| print(&wanted[which], end, console))?;
                exit = exit.or(failed);
            }
        }
    };
    drop(board);
    drop(ends);
    if interrupted {
        let failed = pause_all(wanted, &stands, client, console).await?;
        exit = exit.or(failed);
    }
    exit.map_or(Ok(()), |exit| Err(Failure::Reported(exit)))
}

/// How far the command is with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    Waits,
    Runs,
    Ended,
}

async fn follow(
    client: &Client,
    request: &GetRequest,
    which: usize,
    news: &mpsc::Sender<(usize, Progress)>,
) -> ApiResult<GetDone> {
    let mut following = client.get(request).await?;
    loop {
        match following.next().await? {
            Event::Progress(progress) => drop(news.try_send((which, progress))),
            Event::Result(done) => return Ok(done),
            Event::Error(error) => return Err(error),
        }
    }
}

/// Pauses those that run, and says so of each; those that wait for their turn are not begun.
async fn pause_all(
    wanted: &[Wanted],
    stands: &[Cell<Stands>],
    client: &Client,
    console: &mut Console,
) -> Result<Option<Exit>, Failure> {
    let mut exit = None;
    for (one, stands) in wanted.iter().zip(stands) {
        let error = match stands.get() {
            Stands::Ended => continue,
            Stands::Runs => pause(client, &one.resource, one.request.path.clone()).await,
            Stands::Waits => ApiError::new(ErrorCode::Cancelled, "interrupted before the download began"),
        };
        let failed = print(one, Err(error), console)?;
        exit = exit.or(failed);
    }
    Ok(exit)
}

/// Prints how one ended: a document or lines, an error with whose it is. How the command ends by it, if not well.
pub(super) fn print_end<T: Serialize>(
    resource: &ResourceArg,
    end: ApiResult<T>,
    lines: impl FnOnce(&T) -> Vec<String>,
    console: &mut Console,
) -> Result<Option<Exit>, Failure> {
    #[derive(Serialize)]
    struct Document<'a> {
        owner: &'a certs::UserName,
        name: &'a wire::ResourceName,
        error: &'a ApiError,
    }
    let error = match end {
        Ok(done) => {
            console.result(&done, lines)?;
            console.flush()?;
            return Ok(None);
        }
        Err(error) => error,
    };
    if console.json() {
        console.document(&Document { owner: &resource.owner, name: &resource.name, error: &error })?;
        console.flush()?;
    } else {
        tell(&error.clone().while_doing(resource), console)?;
    }
    Ok(Some(error.code.into()))
}

fn print(one: &Wanted, end: ApiResult<GetDone>, console: &mut Console) -> Result<Option<Exit>, Failure> {
    print_end(&one.resource, end, text, console)
}
