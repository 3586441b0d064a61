//! Downloads from holders that die, stall, lie, join late, are busy, or have only a part.

use super::super::Availability;
use super::*;

/// A holder that is there to the end, and to be relied on.
fn steady(rng: &mut Rng) -> Spec {
    let rate = (rng.unit() * 6.0).exp2() * 2.0 * MBIT;
    Spec { interleaves: rng.chance(0.3), ..Spec::new(rate, ms(rng.between(1, 200))) }
}

/// A holder with some fault.
fn faulty(rng: &mut Rng, count: u32, lasts: Duration) -> Spec {
    let spec = steady(rng);
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
    let grows = vec![(lasts.mul_f64(rng.unit()), more)];
    Spec { availability: Availability::Ranges(first), grows, ..spec }
}

/// How long these bytes take, with all holders at their best.
fn ideal(size: u64, specs: &[Spec]) -> Duration {
    Duration::from_secs_f64(size as f64 / specs.iter().map(|spec| spec.rate).sum::<f64>())
}

#[test]
fn it_ends_whatever_happens_to_all_but_one() {
    for seed in 0..150 {
        let mut rng = Rng::new(seed);
        let size = [1, 100, 20 * KIB, MIB, 20 * MIB, 100 * MIB][rng.between(0, 5) as usize];
        let chunks = file(&mut rng, size, average(size));
        let mut specs = vec![steady(&mut rng)];
        let lasts = ideal(size, &specs);
        for _ in 0..rng.between(0, 6) {
            specs.push(faulty(&mut rng, chunks.len(), lasts));
        }
        let alone = ideal(size, &specs[..1]);
        let outcome = run(rng, chunks, specs.clone());
        eprintln!("{seed} {size} {} {alone:?} {outcome:?}", specs.len());
    }
}
