//! The controller on a simulated link: one bottleneck with a rate, a delay, a queue and random losses.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::adaptive::Adaptive;
use crate::clock;
use crate::rng::Rng;

const PACKET: u64 = 1452;
/// A packet is lost when one that was sent so many later is acknowledged (RFC 9002, section 6.1.1).
const REORDERING: u64 = 3;
/// Packets that are sent at once, as quinn does.
const BURST: f64 = 10.0;

/// The link, both ways.
#[derive(Debug, Clone, Copy)]
struct Link {
    /// Of the bottleneck, in bytes per second.
    rate: f64,
    /// Without a queue.
    rtt: Duration,
    /// What the bottleneck keeps, in seconds.
    queue: f64,
    /// The part of the packets that vanishes.
    loss: f64,
}

/// A sender with endless data.
struct Flow {
    control: Adaptive,
    starts: f64,
    next: u64,
    /// When each was sent.
    in_flight: BTreeMap<u64, f64>,
    /// Not before: packets are paced at 1.25 windows for each round-trip time, as quinn does.
    paced_until: f64,
    rtt: f64,
    delivered: u64,
    lost: u64,
}

/// What came of a flow.
#[derive(Debug)]
struct Outcome {
    /// The part of the link's rate that it had, from when it started.
    part: f64,
    /// The part of its packets that was lost.
    lost: f64,
}

struct World {
    link: Link,
    epoch: Instant,
    rng: Rng,
    flows: Vec<Flow>,
    /// When the bottleneck has sent all that it has.
    busy_until: f64,
    /// Acknowledgements under way: when they arrive, whose, and of which packet. In their order, as the link keeps it.
    acks: VecDeque<(f64, usize, u64)>,
}

impl Flow {
    fn has_room(&self) -> bool {
        (self.in_flight.len() as u64 + 1) * PACKET <= self.control.window()
    }

    fn may_send_at(&self) -> f64 {
        self.starts.max(self.paced_until)
    }
}

impl World {
    /// Runs flows that start at these seconds until `end`; what came of each after `from`.
    fn run(link: Link, starts: &[f64], from: f64, end: f64) -> Vec<Outcome> {
        let flow = |&starts: &f64| Flow {
            control: Adaptive::new(PACKET as u16),
            starts,
            next: 0,
            in_flight: BTreeMap::new(),
            paced_until: 0.0,
            rtt: link.rtt.as_secs_f64(),
            delivered: 0,
            lost: 0,
        };
        let flows = starts.iter().map(flow).collect();
        let rng = Rng::new(7);
        let mut world =
            Self { link, epoch: clock::monotonic(), rng, flows, busy_until: 0.0, acks: VecDeque::new() };
        world.run_until(0.0, from);
        let before: Vec<_> = world.flows.iter().map(|flow| (flow.delivered, flow.lost, flow.next)).collect();
        world.run_until(from, end);
        let outcome = |(flow, (delivered, lost, sent)): (&Flow, (u64, u64, u64))| Outcome {
            part: ((flow.delivered - delivered) * PACKET) as f64
                / (link.rate * (end - flow.starts.max(from))),
            lost: (flow.lost - lost) as f64 / (flow.next - sent).max(1) as f64,
        };
        world.flows.iter().zip(before).map(outcome).collect()
    }

    fn run_until(&mut self, mut now: f64, end: f64) {
        while now < end {
            (0..self.flows.len()).for_each(|flow| self.send(flow, now));
            let sends = self.flows.iter().filter(|flow| flow.has_room()).map(|flow| flow.may_send_at());
            let next_send = sends.fold(end, f64::min);
            match self.acks.front() {
                Some(&(at, flow, packet)) if at <= next_send => {
                    self.acks.pop_front();
                    now = at;
                    self.acknowledged(flow, packet, now);
                }
                _ => now = next_send.max(now),
            }
        }
    }

