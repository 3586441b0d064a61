//! A simulated holder: it serves what it is asked for at its rate, one piece after another.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use super::super::{Availability, Request, RequestId};
use super::KIB;

/// What a holder is like.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    /// Bytes per second.
    pub(super) rate: f64,
    /// There and back.
    pub(super) round_trip: Duration,
    pub(super) availability: Availability,
    /// When it learns of more, and what it has then.
    pub(super) grows: Vec<(Duration, Vec<Range<u32>>)>,
    pub(super) joins: Duration,
    pub(super) dies: Option<(Duration, Death)>,
    /// When it sends nothing.
    pub(super) stalls: Vec<Range<Duration>>,
    /// From when on it has another rate.
    pub(super) turns: Option<(Duration, f64)>,
    /// The part of the chunks that are wrong.
    pub(super) lies: f64,
    /// The part of the requests that are answered with busy.
    pub(super) busy: f64,
    /// The part of the requests that are reset somewhere.
    pub(super) resets: f64,
    /// Whether it serves its requests side by side, not one after another.
    pub(super) interleaves: bool,
}

/// How a holder ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    /// The connection closes.
    Closed,
    /// Nothing is heard any more.
    Silent,
}

impl Spec {
    /// A complete, honest holder.
    pub(super) fn new(rate: f64, round_trip: Duration) -> Self {
        Self {
            rate,
            round_trip,
            availability: Availability::All,
            grows: Vec::new(),
            joins: Duration::ZERO,
            dies: None,
            stalls: Vec::new(),
            turns: None,
            lies: 0.0,
            busy: 0.0,
            resets: 0.0,
            interleaves: false,
        }
    }

    fn rate_at(&self, now: Duration) -> f64 {
        self.turns.filter(|(from, _)| *from <= now).map_or(self.rate, |(_, rate)| rate)
    }
}

/// A request as the holder sees it.
#[derive(Debug)]
struct Served {
    id: RequestId,
    /// When it comes to the holder.
    from: Duration,
    /// Until when it is served.
    until: Option<Duration>,
    chunks: VecDeque<u32>,
    /// Bytes of the first chunk that are sent.
    sent: u64,
}

/// What is sent in one go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) request: RequestId,
    pub(super) chunk: u32,
    pub(super) bytes: u64,
    /// Whether the chunk ends with it.
    pub(super) ends_chunk: bool,
    /// Whether the request ends with it.
    pub(super) ends_request: bool,
}

/// The state of a holder.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) spec: Spec,
    /// Whether the scheduler counts it in.
    pub(super) joined: bool,
    /// Whether the scheduler must not ask it any more.
    pub(super) excluded: bool,
    /// Good bytes that were first of their chunk.
    pub(super) installed_bytes: u64,
    queue: VecDeque<Served>,
    free_at: Duration,
}

impl Holder {
    pub(super) fn new(spec: Spec) -> Self {
        Self {
            spec,
            joined: false,
            excluded: false,
            installed_bytes: 0,
            queue: VecDeque::new(),
            free_at: Duration::ZERO,
        }
    }

    /// A request is sent to it. When it gets there.
    pub(super) fn asked(&mut self, now: Duration, request: &Request) -> Duration {
        let from = now + self.spec.round_trip / 2;
        let chunks = request.runs.iter().flat_map(Clone::clone).collect();
        self.queue.push_back(Served { id: request.id, from, until: None, chunks, sent: 0 });
        from
    }

    /// It serves this request until then.
    pub(super) fn ended(&mut self, until: Duration, request: RequestId) {
        self.queue.iter_mut().filter(|served| served.id == request).for_each(|s| s.until = Some(until));
    }

    /// Whether it has all of these.
    pub(super) fn has(&self, run: &Range<u32>) -> bool {
        match &self.spec.availability {
            Availability::All => true,
            Availability::Ranges(ranges) => {
                let has = |chunk| ranges.iter().any(|range| range.contains(&chunk));
                ranges.iter().any(|range| range.start <= run.start && run.end <= range.end)
                    || run.clone().all(has)
            }
        }
    }

    /// The connection is over.
    pub(super) fn forget_all(&mut self) {
        self.queue.clear();
    }

    /// Its turn to send: what it sends, and when that is sent; or when to try again.
    pub(super) fn send(
        &mut self,
        now: Duration,
        length: impl Fn(u32) -> u64,
    ) -> Result<(Piece, Duration), Option<Duration>> {
        let dead = self.spec.dies.is_some_and(|(at, _)| at <= now);
        if dead || now < self.free_at {
            return Err(None);
        }
        if let Some(stall) = self.spec.stalls.iter().find(|stall| stall.contains(&now)) {
            return Err(Some(stall.end));
        }
        self.queue.retain(|served| served.until.is_none_or(|until| now < until));
        let place = self.queue.iter().position(|served| served.from <= now).ok_or(None)?;
        let mut served = self.queue.remove(place).expect("position found it");
        let chunk = *served.chunks.front().expect("a request is taken out when it is served");
        let rate = self.spec.rate_at(now);
        let most = ((rate / 200.0) as u64).clamp(2 * KIB, 256 * KIB);
        let bytes = (length(chunk) - served.sent).min(most);
        served.sent += bytes;
        let ends_chunk = served.sent == length(chunk);
        if ends_chunk {
            served.chunks.pop_front();
            served.sent = 0;
        }
        let ends_request = served.chunks.is_empty();
        let piece = Piece { request: served.id, chunk, bytes, ends_chunk, ends_request };
        if !ends_request {
            let place = if self.spec.interleaves { self.queue.len() } else { place };
            self.queue.insert(place, served);
        }
        self.free_at = now + Duration::from_secs_f64(bytes as f64 / rate);
        Ok((piece, self.free_at))
    }
}
