//! A congestion controller for paths that lose packets for other reasons than congestion too.
//!
//! CUBIC (RFC 9438) takes every loss for a full queue, and keeps 2 % of a path of 500 Mbit/s and 50 ms on which one packet
//! in a thousand is lost. Who drops packets because a queue is full shows it before: its delay has grown. So a loss
//! reduces the window only if one of these holds:
//!
//! - the least round-trip time of the last moments is above that of the path by more than [`Adaptive::queue_bound`];
//! - more than [`TOLERATED`] of the packets of the last two rounds are lost, as where queues are too short to be seen;
//! - it is persistent congestion (RFC 9002, section 7.6), or the path marks packets (ECN).
//!
//! A reduction is that of CUBIC, but not below what the path delivers in its round-trip time without a queue, which is
//! enough to keep it busy (TCP Westwood+, Mascolo et al. 2001). With a queue as long as the path, as where others compete,
//! CUBIC's reduction is the larger one, so that it shares as CUBIC does.
//!
//! Slow start ends with the first round after which a queue is seen and the delivery rate has not grown (as in BBR's
//! startup). A grown delay alone, as HyStart++ (RFC 9406) has it, would end it at once on a path
//! that others keep full, where the share that was gained by then is kept for long.

use std::time::{Duration, Instant};

use super::cubic::{BETA, Cubic};

/// The part of all packets that may be lost without a reduction: what BBRv2 tolerates
/// (draft-cardwell-iccrg-bbr-congestion-control-02, section 3.2).
const TOLERATED: f64 = 0.02;
/// Lost packets that are never too many: with few packets their part says little.
const NEVER_MANY: f64 = 8.0;
/// How long the least round-trip time is remembered: a route may change.
const PATH_RTT_FOR: Duration = Duration::from_secs(30);
/// Acknowledgements after which their least round-trip time says something (RFC 9406, section 4.3).
const SAMPLES: u32 = 8;
/// Moments in a round-trip time.
const MOMENTS: u32 = 8;
/// A rate that grows by less in a round has reached its end.
const GROWTH: f64 = 1.25;
/// What a reduction leaves of the path's capacity without a queue: a little less than all of it empties the queue, so that
/// all who share it see the path's round-trip time. With all of it, whoever came last, and knows no shorter one than that
/// with a queue, keeps three quarters for long.
const DRAINED: f64 = 0.95;
/// Rounds of which the best delivery rate counts.
const RATES: usize = 4;
/// Segments that a new connection may send: three times what RFC 9002 (section 7.2) recommends, as widely used QUIC stacks
/// do. They are paced, and save more than a round trip of the start.
const INITIAL_SEGMENTS: f64 = 32.0;

/// The controller's state, on no clock of its own. Windows are in bytes.
#[derive(Debug, Clone)]
pub(super) struct Adaptive {
    segment: f64,
    window: f64,
    slow_start: bool,
    cubic: Cubic,
    path_rtt: PathRtt,
    recent: Recent,
    round: Round,
    last_round: Round,
    /// Delivery rates of the last rounds, in bytes per second.
    rates: [f64; RATES],
    rounds: usize,
    last_sent: u64,
    /// Losses of packets that were sent before belong to the last reduction.
    reduced_at: Option<Instant>,
    /// The least round-trip time of the acknowledgements that arrived together.
    sample: Option<Duration>,
}

/// From the sending of a packet to its acknowledgement.
#[derive(Debug, Clone, Default)]
struct Round {
    began: Option<Instant>,
    /// It ends when this packet is acknowledged.
    end: u64,
    acked: f64,
    lost: f64,
    app_limited: bool,
}

/// The least round-trip time of the last moment: of an eighth of a round-trip time, or of so many acknowledgements.
#[derive(Debug, Clone, Default)]
struct Recent {
    began: Option<Instant>,
    samples: u32,
    least: Duration,
    last_moment: Option<Duration>,
}

impl Recent {
    fn add(&mut self, sample: Duration, now: Instant, path_rtt: Duration) {
        let began = *self.began.get_or_insert(now);
        self.least = if self.samples == 0 { sample } else { self.least.min(sample) };
        self.samples += 1;
        if self.samples >= SAMPLES && now.saturating_duration_since(began) >= path_rtt / MOMENTS {
            *self = Self { last_moment: Some(self.least), ..Self::default() };
        }
    }
}

/// The least round-trip time that was seen lately.
#[derive(Debug, Clone, Default)]
struct PathRtt(Option<(Duration, Instant)>);

impl PathRtt {
    fn add(&mut self, sample: Duration, now: Instant) {
        let keep = self
            .0
            .is_some_and(|(least, at)| least < sample && now.saturating_duration_since(at) < PATH_RTT_FOR);
        if !keep {
            self.0 = Some((sample, now));
        }
    }

    fn get(&self) -> Option<Duration> {
        self.0.map(|(least, _)| least)
    }
}

