//! A long operation, and what it says.

use p2p_node::control::api::{Event, Progress};
use p2p_node::control::{ApiResult, Events};

use crate::wait::in_time;

/// A share or a get under way. Dropping it is what going away is to the daemon.
#[derive(Debug)]
pub struct Running<T> {
    what: String,
    events: Events<T>,
}

impl<T: std::fmt::Debug> Running<T> {
    /// Follows these events.
    pub fn new(what: impl Into<String>, events: Events<T>) -> Self {
        Self { what: what.into(), events }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What the operation says.
    pub async fn end(mut self) -> ApiResult<T> {
        let what = self.what.clone();
        in_time(&what, async {
            loop {
                match self.events.recv().await {
                    Some(Event::Progress(_)) => {}
                    Some(Event::Result(result)) => return Ok(result),
                    Some(Event::Error(error)) => return Err(error),
                    None => panic!("{what}: no end was told"),
                }
            }
        })
        .await
    }

    /// Waits until its progress is as wanted.
    ///
    /// # Panics
    /// Where it ends before.
    pub async fn until(&mut self, wanted: impl Fn(&Progress) -> bool) -> Progress {
        let what = self.what.clone();
        let reached = self.until_or_end(wanted).await;
        reached.unwrap_or_else(|end| panic!("{what} ended too early: {end:?}"))
    }

    /// Waits until its progress is as wanted, or it has ended before; then how it ended.
    ///
    /// # Errors
    /// How it ended.
    pub async fn until_or_end(
        &mut self,
        wanted: impl Fn(&Progress) -> bool,
    ) -> Result<Progress, ApiResult<T>> {
        let what = self.what.clone();
        in_time(&what, async {
            loop {
                match self.events.recv().await {
                    Some(Event::Progress(progress)) if wanted(&progress) => return Ok(progress),
                    Some(Event::Progress(_)) => {}
                    Some(Event::Result(result)) => return Err(Ok(result)),
                    Some(Event::Error(error)) => return Err(Err(error)),
                    None => panic!("{what}: no end was told"),
                }
            }
        })
        .await
    }

    /// Waits until so many bytes are done.
    pub async fn until_bytes(&mut self, bytes: u64) -> Progress {
        self.until(|progress| progress.bytes_done >= bytes).await
    }
}
