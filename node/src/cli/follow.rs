//! Waiting for a long operation of the daemon.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Console;
use super::progress::View;
use crate::control::api::{Event, Stage};
use crate::control::{ApiResult, Following};

/// How often progress is written where it is no terminal that sees it.
const LINES_EVERY: Duration = Duration::from_secs(5);

/// Starts an operation and shows how far it is until it ends. `None` where the user interrupted it first.
pub(super) async fn follow<T: DeserializeOwned>(
    start: impl Future<Output = ApiResult<Following<T>>>,
    label: &str,
    console: &mut Console,
) -> ApiResult<Option<T>> {
    let mut interrupt = console.interrupt();
    let mut view = View::new(label, console);
    let mut following = tokio::select! {
        // Whoever interrupts wants no more of it, even where the next event is there already.
        biased;
        () = &mut interrupt => return Ok(None),
        started = pin!(start) => started?,
    };
    let mut ticks = tokio::time::interval(LINES_EVERY);
    // The first is at once: what ends before the second needs no line.
    ticks.tick().await;
    // What is being registered ends soon, and can no longer be taken back by going away.
    let mut registering = false;
    loop {
        tokio::select! {
            biased;
            () = &mut interrupt, if !registering => return Ok(None),
            _ = ticks.tick() => view.tick(),
            event = following.next() => match event? {
                Event::Progress(progress) => {
                    registering = progress.stage == Stage::Registering;
                    view.show(progress);
                }
                Event::Result(result) => return Ok(Some(result)),
                Event::Error(error) => return Err(error),
            },
        }
    }
}
