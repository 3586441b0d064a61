//! What is put is found, by everybody, whoever dies.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use p2p_node_index::dht::memory::MemoryOptions;
use p2p_node_index::dht::{DhtError, Reject, Until};

use super::harness::{Common, HOUR, Member, Random, Shelf, grow, join, key, node, some, value};

/// Lookups of a test that run at once.
const AT_ONCE: usize = 32;

/// How many lookups of these keys by these nodes do not give these values.
async fn misses(members: &[Member], wanted: &[(Vec<u8>, Vec<u8>)]) -> usize {
    let lookups = members.iter().flat_map(|member| wanted.iter().map(move |one| (member, one)));
    let found = stream::iter(lookups).map(|(member, (key, value))| async move {
        let found = member.dht.get(key.clone(), Until::Agreed).await.expect("it runs");
        usize::from(found.is_none_or(|found| found.value != *value))
    });
    found.buffer_unordered(AT_ONCE).fold(0, |sum, one| async move { sum + one }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_put_is_found_by_all_and_again_after_half_have_died() {
    let seed = 7;
    println!("seed {seed}");
    let mut random = Random(seed);
    let common = Common::new(MemoryOptions { seed, ..MemoryOptions::default() });
    let mut members = grow(&common, 0..100, &mut random).await;
    let mut wanted = Vec::new();
    for (number, member) in members.iter().enumerate().take(10) {
        let (key, value) = (key(&format!("record {number}")), value(1, &format!("value {number}")));
        let answered = member.dht.put(key.clone(), value.clone(), HOUR).await.expect("taken");
        assert!(answered >= 18, "{answered} of the 20 nearest answered");
        wanted.push((key, value));
    }
    assert_eq!(misses(&members, &wanted).await, 0, "of {} lookups", members.len() * wanted.len());

    // Half of the others die; those who put do so again.
    let mut dying: Vec<_> = (10..100).collect();
    random.shuffle(&mut dying);
    let dying: HashSet<_> = dying.into_iter().take(50).map(|number| members[number].id).collect();
    dying.iter().for_each(|id| common.memory.kill(*id));
    members.retain(|member| !dying.contains(&member.id));
    for (member, (key, value)) in members.iter().zip(&wanted) {
        let answered = member.dht.put(key.clone(), value.clone(), HOUR).await.expect("taken");
        assert!(answered >= 10, "{answered} answered among the {} that live", members.len());
    }
    assert_eq!(misses(&members, &wanted).await, 0, "of {} lookups", members.len() * wanted.len());
    let newcomer = common.start(node(1_000)).await;
    join(&newcomer, some(3, &members, &mut random)).await;
    assert_eq!(misses(&[newcomer], &wanted).await, 0, "a node that came afterwards");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_highest_value_wins_whoever_puts_the_lower_one_later() {
    let common = Common::default();
    let members = grow(&common, 0..24, &mut Random(1)).await;
    let key = key("a head");
    members[0].dht.put(key.clone(), value(2, "new"), HOUR).await.expect("taken");
    // This one may hold the higher value already, and then refuses itself.
    let lower = members[1].dht.put(key.clone(), value(1, "old"), HOUR).await;
    assert!(matches!(lower, Ok(_) | Err(DhtError::Refused(Reject::Lower))), "{lower:?}");
    assert_eq!(misses(&members, &[(key.clone(), value(2, "new"))]).await, 0);
    members[2].dht.put(key.clone(), value(3, "newer"), HOUR).await.expect("taken");
    for member in &members {
        let found = member.dht.get(key.clone(), Until::Exhausted).await.expect("it runs");
        let found = found.expect("a value");
        assert_eq!(found.value, value(3, "newer"));
        assert!(found.agreeing >= 15, "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_values_of_one_rank_all_keep_the_same_and_say_so() {
    let common = Common::default();
    let members = grow(&common, 0..24, &mut Random(2)).await;
    let key = key("two heads");
    let (one, other) = (value(1, "this"), value(1, "that"));
    let lower = if blake3::hash(&one).as_bytes() < blake3::hash(&other).as_bytes() { &one } else { &other };
    for (member, value) in [(0, &one), (1, &other), (2, &one)] {
        let put = members[member].dht.put(key.clone(), value.clone(), HOUR).await;
        assert!(matches!(put, Ok(_) | Err(DhtError::Refused(Reject::Conflict))), "{put:?}");
    }
    for member in &members {
        let found = member.dht.get(key.clone(), Until::Exhausted).await.expect("it runs");
        assert_eq!(&found.expect("a value").value, lower);
    }
    let conflicts = common.judge.conflicts.lock().expect("whole");
    assert!(!conflicts.is_empty());
    assert!(conflicts.iter().all(|(kept, other)| kept == lower && other != lower));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn providers_are_found_until_they_stop_and_their_entries_end() {
    let common = Common::default();
    let members = grow(&common, 0..24, &mut Random(3)).await;
    let key = key("a content");
    for member in &members[..3] {
        member.dht.provide(key.clone()).await.expect("taken");
    }
    let providers: HashSet<_> = members[..3].iter().map(|member| member.id).collect();
    for member in &members[3..] {
        // kad has no answer to a provider entry: it may still be on its way.
        let found = eventually(|| async {
            let found = member.dht.providers(key.clone()).await.expect("it runs");
            let found: HashSet<_> = found.into_iter().collect();
            (found == providers).then_some(found)
        });
        found.await;
    }
    for member in &members[..3] {
        member.dht.stop_providing(key.clone()).await.expect("it runs");
    }
    common.clocks.ahead_ms.store(25 * 3_600_000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(members[9].dht.providers(key).await, Ok(Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_restarts_as_a_whole_has_what_it_kept() {
    let common = Common::default();
    let mut random = Random(4);
    let shelves: Vec<_> = (0..20).map(|_| Shelf::default()).collect();
    let wanted = [(key("kept"), value(1, "kept"))];
    for put in [true, false] {
        let mut members: Vec<Member> = Vec::new();
        for (number, shelf) in (0..).zip(&shelves) {
            let kept = shelf.0.lock().expect("whole").values().cloned().collect();
            let judge = common.judge.clone();
            let member = common.start_with(node(number), judge, Box::new(shelf.clone()), kept).await;
            join(&member, some(3, &members, &mut random)).await;
            members.push(member);
        }
        if put {
            members[0].dht.put(wanted[0].0.clone(), wanted[0].1.clone(), HOUR).await.expect("taken");
        }
        assert_eq!(misses(&members, &wanted).await, 0, "put: {put}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_network_is_one_again_when_it_is_healed() {
    let common = Common::default();
    let members = grow(&common, 0..24, &mut Random(5)).await;
    let island: HashSet<_> = members[..10].iter().map(|member| member.id).collect();
    common.memory.split(island);
    let wanted = [(key("of the island"), value(1, "here")), (key("of the land"), value(1, "there"))];
    members[0].dht.put(wanted[0].0.clone(), wanted[0].1.clone(), HOUR).await.expect("taken");
    members[15].dht.put(wanted[1].0.clone(), wanted[1].1.clone(), HOUR).await.expect("taken");
    assert_eq!(misses(&members[..10], &wanted[..1]).await, 0);
    assert_eq!(misses(&members[10..], &wanted[1..]).await, 0);
    assert_eq!(misses(&members[..1], &wanted[1..]).await, 1, "it is split");
    common.memory.split(HashSet::new());
    // Both sides forgot the other one, as far as they tried it; a peer that is remembered brings them together.
    for (one, other) in members[..10].iter().zip(&members[10..]) {
        one.dht.add_peer(other.id, vec![other.address]).await.expect("it runs");
        one.dht.bootstrap().await.expect("one is known");
    }
    members[0].dht.put(wanted[0].0.clone(), wanted[0].1.clone(), HOUR).await.expect("taken");
    members[15].dht.put(wanted[1].0.clone(), wanted[1].1.clone(), HOUR).await.expect("taken");
    assert_eq!(misses(&members, &wanted).await, 0);
}

/// Asks again until there is an answer, for 10 s at most.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(ask: impl Fn() -> F) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asking).await.expect("within 10 s")
}
