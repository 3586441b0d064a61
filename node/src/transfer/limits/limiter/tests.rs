//! Waiting, in paused time: it moves on when nobody has anything to do but wait.

use std::sync::atomic::AtomicU64;
use std::time::Instant;

use tokio::task::JoinSet;

use super::*;

fn rate(bytes: u64) -> Rate {
    Rate::new(bytes).expect("a rate")
}

fn open() -> Arc<Limiter> {
    Limiter::new(Rate::UNLIMITED)
}

/// Of a peer of its own.
fn gate(total: &Arc<Limiter>) -> Gate {
    Gate::new(None, open(), total.clone())
}

fn since(began: Instant) -> f64 {
    (clock::timer() - began).as_secs_f64()
}

/// Passes so many bytes in slices.
async fn pass_all(gate: Gate, mut bytes: u64, passed: Arc<AtomicU64>) {
    while bytes > 0 {
        let slice = gate.slice().min(bytes);
        gate.pass(slice).await;
        passed.fetch_add(slice, Ordering::Relaxed);
        bytes -= slice;
    }
}

fn counter() -> Arc<AtomicU64> {
    Arc::default()
}

#[tokio::test(start_paused = true)]
async fn the_narrowest_limit_counts() {
    let (narrow, wide) = (Limiter::new(rate(100_000)), Limiter::new(rate(1_000_000)));
    for (own, peer, total) in [(&narrow, &wide, &wide), (&wide, &narrow, &wide), (&wide, &wide, &narrow)] {
        let (own, peer) = (Limiter::new(own.rate()), Limiter::new(peer.rate()));
        let began = clock::timer();
        let gate = Gate::new(Some(own), peer, Limiter::new(total.rate()));
        pass_all(gate, 1_000_000, counter()).await;
        let took = since(began);
        assert!((9.8..10.3).contains(&took), "{took}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_peer_is_held_up_by_does_not_hold_up_the_others() {
    let (own, total) = (Limiter::new(rate(1 << 30)), open());
    let slow = Gate::new(Some(own.clone()), Limiter::new(rate(1024)), total.clone());
    let quick = Gate::new(Some(own), open(), total);
    let (from_slow, from_quick) = (counter(), counter());
    let mut tasks = JoinSet::new();
    tasks.spawn(pass_all(slow, 1 << 30, from_slow.clone()));
    tasks.spawn(pass_all(quick, 64 << 20, from_quick.clone()));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(from_quick.load(Ordering::Relaxed), 64 << 20);
    assert!((9..12).contains(&(from_slow.load(Ordering::Relaxed) / 1024)), "{from_slow:?}");
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_come_in_the_order_of_asking() {
    let limiter = Limiter::new(rate(10_000));
    let order = Arc::new(Mutex::new(Vec::new()));
    gate(&limiter).pass(10_000).await;
    let mut tasks = JoinSet::new();
    for number in 0..20 {
        let (gate, order) = (gate(&limiter), order.clone());
        tasks.spawn(async move {
            // Sizes do not matter for the order.
            gate.pass(if number % 2 == 0 { 5000 } else { 1 }).await;
            order.lock().expect("not poisoned").push(number);
        });
        tokio::task::yield_now().await;
    }
    tasks.join_all().await;
    assert_eq!(*order.lock().expect("not poisoned"), Vec::from_iter(0..20));
}

#[tokio::test(start_paused = true)]
async fn peers_share_alike_however_many_streams_each_has() {
    let total = Limiter::new(rate(100_000));
    let (one, two) = (open(), open());
    let (of_one, of_two) = (counter(), counter());
    let mut tasks = JoinSet::new();
    for _ in 0..5 {
        tasks.spawn(pass_all(Gate::new(None, one.clone(), total.clone()), 1 << 30, of_one.clone()));
    }
    tasks.spawn(pass_all(Gate::new(None, two.clone(), total.clone()), 1 << 30, of_two.clone()));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let [one, two] = [of_one, of_two].map(|passed| passed.load(Ordering::Relaxed) as f64 / 1_000_000.0);
    assert!((0.45..0.55).contains(&one) && (0.45..0.55).contains(&two), "{one} {two}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_notices_a_new_rate_at_once() {
    let limiter = Limiter::new(rate(1024));
    gate(&limiter).pass(1 << 20).await;
    let began = clock::timer();
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        let gate = gate(&limiter);
        tasks.spawn(async move { gate.pass(1 << 20).await });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(tasks.try_join_next().map(|_| ()), None, "1,023 s are left to wait");
    limiter.set_rate(Rate::UNLIMITED);
    tasks.join_all().await;
    assert!(since(began) < 1.1, "{}", since(began));
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_comes_later_holds_for_those_that_had_none() {
    let limiter = open();
    let passed = counter();
    let gate = gate(&limiter);
    pass_all(gate.clone(), 1 << 30, passed.clone()).await;
    limiter.set_rate(rate(100_000));
    let began = clock::timer();
    pass_all(gate, 1_000_000, passed).await;
    assert!(since(began) > 9.5, "{}", since(began));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_dropped_takes_nothing_and_holds_up_nobody() {
    let (peer, total) = (Limiter::new(rate(20_000)), Limiter::new(rate(10_000)));
    let gate = Gate::new(None, peer.clone(), total.clone());
    gate.pass(10_000).await;
    let began = clock::timer();
    let first = tokio::time::timeout(Duration::from_millis(500), gate.pass(1 << 30));
    let second = async {
        tokio::task::yield_now().await;
        gate.pass(1).await;
        since(began)
    };
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_err(), "it gave up");
    assert!((0.9..1.1).contains(&second), "{second}");
    assert_eq!(total.waiting.load(Ordering::Relaxed) + peer.waiting.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn with_many_waiting_each_has_something_about_once_a_second() {
    let limiter = Limiter::new(rate(1 << 20));
    assert_eq!(gate(&limiter).slice(), (1 << 20) / SLICES);
    let counters: Vec<_> = (0..500).map(|_| counter()).collect();
    let mut tasks = JoinSet::new();
    for passed in &counters {
        tasks.spawn(pass_all(gate(&limiter), 1 << 30, passed.clone()));
    }
    let seen = || Vec::from_iter(counters.iter().map(|passed| passed.load(Ordering::Relaxed)));
    tokio::time::sleep(Duration::from_secs(20)).await;
    let before = seen();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let idle = seen().iter().zip(before).filter(|(now, before)| *now == before).count();
    assert_eq!(idle, 0);
}
