//! What is printed: times, traffic, memory, the machine's load.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use p2p_node_tests::{Fleet, Traffic, clock, wait_until};
use quinn::ConnectionStats;
use rustix::process::{Resource, getrlimit, setrlimit};

/// Over which it is seen whether the nodes rest.
const REST: Duration = Duration::from_secs(1);
/// After which they never will.
const PATIENCE: Duration = Duration::from_secs(300);

/// Prints how long something took.
pub(crate) fn took(what: &str, since: Instant) {
    println!("{what:<44} {:>8.1} s", (clock::monotonic() - since).as_secs_f64());
}

/// Prints the median, the 99th percentile and the largest of some times; the 99th percentile.
pub(crate) fn times(what: &str, mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let [p50, p99, max] = [50, 99, 100].map(|percent| of(&times, percent).unwrap_or_default());
    println!(
        "{what:<44} {:>8.2} s p50 {:>8.2} s p99 {:>8.2} s max  n={}",
        p50.as_secs_f64(),
        p99.as_secs_f64(),
        max.as_secs_f64(),
        times.len()
    );
    p99
}

fn of<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied()
}

/// Prints what this process has in memory, its threads and files, and the machine's load.
pub(crate) fn process() {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let number = |key: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the key");
        line.trim_start_matches(':')
            .split_whitespace()
            .next()
            .and_then(|word| word.parse().ok())
            .expect("a number")
    };
    let files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let load = fs::read_to_string("/proc/loadavg").expect("Linux");
    println!(
        "this process: {} MiB resident, {} threads, {files} files; load {}",
        number("VmRSS") / 1024,
        number("Threads"),
        load.trim()
    );
}

/// Lets this process have as many files open as the system allows.
pub(crate) fn allow_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the maximum");
}

/// What moved since a moment, at each node that runs.
pub(crate) struct Meter {
    began: Instant,
    cpu: Duration,
    traffic: Vec<Traffic>,
}

/// What each node sent and received, in bytes and datagrams for each second.
pub(crate) struct Rates {
    pub(crate) sent: Vec<f64>,
    pub(crate) received: Vec<f64>,
}

impl Meter {
    pub(crate) fn start(fleet: &Fleet) -> Self {
        let traffic = fleet.nodes.iter().map(|node| node.plug().traffic()).collect();
        Self { began: clock::monotonic(), cpu: cpu(), traffic }
    }

    /// Prints it; the rates of bytes.
    pub(crate) fn print(&self, what: &str, fleet: &Fleet) -> Rates {
        let seconds = (clock::monotonic() - self.began).as_secs_f64();
        let alive = fleet.alive();
        let moved: Vec<_> =
            alive.iter().map(|&number| fleet.nodes[number].plug().traffic() - self.traffic[number]).collect();
        println!("{what}: {seconds:.1} s, {:.1} s of CPU", (cpu() - self.cpu).as_secs_f64());
        let row = |name: &str, of_one: &dyn Fn(&Traffic) -> u64| {
            let mut all: Vec<_> = moved.iter().map(of_one).collect();
            all.sort_unstable();
            let [p50, max] = [50, 100].map(|percent| of(&all, percent).unwrap_or_default());
            println!(
                "  {name:<42} {p50:>10} p50 {max:>10} max  {:>9.1}/s p50 {:>9.1}/s max",
                p50 as f64 / seconds,
                max as f64 / seconds
            );
            all.iter().map(|count| *count as f64 / seconds).collect()
        };
        let sent = row("bytes sent by a node", &|one| one.sent_bytes);
        row("datagrams sent by a node", &|one| one.sent_packets);
        let received = row("bytes received by a node", &|one| one.received_bytes);
        row("datagrams received by a node", &|one| one.received_packets);
        Rates { sent, received }
    }
}

/// Waits until all of these nodes together use less than half of the processors.
pub(crate) async fn rest() {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let most = REST.mul_f64(processors as f64 / 2.0);
    wait_until(PATIENCE, "they rest", async || {
        let before = cpu();
        tokio::time::sleep(REST).await;
        let used = cpu() - before;
        if used < most { Ok(()) } else { Err(used) }
    })
    .await;
}

/// CPU time of this process.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<_> = stat.rsplit(')').next().expect("after the name").split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().map(|&field: &usize| fields[field].parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}

/// What moved on connections for messages, looked at often enough that what closes meanwhile is missed by little.
#[derive(Default)]
pub(crate) struct Messages {
    before: HashMap<(usize, usize), ConnectionStats>,
    last: HashMap<(usize, usize), ConnectionStats>,
}

impl Messages {
    pub(crate) fn start(fleet: &Fleet) -> Self {
        let mut this = Self::default();
        this.look(fleet);
        this.before = std::mem::take(&mut this.last);
        this
    }

    pub(crate) fn look(&mut self, fleet: &Fleet) {
        for number in fleet.alive() {
            let open = fleet.nodes[number].node().connections();
            self.last.extend(open.into_iter().map(|(id, stats)| ((number, id), stats)));
        }
    }

    /// Prints how much of what the nodes sent was for messages, and how much of that to keep connections alive.
    pub(crate) fn print(&self, fleet: &Fleet, seconds: f64) {
        let nodes = fleet.alive().len() as f64;
        let sum = |count: &dyn Fn(&ConnectionStats) -> u64| {
            let of_one = |(key, stats): (&(usize, usize), &ConnectionStats)| {
                count(stats) - self.before.get(key).map_or(0, count)
            };
            self.last.iter().map(of_one).sum::<u64>() as f64 / nodes / seconds
        };
        let datagrams = sum(&|stats| stats.udp_tx.datagrams);
        let bytes = sum(&|stats| stats.udp_tx.bytes) + 28.0 * datagrams;
        let (pings, streams) = (sum(&|stats| stats.frame_tx.ping), sum(&|stats| stats.frame_tx.stream));
        let open: usize =
            fleet.alive().iter().map(|number| fleet.nodes[*number].node().connections().len()).sum();
        println!(
            "  of these for messages, the mean node sends      {bytes:.1} bytes/s in {datagrams:.2} datagrams/s \
            ({pings:.2} pings, {streams:.2} stream frames), on {:.1} connections open, {:.1} in all",
            open as f64 / nodes,
            self.last.len() as f64 / nodes
        );
    }
}
