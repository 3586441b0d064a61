//! Several receivers of one source, each with a scheduler of its own: they are to feed one another.

use super::super::{Action, Arrived, Availability, Config, HolderId, RequestId, Scheduler};
use super::*;

/// The step of time in which bytes move.
const STEP: Duration = ms(10);
/// How often a receiver hears what another one has.
const REFRESH: Duration = ms(250);
/// When receivers have found one another.
const MEET: Duration = ms(1000);

/// Who takes part.
struct Scene {
    receivers: usize,
    /// What the source sends in all, bytes a second.
    source: f64,
    /// What each receiver sends in all.
    receiver: f64,
    /// Whether the source says that others download.
    told: bool,
}

struct Request {
    id: RequestId,
    chunks: std::iter::Flatten<std::vec::IntoIter<Range<u32>>>,
    chunk: Option<u32>,
    /// Bytes that came of that chunk.
    bytes: u64,
}

struct Receiver {
    scheduler: Scheduler,
    open: Vec<Request>,
    refresh_at: Duration,
    finished: Option<Duration>,
}

/// What came of it.
#[derive(Debug)]
struct Fed {
    /// When the last receiver had all.
    last: Duration,
    /// What the source sent, as a multiple of the file.
    source_copies: f64,
}

fn feed(mut rng: Rng, table: &Arc<ChunkTable>, scene: &Scene) -> Fed {
    let mut receivers: Vec<_> = (0..scene.receivers)
        .map(|_| {
            let config = Config { seed: rng.next(), max_depth: 3, ..Config::default() };
            let mut scheduler = Scheduler::new(table.clone(), [], config);
            assert!(scheduler.holder_joined(Duration::ZERO, HolderId(0), Availability::All));
            if scene.told {
                scheduler.others_download();
            }
            let refresh_at = MEET + ms(rng.between(0, 250));
            Receiver { scheduler, open: Vec::new(), refresh_at, finished: None }
        })
        .collect();
    let (mut now, mut source_bytes) = (Duration::ZERO, 0.0);
    while receivers.iter().any(|receiver| receiver.finished.is_none()) {
        now += STEP;
        assert!(now < Duration::from_secs(3600), "still not done");
        for index in 0..receivers.len() {
            refresh(&mut receivers, index, now);
            ask(&mut receivers[index], now);
        }
        for holder in 0..=receivers.len() {
            let rate = if holder == 0 { scene.source } else { scene.receiver };
            let sent = send(&mut receivers, table, HolderId(holder as u32), rate * STEP.as_secs_f64(), now);
            source_bytes += if holder == 0 { sent } else { 0.0 };
        }
    }
    let last = receivers.iter().filter_map(|receiver| receiver.finished).max();
    Fed { last: last.expect("several"), source_copies: source_bytes / table.size() as f64 }
}

/// Tells a receiver what the others have.
fn refresh(receivers: &mut [Receiver], index: usize, now: Duration) {
    if now < receivers[index].refresh_at || receivers[index].finished.is_some() {
        return;
    }
    receivers[index].refresh_at = now + REFRESH;
    for other in (0..receivers.len()).filter(|&other| other != index) {
        let available = match receivers[other].finished {
            Some(_) => Availability::All,
            None => Availability::Ranges(receivers[other].scheduler.done().collect()),
        };
        let _ = receivers[index].scheduler.holder_joined(now, HolderId(other as u32 + 1), available);
    }
}

fn ask(receiver: &mut Receiver, now: Duration) {
    for action in receiver.scheduler.tick(now) {
        if let Action::Cancel(id) = action {
            receiver.open.retain(|request| request.id != id);
        }
    }
    while let Some(request) = receiver.scheduler.next_request(now) {
        let mut chunks = request.runs.into_iter().flatten();
        let chunk = chunks.next();
        receiver.open.push(Request { id: request.id, chunks, chunk, bytes: 0 });
    }
}

/// Shares what a holder can send among those who ask it, and among their requests.
fn send(receivers: &mut [Receiver], table: &ChunkTable, holder: HolderId, bytes: f64, now: Duration) -> f64 {
    let asks = |receiver: &Receiver| receiver.open.iter().filter(|one| one.id.holder() == holder).count();
    let askers = receivers.iter().filter(|receiver| asks(receiver) > 0).count();
    let mut sent = 0.0;
    for receiver in receivers {
        let open = asks(receiver);
        if open > 0 {
            let each = bytes / askers as f64 / open as f64;
            let requests: Vec<_> = receiver.open.iter().map(|one| one.id).collect();
            for id in requests.into_iter().filter(|id| id.holder() == holder) {
                sent += deliver(receiver, table, id, each as u64, now) as f64;
            }
        }
    }
    sent
}

fn deliver(receiver: &mut Receiver, table: &ChunkTable, id: RequestId, bytes: u64, now: Duration) -> u64 {
    let Some(at) = receiver.open.iter().position(|request| request.id == id) else { return 0 };
    let (request, mut left) = (&mut receiver.open[at], bytes);
    while let Some(chunk) = request.chunk {
        let length = u64::from(table.chunk(chunk).expect("it exists").length);
        let part = left.min(length - request.bytes);
        receiver.scheduler.bytes_arrived(now, id, part);
        (request.bytes, left) = (request.bytes + part, left - part);
        if request.bytes < length {
            break;
        }
        if receiver.scheduler.chunk_arrived(now, id, chunk) == Arrived::Install
            && receiver.scheduler.is_complete()
        {
            receiver.finished = Some(now);
        }
        (request.chunk, request.bytes) = (request.chunks.next(), 0);
    }
    if request.chunk.is_none() {
        receiver.open.remove(at);
        receiver.scheduler.request_done(now, id);
    }
    bytes - left
}

/// Feeds receivers with 128 MiB at 100 Mbit/s. Returns how much longer the last one takes than one alone would.
fn ratio(scene: &Scene, seed: u64) -> f64 {
    let mut rng = Rng::new(seed);
    let table = file(&mut rng, 128 * MIB, 64 * KIB);
    let fed = feed(rng, &table, scene);
    let ratio = fed.last.as_secs_f64() * scene.source / table.size() as f64;
    assert!(fed.source_copies < ratio + 0.1, "{fed:?}");
    ratio
}

#[test]
fn receivers_feed_one_another() {
    // Alone they would take as many times as long as they are.
    for (receivers, told, at_most) in [(2, true, 1.3), (8, true, 1.35), (8, false, 1.75)] {
        let scene = Scene { receivers, source: 100.0 * MBIT, receiver: 1000.0 * MBIT, told };
        for seed in 0..3 {
            let ratio = ratio(&scene, seed);
            assert!(ratio < at_most, "{receivers} receivers, told: {told}, seed {seed}: {ratio:.2}");
        }
    }
}

#[test]
fn receivers_that_can_send_little_are_no_hindrance() {
    // What they send counts beside what the source does: more than half of the copies.
    let scene = Scene { receivers: 4, source: 100.0 * MBIT, receiver: 50.0 * MBIT, told: true };
    let ideal = 4.0 * 100.0 / (100.0 + 4.0 * 50.0);
    let ratio = ratio(&scene, 7);
    assert!(ratio < 1.25 * ideal, "{ratio:.2} where {ideal:.2} is possible");
}
