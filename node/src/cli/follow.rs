//! Waiting for a long operation of the daemon.

use std::future::Future;
use std::pin::pin;

use serde::de::DeserializeOwned;

use super::board::Board;
use super::{Console, Interrupt};
use crate::control::api::{Event, Stage};
use crate::control::{ApiResult, Following};

/// Starts an operation and shows how far it is until it ends. `None` where the user interrupted it first.
pub(super) async fn follow<T: DeserializeOwned>(
    start: impl Future<Output = ApiResult<Following<T>>>,
    label: &str,
    console: &mut Console,
) -> ApiResult<Option<T>> {
    let mut interrupt = console.interrupt();
    let mut board = Board::new(vec![label.to_owned()], None, console);
    let followed = follow_on(start, &mut interrupt, &mut board, console).await;
    board.clear(console);
    followed
}

async fn follow_on<T: DeserializeOwned>(
    start: impl Future<Output = ApiResult<Following<T>>>,
    interrupt: &mut Interrupt,
    board: &mut Board,
    console: &mut Console,
) -> ApiResult<Option<T>> {
    let mut following = tokio::select! {
        // Whoever interrupts wants no more of it, even where the next event is there already.
        biased;
        () = &mut *interrupt => return Ok(None),
        started = pin!(start) => started?,
    };
    let mut ticks = tokio::time::interval(board.every());
    // The first is at once: what ends before the second needs no line.
    ticks.tick().await;
    // What is being registered ends soon, and can no longer be taken back by going away.
    let mut registering = false;
    loop {
        tokio::select! {
            biased;
            () = &mut *interrupt, if !registering => return Ok(None),
            // It writes to standard error alone, where nobody may be reading.
            _ = ticks.tick() => drop(board.tick(console)),
            event = following.next() => match event? {
                Event::Progress(progress) => {
                    registering = progress.stage == Stage::Registering;
                    drop(board.show(0, progress, console));
                }
                Event::Result(result) => return Ok(Some(result)),
                Event::Error(error) => return Err(error),
            },
        }
    }
}
