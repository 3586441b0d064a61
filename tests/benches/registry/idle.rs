//! Connections that ask nothing: what each costs, and how soon all are back after the index was killed.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use p2p_node_tests::hostile::{Member, Stranger};
use p2p_node_tests::{Programs, clock};
use quinn::Connection;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinSet;
use wire::limits;
use wire::message::List;

use super::arguments::Arguments;
use super::fleet::Fleet;
use super::report;
use p2p_node_tests::Random;

/// The argument by which this program is only a QUIC server that holds connections.
pub(crate) const RAW_SERVER: &str = "raw-quinn-server";
/// How long the CPU time is measured.
const IDLE_FOR: Duration = Duration::from_secs(60);
/// Between attempts to reach the index: a random part of this, doubling up to ten seconds, as a node does.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

pub(crate) async fn measure(programs: &mut Programs, fleet: &Fleet, arguments: &Arguments) {
    let members = &fleet.members[..arguments.idle.min(fleet.members.len())];
    let before = count(&members[0].client()).await;
    let lost: Vec<_> = members.iter().map(|member| member.index().clone()).collect();
    programs.index.kill_9().await;
    programs.index.start_again().await;
    let (began, bare) = (clock::monotonic(), report::kib(&programs.index, "VmRSS"));
    let back = reconnect(members, lost, programs.index.address()).await;
    report::latencies(
        "from the index's start until a peer is back",
        back.iter().map(|(at, _)| *at - began).collect(),
    );
    let full = report::kib(&programs.index, "VmRSS");
    each("index", full.saturating_sub(bare), members.len());
    let after = count(&index::IndexClient::new(back[0].1.clone())).await;
    assert_eq!(before, after, "what was registered is there");
    println!("  {after} resources before and after");
    let used = report::cpu(&programs.index);
    tokio::time::sleep(IDLE_FOR).await;
    let used = report::cpu(&programs.index) - used;
    println!(
        "{:<56} {used:?} of CPU in {IDLE_FOR:?}",
        format!("index with {} idle connections", members.len())
    );
    raw(members.len()).await;
}

fn each(what: &str, kib: u64, connections: usize) {
    println!(
        "{:<56} {:>8.1} KiB",
        format!("{what}: memory for each connection"),
        kib as f64 / connections as f64
    );
}

/// Waits until each has noticed that its connection is gone, and is let in again; when that was.
async fn reconnect(
    members: &[Arc<Member>],
    lost: Vec<Connection>,
    index: SocketAddr,
) -> Vec<(std::time::Instant, Connection)> {
    let mut reconnecting = JoinSet::new();
    for (number, (member, old)) in members.iter().cloned().zip(lost).enumerate() {
        reconnecting.spawn(async move {
            old.closed().await;
            let (mut random, mut pause) = (Random(number as u64), FIRST_PAUSE);
            loop {
                tokio::time::sleep(pause.mul_f64(random.below(1000) as f64 / 1000.0)).await;
                match member.try_connect(index).await {
                    Ok(connection) => return (clock::monotonic(), connection),
                    Err(_) => pause = (pause * 2).min(LONGEST_PAUSE),
                }
            }
        });
    }
    reconnecting.join_all().await
}

/// How many resources there are.
async fn count(index: &index::IndexClient) -> usize {
    let (mut cursor, mut count) = (None, 0);
    loop {
        let list = List { limit: Some(limits::PAGE_ITEMS as u32), cursor: cursor.take(), ..List::default() };
        let page = index.list(list).await.expect("a page");
        count += page.items.len();
        match page.next {
            Some(next) => cursor = Some(next),
            None => return count,
        }
    }
}

/// The same number of connections to a server that is quinn and nothing else.
async fn raw(connections: usize) {
    let program = std::env::current_exe().expect("this program");
    let mut child = tokio::process::Command::new(program)
        .arg(RAW_SERVER)
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("started");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).await.expect("read");
    let address: SocketAddr = line.trim().parse().expect("an address");
    let pid = child.id().expect("it runs");
    let bare = report::kib_of(pid, "VmRSS");
    let socket = Stranger::new(Ipv4Addr::LOCALHOST);
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(socket.beside().dial(address).await);
    }
    each("raw quinn", report::kib_of(pid, "VmRSS").saturating_sub(bare), connections);
}

/// Accepts connections and holds them until it is killed.
pub(crate) async fn raw_server() {
    let stranger = Stranger::new(Ipv4Addr::LOCALHOST);
    println!("{}", stranger.address());
    let mut held = Vec::new();
    while let Some(incoming) = stranger.endpoint().accept().await {
        held.extend(incoming.await);
    }
}
