//! Pages of a tree, under a head that says how much is in it.

use std::collections::{HashMap, HashSet};

use wire::TreeHash;
use wire::catalogue::{CataloguePage, TreeKind, Walk};

use crate::manifest::split;

/// Pages that are asked for at once.
const AT_ONCE: usize = 3;

/// Takes the input for a kind, how much is said to be in the tree, and pages, each after its length in two bytes, of which the
/// last is the root; walks the tree as its pages come.
///
/// # Panics
/// Where a page is asked for twice, or where a tree that is accepted does not hold what is said.
pub fn walk(input: &[u8]) {
    let Some((&[kind, high, low], rest)) = input.split_first_chunk() else { return };
    let kinds = [TreeKind::Records, TreeKind::Held, TreeKind::Members, TreeKind::Revoked];
    let (kind, count) = (kinds[usize::from(kind % 4)], u64::from(u16::from_be_bytes([high, low])));
    let pages = split(rest);
    let by_hash: HashMap<_, _> = pages.iter().map(|page| (TreeHash::of(page), *page)).collect();
    let root = pages.last().map(|page| TreeHash::of(page));
    let mut walk = Walk::new(kind, root, count);
    let (mut asked, mut items, mut again) = (HashSet::new(), 0, false);
    loop {
        let wanted = walk.next(AT_ONCE);
        if wanted.is_empty() {
            break;
        }
        for hash in wanted {
            assert!(asked.insert(hash) || again, "{hash} is asked for twice");
            let Some(page) = by_hash.get(&hash) else {
                // Once more, and then nobody has it.
                if !std::mem::replace(&mut again, true) {
                    walk.again(hash);
                }
                continue;
            };
            let Ok(page) = walk.came(hash, page) else { return };
            items += page.items() as u64;
            assert!(items <= count, "more than is said");
            assert!(matches!(page, CataloguePage::Pages(_)) || page.leaf() == Some(kind));
        }
    }
    let whole = asked.iter().all(|hash| by_hash.contains_key(hash));
    assert_eq!(walk.finish().is_ok(), whole && items == count);
}
