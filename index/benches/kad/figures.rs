//! One lookup, and the figures of many.

use std::sync::Arc;
use std::time::Duration;

use p2p_node_index::dht::Until;

use crate::harness::{Member, now};
use crate::heard::Heard;

/// How long requests that are on the way when a lookup ends have to be counted.
const LATE: Duration = Duration::from_millis(50);

/// The time of a query.
const QUERY: Duration = Duration::from_secs(30);

/// What one lookup did.
#[derive(Debug)]
pub(crate) struct Figure {
    found: bool,
    /// Zero where the asker had it itself.
    hops: usize,
    requests: usize,
    bytes: usize,
    took: Duration,
}

/// The figures of many.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Figure>);

impl Extend<Option<Figure>> for Figures {
    fn extend<T: IntoIterator<Item = Option<Figure>>>(&mut self, figures: T) {
        self.0.extend(figures.into_iter().flatten());
    }
}

/// Looks a record up. `None` if this node was just looking for it, or does not run any more.
pub(crate) async fn lookup(member: Arc<Member>, key: Vec<u8>, heard: &Heard) -> Option<Figure> {
    let known = member.dht.peers().await.ok()?;
    if !heard.begin(member.id, &key, known.into_iter().map(|(node, _)| node)) {
        return None;
    }
    let begun = now();
    let found = member.dht.get(key.clone(), Until::Agreed).await;
    let took = begun.elapsed();
    tokio::time::sleep(LATE).await;
    let lookup = heard.end(member.id, &key);
    let found = found.ok()?;
    let hops = lookup.hops.unwrap_or(0);
    Some(Figure { found: found.is_some(), hops, requests: lookup.requests, bytes: lookup.bytes, took })
}

impl Figures {
    pub(crate) fn print(&self, what: &str) {
        let all = self.0.len();
        let found: Vec<_> = self.0.iter().filter(|figure| figure.found).collect();
        let share = 100.0 * found.len() as f64 / all.max(1) as f64;
        println!("{what}: {} of {all} lookups found it, {share:.2} %", found.len());
        let late = self.0.iter().filter(|figure| !figure.found && figure.took >= QUERY).count();
        if found.len() < all {
            println!(
                "    of the others, {late} ran into the time of a query: this machine was too slow, or the dead too many"
            );
        }
        let print = |what: &str, number: &dyn Fn(&Figure) -> f64| {
            let mut numbers: Vec<_> = found.iter().map(|figure| number(figure)).collect();
            numbers.sort_by(f64::total_cmp);
            let Some(last) = numbers.last() else { return };
            let at = |percent: usize| numbers[(numbers.len() - 1) * percent / 100];
            let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
            println!(
                "    {what:<24} p50 {:>7.1}  p99 {:>7.1}  max {last:>7.1}  mean {mean:>7.2}",
                at(50),
                at(99)
            );
        };
        print("hops to the first copy", &|figure| figure.hops as f64);
        print("requests", &|figure| figure.requests as f64);
        print("KB both ways", &|figure| figure.bytes as f64 / 1e3);
        print("ms", &|figure| figure.took.as_secs_f64() * 1e3);
    }
}

/// What this process has in memory.
pub(crate) fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("unknown");
    format!("resident {}", line.trim())
}
