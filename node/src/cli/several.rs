//! Downloads, one or several at once: all are followed, one that fails stops no other.

use std::cell::Cell;

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use wire::ErrorCode;

use super::board::Board;
use super::documents;
use super::failure::tell;
use super::get::{pause, text};
use super::resource::ResourceArg;
use super::{Console, Failure};
use crate::control::api::{Event, GetDone, GetRequest, Progress};
use crate::control::{ApiError, ApiResult, Client};

/// Downloads that are followed at once: half of what the daemon lets all commands follow. The others begin as these end.
const AT_ONCE: usize = 32;
/// Progress that waits to be shown; more is skipped, as newer follows.
const NEWS: usize = 64;

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
    let labels = wanted.iter().map(|one| one.resource.to_string()).collect();
    let mut board = Board::new(labels, Some(documents::going), console);
    let stands: Vec<_> = wanted.iter().map(|_| Cell::new(Stands::Waits)).collect();
    let (news, mut progress) = mpsc::channel(NEWS);
    let follow_one = |(which, one): (usize, &Wanted)| {
        stands[which].set(Stands::Runs);
        let (request, news) = (one.request.clone(), news.clone());
        async move { (which, follow(client, &request, which, &news).await) }
    };
    let mut ends =
        Box::pin(stream::iter(wanted.iter().enumerate()).map(follow_one).buffer_unordered(AT_ONCE));
    let mut ticks = tokio::time::interval(board.every());
    // The first is at once: what ends before the second needs no progress.
    ticks.tick().await;
    let mut first = None;
    let interrupted = loop {
        tokio::select! {
            biased;
            () = &mut interrupt => break true,
            _ = ticks.tick() => board.tick(console)?,
            Some((which, progress)) = progress.recv() => board.show(which, progress, console)?,
            end = ends.next() => {
                let Some((which, end)) = end else { break false };
                stands[which].set(Stands::Ended);
                board.end(which, end.as_ref().ok().map(|done| done.size));
                let failed = board.beside(console, |console| print(wanted, which, end, console))?;
                first = first.or(failed);
            }
        }
    };
    board.clear(console);
    drop(ends);
    if interrupted {
        let failed = pause_all(wanted, &stands, client, console).await?;
        first = first.or(failed);
    }
    first.map_or(Ok(()), Err)
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
) -> Result<Option<Failure>, Failure> {
    let mut first = None;
    for (which, (one, stands)) in wanted.iter().zip(stands).enumerate() {
        let error = match stands.get() {
            Stands::Ended => continue,
            Stands::Runs => pause(client, &one.resource, one.request.path.clone()).await,
            Stands::Waits => ApiError::new(ErrorCode::Cancelled, "interrupted before the download began"),
        };
        let failed = print(wanted, which, Err(error), console)?;
        first = first.or(failed);
    }
    Ok(first)
}

/// Prints how one ended: a document or lines, an error with whose it is where there are several. How the command ends by
/// it, if not well; of one alone its error is not told yet.
fn print(
    wanted: &[Wanted],
    which: usize,
    end: ApiResult<GetDone>,
    console: &mut Console,
) -> Result<Option<Failure>, Failure> {
    let resource = &wanted[which].resource;
    match end {
        Ok(done) if console.json() => documents::done(&done, console)?,
        Ok(done) => {
            console.result(&done, text)?;
            console.flush()?;
        }
        Err(error) if console.json() => {
            let exit = documents::failed(resource, &error, console)?;
            return Ok(Some(Failure::Reported(exit)));
        }
        Err(error) if wanted.len() == 1 => return Ok(Some(error.into())),
        Err(error) => {
            let exit = error.code.into();
            tell(&error.while_doing(resource), console)?;
            return Ok(Some(Failure::Reported(exit)));
        }
    }
    Ok(None)
}
