//! How well holders of different rates are used.

use super::*;

/// Downloads `size` bytes from complete holders of these rates, and returns the part of their joint rate that was used.
fn efficiency(seed: u64, size: u64, rates: &[f64], round_trip: Duration) -> (f64, Outcome) {
    let mut rng = Rng::new(seed);
    let chunks = file(&mut rng, size, average(size));
    let specs = rates.iter().map(|&rate| Spec::new(rate, round_trip)).collect();
    let outcome = run(rng, chunks, specs);
    let ideal = size as f64 / rates.iter().sum::<f64>();
    (ideal / outcome.finished.as_secs_f64(), outcome)
}

/// As many bytes as these holders deliver in 6 seconds.
fn six_seconds(rates: &[f64]) -> u64 {
    (rates.iter().sum::<f64>() * 6.0) as u64
}

#[test]
fn the_sum_of_the_rates_is_used() {
    let mixes: [&[f64]; 6] = [
        &[100.0],
        &[100.0; 2],
        &[100.0; 3],
        &[200.0, 50.0, 10.0],
        &[400.0, 30.0, 3.0, 0.3],
        &[10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0, 20.0, 21.0],
    ];
    for rates in mixes {
        for unit in [MBIT, 8.0 * MBIT] {
            let rates: Vec<f64> = rates.iter().map(|rate| rate * unit).collect();
            let (efficiency, outcome) = efficiency(1, six_seconds(&rates), &rates, ms(50));
            assert!(efficiency >= 0.95, "{rates:?}: {efficiency} {outcome:?}");
            let size = six_seconds(&rates) as f64;
            assert!((outcome.wasted_bytes as f64) < 0.03 * size, "{rates:?}: {outcome:?}");
        }
    }
}

#[test]
fn equal_holders_share_the_work() {
    for seed in 0..5 {
        let rates = [50.0 * MBIT; 2];
        let (_, outcome) = efficiency(seed, 64 * MIB, &rates, ms(5 + 30 * seed));
        assert!(outcome.installed_bytes.iter().all(|bytes| *bytes >= 16 * MIB), "{outcome:?}");
    }
}

#[test]
fn any_mix_of_rates_and_latencies_is_used() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let mut spec = || {
            let rate = (rng.unit() * 6.0).exp2() * 4.0 * MBIT;
            Spec { interleaves: rng.chance(0.5), ..Spec::new(rate, ms(rng.between(1, 150))) }
        };
        let specs: Vec<Spec> = (0..=seed % 12).map(|_| spec()).collect();
        let rates: Vec<f64> = specs.iter().map(|spec| spec.rate).collect();
        let size = six_seconds(&rates);
        let chunks = file(&mut rng, size, average(size));
        let outcome = run(rng, chunks, specs);
        let efficiency = 6.0 / outcome.finished.as_secs_f64();
        assert!(efficiency >= 0.92, "{efficiency} {outcome:?}");
        assert!(outcome.wasted_bytes < size * 3 / 100, "{outcome:?}");
    }
}

#[test]
fn what_is_done_grows_from_the_front() {
    let rates = [200.0 * MBIT, 50.0 * MBIT, 10.0 * MBIT];
    let (_, outcome) = efficiency(1, 512 * MIB, &rates, ms(50));
    // The slowest needs four seconds for what it was asked before its rate was known; then each is within a second or two.
    assert!(outcome.longest_tail_bytes < 140 * MIB, "{outcome:?}");
}
