use std::collections::HashMap;

use certs::{AccountId, SecretKey, UnixMillis};
use proptest::prelude::*;
use serde_bytes::ByteBuf;

use super::page::{Hashes, RecordsLeaf};
use super::*;
use crate::hash::{ContentHash, TreeHash};
use crate::limits;

type Pages = HashMap<TreeHash, Vec<u8>>;

fn built(build: impl FnOnce(&mut TreeBuilder)) -> (Option<TreeHash>, Pages) {
    let mut builder = TreeBuilder::new();
    build(&mut builder);
    let (root, pages) = builder.finish();
    (root, pages.into_iter().collect())
}

fn record(name: &str, bytes: usize) -> CatalogueRecord {
    let record = ByteBuf::from(name.as_bytes().iter().copied().cycle().take(bytes).collect::<Vec<_>>());
    CatalogueRecord { record, receipt: Some(ByteBuf::from([7; 200])) }
}

fn records(names: &[String], bytes: usize, certificates: usize) -> (Option<TreeHash>, Pages) {
    let certificates: Vec<_> = (0..certificates.max(1)).map(|one| vec![one as u8; 300]).collect();
    let items = names.iter().enumerate().map(|(at, name)| {
        let certificate = &certificates[at % certificates.len()];
        (name.as_str(), record(name, bytes), Some(&certificate[..]))
    });
    built(|builder| build_records(builder, items.collect::<Vec<_>>()))
}

/// Reads a tree from its pages; what its leaves hold, in order.
fn read(
    kind: TreeKind,
    root: Option<TreeHash>,
    count: u64,
    pages: &Pages,
) -> Result<Vec<CataloguePage>, TreeError> {
    let mut walk = Walk::new(kind, root, count);
    let mut leaves = Vec::new();
    loop {
        let wanted = walk.next(1);
        let Some(hash) = wanted.first() else { break };
        let page = walk.came(*hash, &pages[hash])?;
        if page.leaf().is_some() {
            leaves.push(page);
        }
    }
    walk.finish().map(|()| leaves)
}

fn names(count: usize) -> Vec<String> {
    let mut names: Vec<_> = (0..count).map(|at| format!("file {at}.txt")).collect();
    names.sort();
    names
}

#[test]
fn a_tree_gives_back_what_was_put_in() {
    for count in [0, 1, 2, 40, 3000] {
        let names = names(count);
        let (root, pages) = records(&names, 350, 3);
        assert!(pages.values().all(|page| page.len() <= limits::TREE_PAGE_BYTES));
        let leaves = read(TreeKind::Records, root, count as u64, &pages).expect("it is whole");
        let found: Vec<_> = leaves
            .into_iter()
            .flat_map(|leaf| match leaf {
                CataloguePage::Records(leaf) => leaf.records,
                other => panic!("{other:?}"),
            })
            .collect();
        let put: Vec<_> = names.iter().map(|name| record(name, 350)).collect();
        assert_eq!(found, put);
    }
}

#[test]
fn a_change_changes_few_pages() {
    let mut names = names(20_000);
    let (_, before) = records(&names, 350, 1);
    names.remove(9_000);
    names.insert(100, "file 1000new.txt".to_owned());
    names.sort();
    let (_, after) = records(&names, 350, 1);
    let new = after.keys().filter(|hash| !before.contains_key(hash)).count();
    assert!(before.len() > 700, "{}", before.len());
    assert!(new <= 12, "{new} of {}", after.len());
}

