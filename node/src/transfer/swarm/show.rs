//! How far a transfer is, and who gives what, for those who watch it.

use std::sync::Arc;
use std::time::Duration;

use super::{Member, Swarm};
use crate::control::api::{Stage, TransferPeer};
use crate::percents::percents;
use crate::store::JobSource;
use crate::transfer::files::Files;
use crate::transfer::peers::peer;
use crate::transfer::schedule::HolderId;
use crate::transfer::speed::eta_ms;

/// Who is without anything under way for so long is told that it waits; shorter pauses lie between two requests.
const SHOW_WAITING: Duration = Duration::from_millis(500);

impl Swarm<'_> {
    /// Shows progress.
    pub(super) fn show(&mut self) {
        let now = self.now();
        let progress = self.scheduler.progress();
        let holders: Vec<_> = self.scheduler.holders(now).collect();
        let busy = holders.iter().filter(|(_, stats)| stats.open > 0).count();
        let peers = shared(holders.iter().filter_map(|(id, stats)| self.peer(*id, stats.rate)).collect());
        let idle = (progress.in_flight_bytes == 0 || self.refused) && !self.scheduler.is_complete();
        self.idle_since = idle.then(|| self.idle_since.unwrap_or(now));
        let waits = self.waits();
        match waits {
            true => self.speed.forget(),
            false => self.speed.measure(now, self.bytes_received),
        }
        let total = self.parts.chunks.size().saturating_sub(self.unwanted_bytes);
        let done = progress.done_bytes.saturating_sub(self.unwanted_bytes);
        let (received, reused) = (self.bytes_received, self.reused());
        let stage = match waits {
            true => Stage::Waiting,
            false if self.copies() && busy == 0 => Stage::Reusing,
            false => Stage::Downloading,
        };
        let (rate, files) = (self.speed.rate(), self.files.as_ref().map(Files::progress));
        self.parts.control.update(|view| {
            view.stage = stage;
            (view.bytes_done, view.bytes_total) = (done, Some(total));
            (view.bytes_received, view.bytes_reused) = (received, reused);
            (view.rate, view.eta_ms) = (rate, eta_ms(total.saturating_sub(done), rate));
            view.holders = u32::try_from(busy).unwrap_or(u32::MAX);
            (view.peers, view.files) = (peers, files);
            view.note = waits.then(|| self.why_it_waits());
        });
    }

    /// Nobody gives anything any more.
    pub(super) fn show_nobody(&self) {
        self.parts.control.update(|view| {
            (view.rate, view.eta_ms, view.holders, view.peers) = (0, None, 0, Default::default());
        });
    }

    fn peer(&self, id: HolderId, rate: Option<u64>) -> Option<TransferPeer> {
        let Member { source, user, bytes, .. } = self.members.get(&id)?;
        let peer = peer(source.node, Some(&*source.session));
        Some(TransferPeer { user: Some(user.clone()), bytes: *bytes, rate: rate.unwrap_or(0), ..peer })
    }

    /// The file that changed comes first: that nobody else holds it is what follows from it.
    fn why_it_waits(&self) -> String {
        let note = self.note.clone().unwrap_or_else(|| "no holder is there".to_owned());
        match &self.changed {
            Some(user) => format!("the file at a node of {user} has changed since it was shared; {note}"),
            None => note,
        }
    }

    /// Whether nothing is under way, and that for more than a moment.
    pub(super) fn waits(&self) -> bool {
        self.idle_since.is_some_and(|since| self.now().saturating_sub(since) >= SHOW_WAITING)
    }

    /// Who gave what, over all runs of the job.
    pub(super) fn sources(&self) -> Vec<JobSource> {
        let mut sources = self.parts.job.sources.clone();
        for member in self.members.values().filter(|member| member.bytes > 0) {
            let (node, user, bytes) = (member.source.node, member.user.clone(), member.bytes);
            match sources.iter_mut().find(|source| source.node == node) {
                Some(known) => known.bytes += bytes,
                None => sources.push(JobSource { node, user, bytes }),
            }
        }
        sources
    }
}

/// With each one's part of what all gave, where anybody gave anything.
fn shared(mut peers: Vec<TransferPeer>) -> Arc<[TransferPeer]> {
    let bytes: Vec<u64> = peers.iter().map(|peer| peer.bytes).collect();
    if bytes.iter().any(|&bytes| bytes > 0) {
        peers.iter_mut().zip(percents(&bytes)).for_each(|(peer, share)| peer.share = Some(share));
    }
    peers.into()
}
