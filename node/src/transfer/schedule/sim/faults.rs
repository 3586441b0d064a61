//! Downloads from holders that die, stall, lie, join late, are busy, or have only a part.

use super::super::{Action, Availability, Config, DropReason, HolderId, Scheduler};
use super::*;

/// Sizes at which something changes.
const SIZES: [u64; 7] = [0, 1, 100, 20 * KIB, MIB, 20 * MIB, 70 * MIB];

/// A holder that is there to the end, and to be relied on: 2 to 128 Mbit/s, 1 to 200 ms.
fn steady(rng: &mut Rng) -> Spec {
    let rate = (rng.unit() * 6.0).exp2() * 2.0 * MBIT;
    Spec { interleaves: rng.chance(0.3), ..Spec::new(rate, ms(rng.between(1, 200))) }
}

/// The same with one more fault, which shows while the download `lasts`.
fn fault(rng: &mut Rng, spec: Spec, count: u32, lasts: Duration) -> Spec {
    let when = lasts.mul_f64(rng.unit());
    match rng.between(0, 8) {
        0 => Spec { dies: Some((when, Death::Closed)), ..spec },
        1 => Spec { dies: Some((when, Death::Silent)), ..spec },
        2 => Spec { lies: rng.unit() * 0.1, ..spec },
        3 => Spec { joins: when, ..spec },
        4 => Spec { busy: rng.unit(), ..spec },
        5 => Spec { resets: rng.unit(), ..spec },
        6 => {
            let stall = ms(rng.between(100, 30_000));
            Spec { stalls: vec![when..when + stall], ..spec }
        }
        7 => Spec { turns: Some((when, spec.rate / rng.between(2, 100) as f64)), ..spec },
        _ => partial(rng, spec, count, lasts),
    }
}

fn partial(rng: &mut Rng, spec: Spec, count: u32, lasts: Duration) -> Spec {
    let first = rng.ranges(count, 0.3);
    let mut more = first.clone();
    more.extend(rng.ranges(count, 0.3));
    let grows = vec![(spec.joins + lasts.mul_f64(rng.unit()), more)];
    Spec { availability: Availability::Ranges(first), grows, ..spec }
}

/// A steady holder and up to six with one or two faults.
fn company(rng: &mut Rng, size: u64, count: u32) -> Vec<Spec> {
    let mut specs = vec![steady(rng)];
    let lasts = alone(size, &specs[0]);
    for _ in 0..rng.between(0, 6) {
        let spec = steady(rng);
        let spec = fault(rng, spec, count, lasts);
        specs.push(if rng.chance(0.3) { fault(rng, spec, count, lasts) } else { spec });
    }
    specs
}

/// How long one holder needs for so much.
fn alone(size: u64, spec: &Spec) -> Duration {
    spec.round_trip + Duration::from_secs_f64(size as f64 / spec.rate)
}

#[test]
fn it_ends_whatever_happens_to_all_but_one() {
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let size = SIZES[rng.between(0, 6) as usize];
        let chunks = file(&mut rng, size, average(size));
        let specs = company(&mut rng, size, chunks.len());
        let alone = alone(size, &specs[0]);
        let outcome = run(rng, chunks, specs);
        // Bad company costs something, but not much, and never for long.
        assert!(outcome.finished <= alone.mul_f64(1.3) + ms(2000), "{seed}: {alone:?} {outcome:?}");
        assert!(outcome.longest_gap <= ms(2000), "{seed}: {outcome:?}");
        if size >= 64 * MIB {
            assert!(outcome.wasted_bytes < size * 3 / 100, "{seed}: {outcome:?}");
        }
    }
}

#[test]
fn partial_holders_that_have_everything_together_are_enough() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let chunks = file(&mut rng, 20 * MIB, average(20 * MIB));
        let count = rng.between(2, 8) as usize;
        let mut parts: Vec<_> = (0..count).map(|_| rng.ranges(chunks.len(), 0.4)).collect();
        for chunk in 0..chunks.len() {
            if !parts.iter().flatten().any(|range| range.contains(&chunk)) {
                parts[rng.between(0, count as u64 - 1) as usize].push(chunk..chunk + 1);
            }
        }
        let with = |rng: &mut Rng, part| Spec { availability: Availability::Ranges(part), ..steady(rng) };
        let specs = parts.into_iter().map(|part| with(&mut rng, part)).collect();
        run(rng, chunks, specs);
    }
}

#[test]
fn what_only_one_has_is_fetched_from_it_first() {
    for seed in 0..5 {
        let mut rng = Rng::new(seed);
        let size = 64 * MIB;
        let chunks = file(&mut rng, size, average(size));
        let half = chunks.len() / 2;
        let whole = Spec::new(50.0 * MBIT, ms(50));
        let first_half = Availability::Ranges(vec![0..half]);
        let part = Spec { availability: first_half, ..whole.clone() };
        let outcome = run(rng, chunks, vec![part, whole]);
        let ideal = size as f64 / (100.0 * MBIT);
        assert!(ideal / outcome.finished.as_secs_f64() > 0.95, "{outcome:?}");
    }
}

