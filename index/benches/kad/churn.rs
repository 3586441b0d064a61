//! Nodes that die and come while others look up.

use std::time::Duration;

use tokio::task::JoinSet;

use super::figures::{Figure, Figures, lookup, memory};
use super::{Arguments, Network, now};

/// How often somebody looks something up.
const LOOKUP_EVERY: Duration = Duration::from_millis(100);

/// The script follows from the seed: who dies, who asks for what, by whom a newcomer joins.
pub(crate) async fn run(mut network: Network, arguments: &Arguments) {
    let size = network.members.len();
    let minute = Duration::from_mins(1);
    let change_every = minute.div_f64(size as f64 * arguments.churn / 100.0);
    let (mut changes, mut lookups) =
        (tokio::time::interval(change_every), tokio::time::interval(LOOKUP_EVERY));
    let (mut joining, mut looking) = (JoinSet::new(), JoinSet::new());
    let mut figures = Figures::default();
    let (mut died, mut number) = (0, size as u64);
    let begun = now();
    while begun.elapsed() < minute.mul_f64(arguments.minutes) {
        tokio::select! {
            _ = changes.tick() => {
                let dying = network.members.swap_remove(network.random.below(network.members.len()));
                network.common.memory.kill(dying.id);
                died += 1;
                joining.spawn(network.start(number));
                number += 1;
            }
            _ = lookups.tick() => {
                let asker = network.members[network.random.below(network.members.len())].clone();
                let key = network.keys[network.random.below(network.keys.len())].clone();
                let heard = network.heard.clone();
                looking.spawn(async move {
                    let (id, asking) = (asker.id, asker.clone());
                    let figure = lookup(asking, key, &heard).await;
                    (id, figure)
                });
            }
            Some(joined) = joining.join_next() => network.members.push(joined.expect("no panic")),
            Some(looked) = looking.join_next() => take(&network, &mut figures, looked.expect("no panic")),
        }
    }
    while let Some(looked) = looking.join_next().await {
        take(&network, &mut figures, looked.expect("no panic"));
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{died} of {size} nodes died and as many came in {seconds:.0} s; {}", memory());
    figures.print(&format!("{size} nodes, {} % churn a minute", arguments.churn));
    if let Some(member) = network.members.first() {
        println!("    one of them: {:?}", member.dht.status().await);
    }
}

/// Counts a lookup, unless the asker died meanwhile: then nobody was there to be answered.
fn take(network: &Network, figures: &mut Figures, (id, figure): (certs::NodeId, Option<Figure>)) {
    if network.common.memory.address_of(id).is_some() {
        figures.extend([figure]);
    }
}
