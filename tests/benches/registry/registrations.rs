//! R and D: how many a second are durable, and how long one takes.

use std::sync::Arc;
use std::time::Duration;

use certs::Signed;
use p2p_node_tests::clock;
use p2p_node_tests::hostile::Member;
use tokio::task::JoinSet;
use wire::message::{OutcomeKind, RecordBundle};
use wire::{Record, limits, record_hash};

use super::arguments::Arguments;
use super::fleet::{Fleet, bundle};
use super::names::Random;
use super::report;

/// How long single registrations are measured.
const WRITE_FOR: Duration = Duration::from_secs(10);
/// What a member has under way at once.
const BATCHES: usize = 2;

/// Registers all resources, with records signed before: most from everybody, the last part from `--peers` at once. Prints
/// the rate of all, and that of the last part.
pub(crate) async fn load(fleet: &Fleet, arguments: &Arguments) {
    let measured = (arguments.resources / 5).min(200_000);
    let mut left = arguments.resources - measured;
    let (mut round, mut all) = (1, Duration::ZERO);
    while left > 0 {
        let part = left.min(100_000);
        all += register(sign(&fleet.members, part, round).await).await;
        (left, round) = (left - part, round + 1);
    }
    let peers = &fleet.members[..arguments.peers];
    let prepared = sign(peers, measured, round).await;
    let took = register(prepared).await;
    report::rate("durable registrations, from none to all", arguments.resources, all + took);
    report::rate(&format!("the last of them, from {} peers", peers.len()), measured, took);
}

/// `--writers` members that each wait for one registration at a time; then the same for deregistrations.
pub(crate) async fn writers(fleet: &Fleet, arguments: &Arguments) {
    let mut writers = JoinSet::new();
    let began = clock::monotonic();
    for (number, member) in fleet.members[..arguments.writers].iter().enumerate() {
        writers.spawn(write(member.clone(), Random(0x5eed + number as u64)));
    }
    let (mut times, mut records) = (Vec::new(), Vec::new());
    while let Some(written) = writers.join_next().await {
        let (member, written) = written.expect("no panic");
        times.extend(written.iter().map(|(_, took)| *took));
        records.push((member, written.into_iter().map(|(record, _)| record).collect::<Vec<_>>()));
    }
    let what = format!("one registration, {} writers", arguments.writers);
    report::rate(&what, times.len(), clock::monotonic() - began);
    report::latencies(&what, times);
    withdraw(records, arguments).await;
}

async fn write(member: Arc<Member>, mut random: Random) -> (Arc<Member>, Vec<(RecordBundle, Duration)>) {
    let client = member.client();
    let mut written = Vec::new();
    let began = clock::monotonic();
    while clock::monotonic() - began < WRITE_FOR {
        let record = bundle(&member, &mut random);
        let asked = clock::monotonic();
        let outcomes = client.register(vec![record.clone()]).await.expect("answered").outcomes;
        assert_eq!(outcomes[0].outcome, OutcomeKind::Created);
        written.push((record, clock::monotonic() - asked));
    }
    (member, written)
}

async fn withdraw(records: Vec<(Arc<Member>, Vec<RecordBundle>)>, arguments: &Arguments) {
    let mut writers = JoinSet::new();
    let began = clock::monotonic();
    for (member, records) in records {
        writers.spawn(async move {
            let mut times = Vec::with_capacity(records.len());
            for record in records {
                let record = Signed::<Record>::parse(&record.record).expect("it was signed here");
                let gone = record.tombstone(record_hash(&record), member.id(), clock::wall_nanos());
                let gone = member.sign(gone);
                let asked = clock::monotonic();
                let outcomes = member.deregister(&[gone]).await;
                assert_ne!(outcomes[0].outcome, OutcomeKind::Refused, "{outcomes:?}");
                times.push(clock::monotonic() - asked);
            }
            times
        });
    }
    let mut times = Vec::new();
    while let Some(written) = writers.join_next().await {
        times.extend(written.expect("no panic"));
    }
    let what = format!("one deregistration, {} writers", arguments.writers);
    report::rate(&what, times.len(), clock::monotonic() - began);
    report::latencies(&what, times);
}

/// Batches of signed records, each with the member that sends it.
type Prepared = Vec<(Arc<Member>, Vec<Vec<RecordBundle>>)>;

/// Signs so many records, spread over the members.
async fn sign(members: &[Arc<Member>], count: usize, round: u64) -> Prepared {
    let mut signing = JoinSet::new();
    for (number, member) in members.iter().enumerate() {
        let share = count / members.len() + usize::from(number < count % members.len());
        let member = member.clone();
        signing.spawn_blocking(move || {
            let mut random = Random(round << 32 | number as u64);
            let records: Vec<_> = (0..share).map(|_| bundle(&member, &mut random)).collect();
            let batches = records.chunks(limits::BATCH_RECORDS).map(<[_]>::to_vec).collect();
            (member, batches)
        });
    }
    let mut prepared = Vec::with_capacity(members.len());
    while let Some(signed) = signing.join_next().await {
        prepared.push(signed.expect("no panic"));
    }
    prepared
}

/// Every member sends its batches, two at a time; how long it takes.
async fn register(prepared: Prepared) -> Duration {
    let began = clock::monotonic();
    let mut sending = JoinSet::new();
    for (member, batches) in prepared {
        sending.spawn(async move {
            let mut under_way = JoinSet::new();
            for batch in batches {
                if under_way.len() == BATCHES {
                    under_way.join_next().await.expect("some are under way").expect("no panic");
                }
                let member = member.clone();
                under_way.spawn(async move { send(&member, batch).await });
            }
            while let Some(sent) = under_way.join_next().await {
                sent.expect("no panic");
            }
        });
    }
    while let Some(sent) = sending.join_next().await {
        sent.expect("no panic");
    }
    clock::monotonic() - began
}

async fn send(member: &Member, batch: Vec<RecordBundle>) {
    let answer = member.client().register(batch).await.expect("answered");
    let created = |kind| matches!(kind, OutcomeKind::Created);
    assert!(answer.outcomes.iter().all(|one| created(one.outcome)), "{answer:?}");
}