impl Adaptive {
    pub(super) fn new(segment: u16) -> Self {
        let segment = f64::from(segment);
        Self {
            segment,
            window: INITIAL_SEGMENTS * segment,
            slow_start: true,
            cubic: Cubic::default(),
            path_rtt: PathRtt::default(),
            recent: Recent::default(),
            round: Round::default(),
            last_round: Round::default(),
            rates: [0.0; RATES],
            rounds: 0,
            last_sent: 0,
            reduced_at: None,
            sample: None,
        }
    }

    /// Bytes that may be in flight.
    pub(super) fn window(&self) -> u64 {
        self.window as u64
    }

    /// Whether slow start is over.
    pub(super) fn in_avoidance(&self) -> bool {
        !self.slow_start
    }

    pub(super) fn set_segment(&mut self, bytes: u16) {
        self.segment = f64::from(bytes);
        self.window = self.window.max(2.0 * self.segment);
    }

    pub(super) fn sent(&mut self, packet: u64) {
        self.last_sent = packet;
    }

    /// A packet that was sent at `sent` is acknowledged.
    pub(super) fn acked(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool) {
        let sample = now.saturating_duration_since(sent);
        self.sample = Some(self.sample.map_or(sample, |least| least.min(sample)));
        let bytes = bytes as f64;
        self.round.acked += bytes;
        self.round.app_limited |= app_limited;
        let recovers = self.reduced_at.is_some_and(|at| sent <= at);
        if app_limited || recovers {
            return;
        }
        if self.slow_start {
            self.window += bytes;
        } else {
            let rtt = self.path_rtt.get().unwrap_or(sample);
            self.window = self.cubic.grown(now, rtt, self.window, bytes, self.segment);
        }
    }

    /// All that arrived together is acknowledged; `largest` is the newest packet that was so far.
    pub(super) fn acked_all(&mut self, now: Instant, largest: Option<u64>) {
        if let Some(sample) = self.sample.take() {
            self.path_rtt.add(sample, now);
            self.recent.add(sample, now, self.path_rtt.get().unwrap_or(sample));
        }
        if largest.is_some_and(|largest| largest >= self.round.end) {
            self.end_round(now);
        }
    }

    /// Packets are lost, the newest of which was sent at `sent`.
    pub(super) fn lost(&mut self, now: Instant, sent: Instant, bytes: u64, persistent: bool) {
        self.round.lost += bytes as f64;
        if persistent {
            self.cubic.reduced(self.window);
            self.window = 2.0 * self.segment;
            self.slow_start = true;
            self.reduced_at = Some(now);
            return;
        }
        let known = self.reduced_at.is_some_and(|at| sent <= at);
        // Marked packets come as a loss of nothing.
        let congested = bytes == 0 || self.queue_is_seen() || self.too_many_are_lost();
        if known || !congested {
            return;
        }
        self.cubic.reduced(self.window);
        let floor = self.delivered_in_path_rtt().min(self.window);
        self.window = (self.window * BETA).max(floor).max(2.0 * self.segment);
        self.slow_start = false;
        self.reduced_at = Some(now);
    }

    /// What a round-trip time may be above the least one without being a queue: an eighth of it, and 1 to 16 ms.
    fn queue_bound(path_rtt: Duration) -> Duration {
        (path_rtt / 8).clamp(Duration::from_millis(1), Duration::from_millis(16))
    }

    fn queue_is_seen(&self) -> bool {
        let Some(path_rtt) = self.path_rtt.get() else { return false };
        self.recent.last_moment.is_some_and(|least| least > path_rtt + Self::queue_bound(path_rtt))
    }

    fn too_many_are_lost(&self) -> bool {
        let lost = self.round.lost + self.last_round.lost;
        let all = lost + self.round.acked + self.last_round.acked;
        lost > TOLERATED * all + NEVER_MANY * self.segment
    }

    /// What keeps the path busy for this connection, nearly.
    fn delivered_in_path_rtt(&self) -> f64 {
        self.path_rtt.get().map_or(0.0, |rtt| DRAINED * self.best_rate() * rtt.as_secs_f64())
    }

    fn best_rate(&self) -> f64 {
        self.rates.iter().copied().fold(0.0, f64::max)
    }

    fn end_round(&mut self, now: Instant) {
        if let Some(began) = self.round.began {
            let seconds = now.saturating_duration_since(began).as_secs_f64();
            let rate = if seconds > 0.0 { self.round.acked / seconds } else { 0.0 };
            let grows = rate >= GROWTH * self.best_rate();
            if self.slow_start && !grows && !self.round.app_limited && self.queue_is_seen() {
                self.slow_start = false;
            }
            self.rates[self.rounds % RATES] = rate;
            self.rounds += 1;
        }
        let next = Round { began: Some(now), end: self.last_sent + 1, ..Round::default() };
        self.last_round = std::mem::replace(&mut self.round, next);
    }
}