    fn send(&mut self, index: usize, now: f64) {
        while self.flows[index].has_room() && self.flows[index].may_send_at() <= now {
            let flow = &mut self.flows[index];
            let interval = PACKET as f64 * flow.rtt / (1.25 * flow.control.window() as f64);
            // What it did not send in time it may send at once, up to some packets.
            flow.paced_until = flow.paced_until.max(now - BURST * interval) + interval;
            let packet = flow.next;
            flow.next += 1;
            flow.in_flight.insert(packet, now);
            flow.control.sent(packet);
            let waits = (self.busy_until - now).max(0.0);
            let vanishes = self.rng.chance(self.link.loss);
            if waits > self.link.queue {
                continue;
            }
            self.busy_until = now + waits + PACKET as f64 / self.link.rate;
            if !vanishes {
                self.acks.push_back((self.busy_until + self.link.rtt.as_secs_f64(), index, packet));
            }
        }
    }

    fn acknowledged(&mut self, index: usize, packet: u64, now: f64) {
        let epoch = self.epoch;
        let at = |seconds: f64| epoch + Duration::from_secs_f64(seconds);
        let flow = &mut self.flows[index];
        let Some(sent_at) = flow.in_flight.remove(&packet) else { return };
        flow.delivered += 1;
        flow.rtt += (now - sent_at - flow.rtt) / 8.0;
        flow.control.acked(at(now), at(sent_at), PACKET, false);
        flow.control.acked_all(at(now), Some(packet));
        let kept = flow.in_flight.split_off(&packet.saturating_sub(REORDERING));
        let lost = std::mem::replace(&mut flow.in_flight, kept);
        if let Some((_, &newest)) = lost.last_key_value() {
            flow.lost += lost.len() as u64;
            flow.control.lost(at(now), at(newest), lost.len() as u64 * PACKET, false);
        }
    }
}

/// 200 Mbit/s, 25 ms each way, 50 ms of queue.
const LINK: Link = Link { rate: 25e6, rtt: Duration::from_millis(50), queue: 0.05, loss: 0.0 };

#[test]
fn a_link_is_filled_whether_it_loses_packets_or_not() {
    for (loss, least) in [(0.0, 0.93), (0.001, 0.93), (0.01, 0.9), (0.015, 0.85)] {
        let outcome = World::run(Link { loss, ..LINK }, &[0.0], 1.0, 12.0);
        assert!(outcome[0].part > least, "at {loss}: {outcome:?}");
    }
}

#[test]
fn it_starts_fast_and_floods_the_queue_once() {
    let outcome = World::run(LINK, &[0.0], 0.0, 3.0);
    assert!(outcome[0].part > 0.8 && outcome[0].lost < 0.06, "{outcome:?}");
}

#[test]
fn queues_too_short_to_be_seen_are_not_overrun() {
    let outcome = World::run(Link { queue: 0.002, ..LINK }, &[0.0], 2.0, 20.0);
    assert!(outcome[0].part > 0.75 && outcome[0].lost < 0.04, "{outcome:?}");
}

#[test]
fn two_of_them_share() {
    for loss in [0.0, 0.001, 0.01] {
        let outcome = World::run(Link { loss, ..LINK }, &[0.0, 3.0], 20.0, 60.0);
        let [first, second] = [outcome[0].part, outcome[1].part];
        assert!(first + second > 0.9 && first.min(second) > 0.25, "at {loss}: {outcome:?}");
    }
}

#[test]
fn where_all_is_lost_the_window_shrinks() {
    let mut control = Adaptive::new(PACKET as u16);
    let now = clock::monotonic();
    for packet in 0..1000 {
        control.sent(packet);
        control.acked(now + Duration::from_millis(packet), now, PACKET, false);
        control.acked_all(now, Some(packet));
    }
    let before = control.window();
    control.lost(now, now, PACKET, true);
    assert!(before > 500 * PACKET && control.window() == 2 * PACKET);
}

#[test]
fn a_mark_is_a_full_queue() {
    let mut control = Adaptive::new(PACKET as u16);
    let now = clock::monotonic();
    control.lost(now, now, PACKET, false);
    let before = control.window();
    control.lost(now, now, 0, false);
    assert!(control.window() < before && control.in_avoidance());
}
