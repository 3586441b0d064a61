//! Printing: rates, latencies, memory.

use std::fs;
use std::time::Duration;

use p2p_node_tests::TestProcess;

/// Prints the median, the 99th percentile and the largest of some times.
pub(crate) fn latencies(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let Some(last) = times.last() else { return println!("{what:<56} nothing was measured") };
    let at = |percent: usize| milliseconds(times[(times.len() - 1) * percent / 100]);
    println!(
        "{what:<56} p50 {:>8.3} ms  p99 {:>8.3} ms  max {:>8.3} ms  n={}",
        at(50),
        at(99),
        milliseconds(*last),
        times.len()
    );
}

/// Prints so many in so long.
pub(crate) fn rate(what: &str, count: usize, took: Duration) {
    let seconds = took.as_secs_f64();
    println!("{what:<56} {:>8.0} /s  ({count} in {seconds:.2} s)", count as f64 / seconds);
}

/// Prints what a daemon has in memory.
pub(crate) fn process(what: &str, process: &TestProcess) {
    println!(
        "{what:<56} {:>8.1} MiB resident, {:.1} MiB at its peak",
        kib(process, "VmRSS") as f64 / 1024.0,
        kib(process, "VmHWM") as f64 / 1024.0
    );
}

/// Prints how large the index's database is.
pub(crate) fn database(process: &TestProcess) {
    let size = |name: &str| fs::metadata(process.home().join(name)).map_or(0, |found| found.len());
    println!(
        "{:<56} {:>8.1} MB, and {:.1} MB of log",
        "index.db",
        size("index.db") as f64 / 1e6,
        size("index.db-wal") as f64 / 1e6
    );
}

/// A number of KiB of `/proc/<pid>/status`.
pub(crate) fn kib(process: &TestProcess, key: &str) -> u64 {
    kib_of(process.id(), key)
}

/// The same of any process.
pub(crate) fn kib_of(process: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the key");
    let number = line.trim_start_matches(':').split_whitespace().next().expect("a number");
    number.parse().expect("a number")
}

/// The CPU time that a daemon has used, user and system.
pub(crate) fn cpu(process: &TestProcess) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).expect("Linux");
    let fields: Vec<_> = stat.rsplit(')').next().expect("after the name").split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().map(|&field: &usize| fields[field].parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