#[test]
fn a_holder_killed_in_the_middle_is_made_up_for() {
    let (size, rate) = (128 * MIB, 100.0 * MBIT);
    let ideal = size as f64 / (3.0 * rate);
    for seed in 0..20 {
        for how in [Death::Silent, Death::Closed] {
            let mut rng = Rng::new(seed);
            let chunks = file(&mut rng, size, average(size));
            let at = ideal * (seed as f64 + 0.5) / 20.0;
            let whole = Spec::new(rate, ms(50));
            let dies = Spec { dies: Some((Duration::from_secs_f64(at), how)), ..whole.clone() };
            let outcome = run(rng, chunks, vec![whole.clone(), dies, whole]);
            let left = (size as f64 - at * 3.0 * rate) / (2.0 * rate);
            let best = Duration::from_secs_f64(at + left);
            assert!(outcome.longest_gap <= ms(500), "{how:?} at {at}: {outcome:?}");
            assert!(outcome.finished <= best + ms(1000), "{how:?} at {at}: {best:?} {outcome:?}");
            assert!(outcome.wasted_bytes < size * 3 / 100, "{how:?} at {at}: {outcome:?}");
        }
    }
}

#[test]
fn a_silent_holder_beside_a_good_one_is_demoted_and_dropped() {
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let chunks = file(&mut rng, 128 * MIB, average(128 * MIB));
        let good = Spec { interleaves: rng.chance(0.5), ..Spec::new(20.0 * MBIT, ms(50)) };
        let at = ms(rng.between(0, 3000));
        let silent = Spec { dies: Some((at, Death::Silent)), ..good.clone() };
        let outcome = run(rng, chunks, vec![good, silent]);
        let id = HolderId(1);
        // What was under way still comes.
        let demoted = outcome.demoted.get(&id).copied();
        assert!(
            demoted.is_some_and(|demoted| demoted <= at + ms(2200)),
            "{seed}: silent at {at:?}: {outcome:?}"
        );
        let dropped = outcome.dropped.iter().find(|(_, holder, _)| *holder == id);
        let by = at + ms(20_500);
        assert!(
            dropped.is_some_and(|&(when, _, reason)| reason == DropReason::Silent && when <= by),
            "{seed}: silent at {at:?}: {outcome:?}"
        );
        assert_eq!(outcome.demoted.len(), 1, "{seed}: {outcome:?}");
    }
}

#[test]
fn a_holder_is_not_out_while_its_request_waits_to_be_sent() {
    let chunks = file(&mut Rng::new(0), 20 * MIB, MIB);
    let mut scheduler = Scheduler::new(chunks, Vec::<Range<u32>>::new(), Config::default());
    let id = HolderId(0);
    assert!(scheduler.holder_joined(Duration::ZERO, id, Availability::All));
    let requests: Vec<_> = std::iter::from_fn(|| scheduler.next_request(Duration::ZERO)).collect();
    for second in 1..60 {
        let now = Duration::from_secs(second);
        requests.iter().for_each(|request| scheduler.request_waits(now, request.id));
        assert_eq!(scheduler.tick(now), []);
        assert!(scheduler.next_deadline().is_some_and(|at| at > now));
    }
    // It is sent, and nothing comes.
    let actions = scheduler.tick(Duration::from_secs(62));
    assert_eq!(actions.last(), Some(&Action::DropHolder(id, DropReason::Silent)));
}

#[test]
fn a_holder_that_our_own_limit_slows_is_neither_silent_nor_doubted() {
    let chunks = file(&mut Rng::new(0), 20 * MIB, MIB);
    let mut scheduler = Scheduler::new(chunks, Vec::<Range<u32>>::new(), Config::default());
    let ids = [HolderId(0), HolderId(1)];
    for id in ids {
        assert!(scheduler.holder_joined(Duration::ZERO, id, Availability::All));
    }
    let requests: Vec<_> = std::iter::from_fn(|| scheduler.next_request(Duration::ZERO)).collect();
    // A little is taken every 10 s; meanwhile each is held.
    for tick in 1..600 {
        let now = ms(100 * tick);
        for request in &requests {
            if tick % 100 == 1 {
                scheduler.bytes_arrived(now, request.id, KIB);
            }
            scheduler.request_held(now, request.id);
        }
        assert_eq!(scheduler.tick(now), [], "{now:?}");
        assert_eq!(scheduler.next_request(now), None, "nothing is taken over or asked twice: {now:?}");
        assert!(scheduler.holders(now).all(|(_, stats)| !stats.demoted), "{now:?}");
    }
    // Held no more, and nothing comes: then it is silent.
    assert_eq!(scheduler.tick(ms(62_000)), []);
    assert!(scheduler.holders(ms(62_000)).all(|(_, stats)| stats.demoted));
    let actions = scheduler.tick(ms(81_000));
    for id in ids {
        assert!(actions.contains(&Action::DropHolder(id, DropReason::Silent)), "{actions:?}");
    }
}
