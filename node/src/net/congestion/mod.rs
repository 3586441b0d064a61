//! Congestion control: which one, and [`adaptive`], ours.

mod adaptive;
mod cubic;
#[cfg(test)]
mod sim;

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{BbrConfig, Controller, ControllerFactory, ControllerMetrics, CubicConfig};

use adaptive::Adaptive;

use crate::options::Congestion;

/// Makes the controllers of new connections.
pub(super) fn factory(choice: Congestion) -> Arc<dyn ControllerFactory + Send + Sync> {
    match choice {
        Congestion::Adaptive => Arc::new(Factory),
        Congestion::Cubic => Arc::new(CubicConfig::default()),
        Congestion::Bbr => Arc::new(BbrConfig::default()),
    }
}

struct Factory;

impl ControllerFactory for Factory {
    fn build(self: Arc<Self>, _now: Instant, mtu: u16) -> Box<dyn Controller> {
        let state = Adaptive::new(mtu);
        Box::new(Control { initial_window: state.window(), state })
    }
}

/// [`Adaptive`] as quinn calls it.
#[derive(Debug, Clone)]
struct Control {
    state: Adaptive,
    initial_window: u64,
}

impl Controller for Control {
    fn on_sent(&mut self, _now: Instant, _bytes: u64, last_packet_number: u64) {
        self.state.sent(last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, _rtt: &RttEstimator) {
        self.state.acked(now, sent, bytes, app_limited);
    }

    fn on_end_acks(&mut self, now: Instant, _in_flight: u64, _app_limited: bool, largest: Option<u64>) {
        self.state.acked_all(now, largest);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, persistent: bool, lost_bytes: u64) {
        self.state.lost(now, sent, lost_bytes, persistent);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.state.set_segment(new_mtu);
    }

    fn window(&self) -> u64 {
        self.state.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = ControllerMetrics::default();
        metrics.congestion_window = self.window();
        metrics.ssthresh = self.state.in_avoidance().then(|| self.window());
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.initial_window
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
