//! What is known of one holder.

use std::time::Duration;

use super::meter::Meter;
use super::ranges::RangeSet;
use super::{HolderStats, RequestId};

/// The time from a request to its first byte, before it is measured.
const ASSUMED_LATENCY: Duration = Duration::from_millis(100);
/// A measured latency counts up to this: beyond, it is the holder's disk or load, and no pipe is deep enough.
const MAX_LATENCY: Duration = Duration::from_secs(1);

/// What a holder that refused its last request is distrusted by.
const REFUSAL_DOUBT: Duration = Duration::from_secs(1);

/// What is known of one holder.
#[derive(Debug)]
pub(super) struct Holder {
    /// What it has.
    pub(super) available: RangeSet,
    /// Whether it said that it has all.
    pub(super) claims_all: bool,
    /// How fast it is.
    pub(super) meter: Meter,
    /// Its open requests, oldest first: at most the configured depth.
    pub(super) open: Vec<RequestId>,
    /// Since when nothing came, though something was asked. While nothing is, the time does not count.
    pub(super) quiet_since: Duration,
    /// Whether it was silent for long, and has not been heard since.
    pub(super) demoted: bool,
    /// Until when it is not asked.
    pub(super) paused_until: Option<Duration>,
    /// Failed requests since its last good chunk.
    pub(super) failures: u32,
    /// Whether a request failed, or was refused as busy, since its last good chunk.
    pub(super) refused: bool,
    /// Where its last request for what was missing ended, if others download the same.
    pub(super) next: Option<u32>,
    latency: Option<Duration>,
    bytes: u64,
    idle_since: Duration,
}

impl Holder {
    /// A holder of which nothing else is known.
    pub(super) fn new(now: Duration, available: RangeSet) -> Self {
        Self {
            available,
            claims_all: false,
            meter: Meter::default(),
            open: Vec::new(),
            quiet_since: now,
            demoted: false,
            paused_until: None,
            failures: 0,
            refused: false,
            next: None,
            latency: None,
            bytes: 0,
            idle_since: now,
        }
    }

    /// A request goes out to it.
    pub(super) fn opened(&mut self, now: Duration, request: RequestId) {
        if self.open.is_empty() {
            self.quiet_since += now.saturating_sub(self.idle_since);
        }
        self.open.push(request);
    }

    /// A request of it ended.
    pub(super) fn closed(&mut self, now: Duration, request: RequestId) {
        self.open.retain(|open| *open != request);
        if self.open.is_empty() {
            self.meter.pause(now);
            self.idle_since = now;
        }
    }

    /// It answered something. Whether it was silent for long before.
    pub(super) fn heard(&mut self, now: Duration) -> bool {
        (self.quiet_since, self.idle_since) = (now, now);
        std::mem::take(&mut self.demoted)
    }

    /// Bytes came. Whether it is known better now: a new rate, or that it lives.
    pub(super) fn delivered(&mut self, now: Duration, bytes: u64) -> bool {
        self.bytes += bytes;
        let back = self.heard(now);
        self.meter.add(now, bytes) || back
    }

    /// Bytes are taken that were there before: they show that it lives, not how fast it is. Whether it is back.
    pub(super) fn had_delivered(&mut self, now: Duration, bytes: u64) -> bool {
        self.bytes += bytes;
        self.heard(now)
    }

    /// The first byte of a request came so long after it was asked, with nothing else under way.
    pub(super) fn measured_latency(&mut self, sample: Duration) {
        let sample = sample.min(MAX_LATENCY);
        self.latency = Some(self.latency.map_or(sample, |latency| (latency + sample) / 2));
    }

    /// From a request to its first byte.
    pub(super) fn latency(&self) -> Duration {
        self.latency.unwrap_or(ASSUMED_LATENCY)
    }

    /// By how many seconds to distrust what its rate promises. One that has been silent for longer than its latency
    /// explains may well be for as long again; one that refused its last request may refuse the next.
    pub(super) fn doubt(&self, now: Duration) -> f64 {
        let now = if self.open.is_empty() { self.idle_since } else { now };
        let silence = now.saturating_sub(self.quiet_since).saturating_sub(self.latency());
        let refusal = if self.refused { REFUSAL_DOUBT } else { Duration::ZERO };
        (silence + refusal).as_secs_f64()
    }

    /// Its rate in bytes per second, at least 1; `assumed` if it is not known.
    pub(super) fn speed(&self, now: Duration, assumed: f64) -> f64 {
        self.meter.rate(now).unwrap_or(assumed).max(1.0)
    }

    /// The same, but if it was slower of late, that.
    pub(super) fn cautious_speed(&self, now: Duration, assumed: f64) -> f64 {
        self.meter.cautious_rate(now).unwrap_or(assumed).max(1.0)
    }

    /// Whether it can be relied on now.
    pub(super) fn is_usable(&self) -> bool {
        !self.demoted && self.paused_until.is_none()
    }

    /// What the owner may know.
    pub(super) fn stats(&self, now: Duration) -> HolderStats {
        HolderStats {
            bytes: self.bytes,
            rate: self.meter.rate(now).map(|rate| rate as u64),
            open: self.open.len(),
            demoted: self.demoted,
            paused_until: self.paused_until,
        }
    }
}
