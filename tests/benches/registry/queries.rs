//! L, S and P over a full registry.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use p2p_node_tests::clock;
use p2p_node_tests::hostile::Member;
use tokio::task::JoinSet;
use wire::limits;
use wire::message::{List, ResourceQuery, Search};

use super::arguments::Arguments;
use super::fleet::{Fleet, bundle, user};
use super::names::{Names, Random};
use super::report;

/// Questions of each kind.
const QUESTIONS: usize = 2000;
/// Items on a page of a search: what a terminal shows.
const PAGE: u32 = 50;
/// How long everything is asked at once.
const MIXED_FOR: Duration = Duration::from_secs(10);

/// Makes a query.
type Query<'a> = &'a dyn Fn(&mut Random) -> String;

/// Searches of each kind, one after another.
pub(crate) async fn search(fleet: &Fleet, _arguments: &Arguments) {
    let member = &fleet.members[0];
    let owner = |random: &mut Random| user(&fleet.members[random.below(fleet.members.len())]);
    let kinds: [(&str, Query<'_>); 11] = [
        ("search: 3 letters from the middle of a word", &|random| random.word()[1..4].to_owned()),
        ("search: a word", &|random| random.word().to_owned()),
        ("search: 2 letters at the beginning", &|random| random.word()[..2].to_owned()),
        ("search: owner: with a word", &|random| format!("owner:{} {}", owner(random), random.word())),
        ("search: kind:file, which is everything", &|_| "kind:file".to_owned()),
        ("search: what no name has", &|random| format!("zq{:04x}", random.draw() as u16)),
        ("search: two words", &|random| format!("{} {}", random.word(), random.word())),
        ("search: -word", &|random| format!("{} -{}", random.word(), random.word())),
        ("search: a phrase", &|random| format!("\"{} {}\"", random.word(), random.word())),
        ("search: ext: with a word", &|random| format!("ext:pdf {}", random.word())),
        ("search: size: with a word", &|random| format!("size:>4000m {}", random.word())),
    ];
    for (what, query) in kinds {
        let mut random = Random(7);
        let mut times = Vec::with_capacity(QUESTIONS);
        let mut found = 0;
        for _ in 0..QUESTIONS {
            let search = Search { query: query(&mut random), limit: Some(PAGE), ..Search::default() };
            let asked = clock::monotonic();
            let page = member.client().search(search).await.expect(what);
            times.push(clock::monotonic() - asked);
            found += page.items.len();
        }
        report::latencies(&format!("{what} ({:.1} found)", found as f64 / QUESTIONS as f64), times);
    }
    locate(fleet).await;
}

/// P for resources whose publisher is online and answers no probe: the registry's part.
async fn locate(fleet: &Fleet) {
    let (asker, mut random) = (&fleet.members[0], Random(8));
    let list = List { limit: Some(1000), ..List::default() };
    let page = asker.client().list(list).await.expect("a page");
    let mut times = Vec::new();
    for _ in 0..QUESTIONS {
        let item = &page.items[random.below(page.items.len())];
        let query = ResourceQuery {
            // A version that it does not have: everything but the probes.
            version: Some(item.version + 1),
            ..ResourceQuery::latest(item.owner.clone(), item.name.clone())
        };
        let asked = clock::monotonic();
        asker.client().locate(query).await.expect_err("no such version");
        times.push(clock::monotonic() - asked);
    }
    report::latencies("P, up to the probes", times);
}

/// The whole list, page by page, while registrations go on: what was there before appears exactly once.
pub(crate) async fn list(fleet: &Fleet, arguments: &Arguments) {
    let stop = Arc::new(AtomicBool::new(false));
    let mut writer = JoinSet::new();
    writer.spawn(keep_registering(fleet.members[1].clone(), stop.clone()));
    let reader = fleet.members[0].client();
    let (mut cursor, mut seen, mut twice, mut times) = (None, HashSet::new(), 0, Vec::new());
    let began = clock::monotonic();
    loop {
        let list = List { limit: Some(limits::PAGE_ITEMS as u32), cursor: cursor.take(), ..List::default() };
        let asked = clock::monotonic();
        let page = reader.list(list).await.expect("a page");
        times.push(clock::monotonic() - asked);
        for item in page.items {
            twice += usize::from(!seen.insert((item.owner, item.name)));
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    report::rate("a whole list while registrations go on", seen.len(), clock::monotonic() - began);
    report::latencies("a page of 1,000 of it", times);
    stop.store(true, Ordering::Relaxed);
    let meanwhile: usize = writer.join_all().await.into_iter().sum();
    println!("  {} registered meanwhile; {twice} seen twice", meanwhile);
    assert_eq!(twice, 0, "each appears once");
    assert!(seen.len() >= arguments.resources, "{} of {} seen", seen.len(), arguments.resources);
}

async fn keep_registering(member: Arc<Member>, stop: Arc<AtomicBool>) -> usize {
    let mut random = Random(0x11f7);
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        member.client().register(vec![bundle(&member, &mut random)]).await.expect("registered");
        count += 1;
    }
    count
}

/// Everything at once: eight that search, four that list, four that register.
pub(crate) async fn mixed(fleet: &Fleet, _arguments: &Arguments) {
    let stop = Arc::new(AtomicBool::new(false));
    let mut searching = JoinSet::new();
    for (number, member) in fleet.members[..8].iter().enumerate() {
        searching.spawn(keep_searching(member.clone(), stop.clone(), Random(number as u64)));
    }
    let mut listing = JoinSet::new();
    for member in &fleet.members[8..12] {
        listing.spawn(keep_listing(member.clone(), stop.clone()));
    }
    let mut registering = JoinSet::new();
    for member in &fleet.members[12..16] {
        registering.spawn(keep_registering(member.clone(), stop.clone()));
    }
    tokio::time::sleep(MIXED_FOR).await;
    stop.store(true, Ordering::Relaxed);
    let searches = searching.join_all().await.concat();
    let lists = listing.join_all().await.concat();
    let registered = registering.join_all().await.into_iter().sum();
    report::rate("mixed: searches", searches.len(), MIXED_FOR);
    report::latencies("mixed: a search", searches);
    report::latencies("mixed: a page of a list", lists);
    report::rate("mixed: registrations", registered, MIXED_FOR);
}

async fn keep_searching(member: Arc<Member>, stop: Arc<AtomicBool>, mut random: Random) -> Vec<Duration> {
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let query =
            if random.below(2) == 0 { random.word()[1..4].to_owned() } else { random.word().to_owned() };
        let asked = clock::monotonic();
        let search = Search { query, limit: Some(PAGE), ..Search::default() };
        member.client().search(search).await.expect("answered");
        times.push(clock::monotonic() - asked);
    }
    times
}

async fn keep_listing(member: Arc<Member>, stop: Arc<AtomicBool>) -> Vec<Duration> {
    let (mut times, mut cursor) = (Vec::new(), None);
    while !stop.load(Ordering::Relaxed) {
        let asked = clock::monotonic();
        let page =
            member.client().list(List { cursor: cursor.take(), ..List::default() }).await.expect("a page");
        times.push(clock::monotonic() - asked);
        cursor = page.next;
    }
    times
}
