//! How a window grows back after a reduction: CUBIC (RFC 9438), pure.

use std::time::{Duration, Instant};

/// What a reduction multiplies the window with (RFC 9438, section 4.6).
pub(super) const BETA: f64 = 0.7;
/// The curve's steepness, in segments per second cubed (RFC 9438, section 5).
const C: f64 = 0.4;
/// Growth of the Reno-friendly estimate, in segments a round (RFC 9438, section 4.3).
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);
/// The window grows by half of itself in a round, at most (RFC 9438, section 4.4).
const FASTEST: f64 = 1.5;

/// The curve since the last reduction. Windows are in bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Cubic {
    /// The window at the last reduction, or less where windows shrink from one reduction to the next.
    w_max: f64,
    epoch: Option<Epoch>,
}

#[derive(Debug, Clone)]
struct Epoch {
    began: Instant,
    /// The window at the curve's inflection, and the seconds until it is there.
    origin: f64,
    k: f64,
    /// What Reno would have by now.
    reno: f64,
}

impl Cubic {
    /// The window was reduced from `before`: the curve begins anew with the next growth.
    pub(super) fn reduced(&mut self, before: f64) {
        // Fast convergence: who has less than the last time leaves room for others (RFC 9438, section 4.7).
        self.w_max = if before < self.w_max { before * (1.0 + BETA) / 2.0 } else { before };
        self.epoch = None;
    }

    /// The window after `acked` more bytes were.
    pub(super) fn grown(
        &mut self,
        now: Instant,
        rtt: Duration,
        window: f64,
        acked: f64,
        segment: f64,
    ) -> f64 {
        let w_max = self.w_max;
        let epoch = self.epoch.get_or_insert_with(|| Epoch {
            began: now,
            origin: w_max.max(window),
            k: ((w_max - window) / segment / C).max(0.0).cbrt(),
            reno: window,
        });
        let elapsed = now.saturating_duration_since(epoch.began) + rtt;
        let curve = epoch.origin + (elapsed.as_secs_f64() - epoch.k).powi(3) * C * segment;
        epoch.reno += ALPHA * segment * acked / window;
        let target = curve.clamp(window, window * FASTEST);
        (window + (target - window) * acked / window).max(epoch.reno)
    }
}
