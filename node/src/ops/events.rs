//! `events`: the log of activity, read and followed.

use std::sync::Arc;

use certs::UnixMillis;
use tokio::sync::mpsc;

use crate::control::api::{EventsRequest, Line, LoggedEvent};
use crate::control::{ApiError, ApiResult, EVENTS_QUEUED, Lines};
use crate::peer::Shared;

impl Shared {
    /// Begins to read the log.
    pub(crate) fn events(self: &Arc<Self>, request: EventsRequest) -> Lines<LoggedEvent> {
        let (lines, receiver) = mpsc::channel(EVENTS_QUEUED);
        let shared = self.clone();
        self.tasks.spawn(async move {
            // Where the node stops, dropping the sender says so.
            tokio::select! {
                () = shared.send_events(&request, &lines) => {}
                () = lines.closed() => {}
                () = shared.tasks.stopping() => {}
            }
        });
        receiver
    }

    async fn send_events(&self, request: &EventsRequest, lines: &mpsc::Sender<Line<LoggedEvent>>) {
        let end = self.send_all(request, lines).await.map_or_else(Line::Error, |()| Line::End);
        // Where nobody reads any more, nobody needs to hear that it ended.
        let _ = lines.send(end).await;
    }

    /// Sends what there is, and with `follow` what comes, as long as somebody reads.
    async fn send_all(
        &self,
        request: &EventsRequest,
        lines: &mpsc::Sender<Line<LoggedEvent>>,
    ) -> ApiResult<()> {
        // Before the first read: what is logged after it is told.
        let mut logged = self.store.events_logged();
        let (count, since) = (request.limit.unwrap_or(u64::MAX >> 1), request.since.map(UnixMillis::from));
        let mut after = self.store.events_begin(count, since).await.map_err(ApiError::internal)?;
        loop {
            logged.mark_unchanged();
            loop {
                let page = self.store.events(after, u32::MAX).await.map_err(ApiError::internal)?;
                let Some(last) = page.last() else { break };
                after = last.id;
                for event in page {
                    if lines.send(Line::Item(event)).await.is_err() {
                        return Ok(());
                    }
                }
            }
            if !request.follow || logged.changed().await.is_err() {
                return Ok(());
            }
        }
    }
}
