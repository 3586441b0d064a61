//! Many chunks: nothing that is done for each chunk may look at all of them, or this does not end.

use std::collections::VecDeque;

use super::super::{Action, Arrived, Availability, Config, HolderId, Scheduler};
use super::*;

/// The most that is expected of one content.
const MANY: u32 = 1_000_000;
/// For what is slow in a build without optimization.
const COUNT: u32 = 200_000;

fn table(count: u32) -> Arc<ChunkTable> {
    let chunk = Chunk { length: 16 << 10, hash: ChunkHash::from_bytes([0; 32]) };
    Arc::new(ChunkTable::new(vec![chunk; count as usize]))
}

/// Every second run of so many chunks.
fn alternating(from: u32, length: u32) -> Availability {
    let starts = (from..COUNT).step_by(2 * length as usize);
    Availability::Ranges(starts.map(|start| start..start + length).collect())
}

/// Serves the requests in turn, a chunk of each, with a chunk each 10 µs: returns how many requests it took.
fn serve(scheduler: &mut Scheduler) -> usize {
    let (mut open, mut requests, mut now) = (VecDeque::new(), 0, Duration::ZERO);
    while !scheduler.is_complete() {
        for action in scheduler.tick(now) {
            let Action::Cancel(request) = action else { panic!("{action:?} at {now:?}") };
            open.retain(|(id, _)| *id != request);
        }
        while let Some(request) = scheduler.next_request(now) {
            requests += 1;
            open.push_back((request.id, request.runs.into_iter().flatten()));
        }
        let (id, mut chunks) = open.pop_front().expect("something is in flight until all is done");
        if let Some(chunk) = chunks.next() {
            scheduler.bytes_arrived(now, id, 16 << 10);
            let _ = scheduler.chunk_arrived(now, id, chunk);
            open.push_back((id, chunks));
        } else {
            scheduler.request_done(now, id);
        }
        now += Duration::from_micros(10);
    }
    requests
}

#[test]
fn a_million_chunks_from_complete_holders() {
    let mut scheduler = Scheduler::new(table(MANY), Vec::new(), Config::default());
    for id in 0..8 {
        assert!(scheduler.holder_joined(Duration::ZERO, HolderId(id), Availability::All));
    }
    let requests = serve(&mut scheduler);
    assert!(requests < 2000, "{requests}");
}

#[test]
fn as_many_pieces_as_can_be() {
    // Every second chunk is there, so that what is missing is as many runs as can be.
    let every_second = (0..COUNT).step_by(2).map(|chunk| chunk..chunk + 1);
    let mut scheduler = Scheduler::new(table(COUNT), every_second, Config::default());
    // As many ranges as one holder can name.
    let length = COUNT / (2 * wire::limits::RANGES as u32);
    for id in 0..8 {
        let availability = alternating(id % 2 * length, length);
        assert!(scheduler.holder_joined(Duration::ZERO, HolderId(id), availability));
    }
    assert!(scheduler.holder_joined(Duration::ZERO, HolderId(8), Availability::All));
    serve(&mut scheduler);
    assert_eq!(scheduler.done().collect::<Vec<_>>(), [0..COUNT]);
}

#[test]
fn chunks_found_in_no_order() {
    let mut scheduler = Scheduler::new(table(COUNT), Vec::new(), Config::default());
    assert!(scheduler.holder_joined(Duration::ZERO, HolderId(0), Availability::All));
    // A multiplier without a common factor visits each once.
    for step in 0..u64::from(COUNT) {
        let chunk = (step * 7_368_787 % u64::from(COUNT)) as u32;
        assert_eq!(scheduler.chunk_found(Duration::ZERO, chunk), Arrived::Install);
    }
    assert!(scheduler.is_complete());
}