#[test]
fn the_largest_items_fit() {
    let names = names(50);
    let (root, pages) = records(&names, limits::RECORD_BYTES, 50);
    assert!(pages.values().all(|page| page.len() <= limits::TREE_PAGE_BYTES));
    assert!(read(TreeKind::Records, root, 50, &pages).is_ok());
    let longest: certs::UserName = "u".repeat(32).parse().expect("a name");
    let members = (0..=255_u8).map(|seed| MemberEntry {
        node: SecretKey::from_seed([seed; 32]).public(),
        account: AccountId::from_bytes([255; 16]),
        user: longest.clone(),
        serial: u64::MAX,
    });
    let members: Vec<_> = members.collect();
    let (root, pages) = built(|builder| build_members(builder, members));
    assert!(pages.values().all(|page| page.len() <= limits::TREE_PAGE_BYTES));
    assert!(read(TreeKind::Members, root, 256, &pages).is_ok());
    let revoked: Vec<_> = (0..=255_u8)
        .map(|seed| Revoked {
            node: SecretKey::from_seed([seed; 32]).public(),
            serial: u64::MAX,
            since: UnixMillis(u64::MAX),
        })
        .collect();
    let (root, pages) = built(|builder| build_revoked(builder, revoked));
    assert!(pages.values().all(|page| page.len() <= limits::TREE_PAGE_BYTES));
    assert!(read(TreeKind::Revoked, root, 256, &pages).is_ok());
}

#[test]
fn contents_alone_make_a_tree() {
    let mut contents: Vec<_> = (0..5000_u32).map(|at| ContentHash::of(&at.to_be_bytes())).collect();
    contents.sort();
    let (root, pages) = built(|builder| build_held(builder, contents.iter().copied()));
    let leaves = read(TreeKind::Held, root, 5000, &pages).expect("it is whole");
    let found: Vec<_> = leaves
        .into_iter()
        .flat_map(|leaf| match leaf {
            CataloguePage::Held(hashes) => hashes.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(found, contents);
}

#[test]
fn trees_that_lie_are_refused() {
    let names = names(3000);
    let (root, pages) = records(&names, 350, 1);
    assert_eq!(read(TreeKind::Held, root, 3000, &pages), Err(TreeError::OtherKind));
    assert_eq!(read(TreeKind::Records, root, 2999, &pages), Err(TreeError::TooLarge));
    assert_eq!(read(TreeKind::Records, root, 3001, &pages), Err(TreeError::TooSmall));
    // A chain of branches that never comes to a leaf.
    let mut chain = HashMap::new();
    let mut below = TreeHash::of(b"nothing");
    for _ in 0..40 {
        let bytes = CataloguePage::Pages(Hashes(vec![below, TreeHash::of(below.as_bytes())])).encode();
        below = TreeHash::of(&bytes);
        chain.insert(below, bytes);
    }
    let mut walk = Walk::new(TreeKind::Records, Some(below), 100_000);
    let refused = (0..40).find_map(|_| {
        let hash = walk.next(1)[0];
        walk.came(hash, &chain[&hash]).err()
    });
    assert_eq!(refused, Some(TreeError::TooLarge));
}

#[test]
fn pages_of_too_little_are_refused() {
    let one = CataloguePage::Pages(Hashes(vec![TreeHash::of(b"1")]));
    assert!(CataloguePage::decode(&one.encode()).is_err());
    let none = CataloguePage::Records(RecordsLeaf::default());
    assert!(CataloguePage::decode(&none.encode()).is_err());
    let mut bytes = CataloguePage::Held(Hashes(vec![ContentHash::of(b"1")])).encode();
    assert!(CataloguePage::decode(&bytes).is_ok());
    bytes.push(0);
    assert!(CataloguePage::decode(&bytes).is_err());
}

#[test]
fn a_page_that_did_not_come_is_asked_again() {
    let mut walk = Walk::new(TreeKind::Held, Some(TreeHash::of(b"root")), 1);
    assert_eq!(walk.next(9), [TreeHash::of(b"root")]);
    assert!(walk.next(9).is_empty() && !walk.is_done());
    walk.again(TreeHash::of(b"root"));
    assert_eq!(walk.next(9), [TreeHash::of(b"root")]);
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = CataloguePage::decode(&bytes);
    }
}
