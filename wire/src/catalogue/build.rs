//! Trees are built from what is in them alone: two who have the same have the same pages, and a change in one place changes
//! the page around it and those above.

use serde_bytes::ByteBuf;

use super::page::{CataloguePage, CatalogueRecord, Hashes, MemberEntry, RecordsLeaf, Revoked};
use crate::hash::{ContentHash, TreeHash};
use crate::limits::TREE_PAGE_BYTES;

/// What the encoding of a page has besides its items: the maps, their keys, and the lengths.
const OVERHEAD: usize = 64;
/// A leaf goes on below this, whatever its items say.
const LEAST_BYTES: usize = 2 << 10;
/// A leaf ends after an item of whose hash so many bits are zero: on average after 16.
const LEAF_MASK: u8 = 0x0f;
/// Hashes in a page of nothing but hashes, at most; and where it may end.
const MOST_HASHES: usize = (TREE_PAGE_BYTES - OVERHEAD) / 32;
const LEAST_HASHES: usize = 32;
/// Hashes are their own hash: a page of them ends after one with so many zero bits, on average 128 after the least.
const HASH_MASK: u8 = 0x7f;

/// Takes leaves from left to right, and puts the branches above them.
#[derive(Debug, Default)]
pub struct TreeBuilder {
    /// For each level the hashes that are in no page yet.
    levels: Vec<Vec<TreeHash>>,
    pages: Vec<(TreeHash, Vec<u8>)>,
}

impl TreeBuilder {
    /// Of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a leaf.
    pub fn leaf(&mut self, page: &CataloguePage) {
        let hash = self.page(page);
        self.add(0, hash);
    }

    /// Takes the pages that were finished meanwhile: a large tree need not be in memory.
    pub fn take_pages(&mut self) -> Vec<(TreeHash, Vec<u8>)> {
        std::mem::take(&mut self.pages)
    }

    /// Ends the tree: its root, `None` where it has no leaf, and the pages that were not taken.
    pub fn finish(mut self) -> (Option<TreeHash>, Vec<(TreeHash, Vec<u8>)>) {
        let mut level = 0;
        while level < self.levels.len() {
            let rest = std::mem::take(&mut self.levels[level]);
            let above = self.levels[level + 1..].iter().any(|hashes| !hashes.is_empty());
            match (&rest[..], above) {
                ([], _) => {}
                ([root], false) => return (Some(*root), self.pages),
                // One alone is no page: it hangs a level higher.
                ([one], true) => self.add(level + 1, *one),
                _ => self.branch(level, rest),
            }
            level += 1;
        }
        (None, self.pages)
    }

    fn add(&mut self, level: usize, hash: TreeHash) {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        let hashes = &mut self.levels[level];
        hashes.push(hash);
        if hash_page_ends(hashes.len(), hash.as_bytes()) {
            let full = std::mem::take(hashes);
            self.branch(level, full);
        }
    }

    fn branch(&mut self, level: usize, hashes: Vec<TreeHash>) {
        let hash = self.page(&CataloguePage::Pages(Hashes(hashes)));
        self.add(level + 1, hash);
    }

    fn page(&mut self, page: &CataloguePage) -> TreeHash {
        let bytes = page.encode();
        debug_assert!(bytes.len() <= TREE_PAGE_BYTES, "{} bytes", bytes.len());
        let hash = TreeHash::of(&bytes);
        self.pages.push((hash, bytes));
        hash
    }
}

fn hash_page_ends(count: usize, last: &[u8; 32]) -> bool {
    count >= MOST_HASHES || (count >= LEAST_HASHES && last[31] & HASH_MASK == 0)
}

/// Gathers the items of leaves whose items are not hashes.
#[derive(Debug)]
struct Gather<T> {
    items: Vec<T>,
    bytes: usize,
}

impl<T> Gather<T> {
    const fn new() -> Self {
        Self { items: Vec::new(), bytes: OVERHEAD }
    }

    /// Adds an item of so many bytes; the leaf before it, where it has no room there.
    fn push(&mut self, item: T, bytes: usize) -> Option<Vec<T>> {
        let full = self.bytes + bytes > TREE_PAGE_BYTES && !self.items.is_empty();
        let leaf = full.then(|| self.take());
        self.items.push(item);
        self.bytes += bytes;
        leaf
    }

    /// The leaf, if it ends after the item with this key.
    fn ends(&mut self, key: &[u8]) -> Option<Vec<T>> {
        let ends = self.bytes >= LEAST_BYTES && blake3::hash(key).as_bytes()[31] & LEAF_MASK == 0;
        ends.then(|| self.take())
    }

    fn take(&mut self) -> Vec<T> {
        self.bytes = OVERHEAD;
        std::mem::take(&mut self.items)
    }
}

/// Builds a tree of records, in the ascending order of their names' bytes: name, record, and where there is one the receipt
/// with the certificate that it names. Their bytes together are under 8 KiB each.
pub fn build_records<'a>(
    builder: &mut TreeBuilder,
    records: impl IntoIterator<Item = (&'a str, CatalogueRecord, Option<&'a [u8]>)>,
) {
    let mut leaves = RecordLeaves::new();
    for (name, record, certificate) in records {
        leaves.push(builder, name, record, certificate);
    }
    leaves.finish(builder);
}

/// The leaves of a tree of records, one record after the other: see [`build_records`].
#[derive(Debug)]
pub struct RecordLeaves {
    gather: Gather<CatalogueRecord>,
    certificates: Vec<ByteBuf>,
}

impl Default for RecordLeaves {
    fn default() -> Self {
        Self::new()
    }
}

impl RecordLeaves {
    /// Of nothing.
    pub const fn new() -> Self {
        Self { gather: Gather::new(), certificates: Vec::new() }
    }

    /// Puts what is left into a last leaf.
    pub fn finish(mut self, builder: &mut TreeBuilder) {
        let rest = self.gather.take();
        self.emit(builder, rest);
    }

    /// Adds the next record.
    pub fn push(
        &mut self,
        builder: &mut TreeBuilder,
        name: &str,
        record: CatalogueRecord,
        certificate: Option<&[u8]>,
    ) {
        const FIELDS: usize = 32;
        let receipt = record.receipt.as_ref().map_or(0, |receipt| receipt.len());
        let known = |certificates: &[ByteBuf]| {
            certificate.is_none_or(|new| certificates.iter().any(|one| &one[..] == new))
        };
        let more = |certificates: &[ByteBuf]| match known(certificates) {
            true => 0,
            false => certificate.map_or(0, <[u8]>::len) + 3,
        };
        let bytes = record.record.len() + receipt + FIELDS;
        let alone = bytes + certificate.map_or(0, <[u8]>::len) + 3;
        let full = self.gather.bytes + bytes + more(&self.certificates) > TREE_PAGE_BYTES;
        if full && !self.gather.items.is_empty() {
            let items = self.gather.take();
            self.emit(builder, items);
            self.gather.push(record, alone);
        } else {
            let bytes = bytes + more(&self.certificates);
            self.gather.push(record, bytes);
        }
        if !known(&self.certificates) {
            self.certificates.extend(certificate.map(ByteBuf::from));
        }
        if let Some(items) = self.gather.ends(name.as_bytes()) {
            self.emit(builder, items);
        }
    }

    fn emit(&mut self, builder: &mut TreeBuilder, records: Vec<CatalogueRecord>) {
        let mut certificates = std::mem::take(&mut self.certificates);
        if !records.is_empty() {
            certificates.sort();
            builder.leaf(&CataloguePage::Records(RecordsLeaf { certificates, records }));
        }
    }
}

/// Builds a tree of contents, in ascending order, each once.
pub fn build_held(builder: &mut TreeBuilder, contents: impl IntoIterator<Item = ContentHash>) {
    let mut hashes = Vec::new();
    for content in contents {
        hashes.push(content);
        if hash_page_ends(hashes.len(), content.as_bytes()) {
            builder.leaf(&CataloguePage::Held(Hashes(std::mem::take(&mut hashes))));
        }
    }
    if !hashes.is_empty() {
        builder.leaf(&CataloguePage::Held(Hashes(hashes)));
    }
}

/// Builds a tree of members, in the ascending order of their nodes.
pub fn build_members(builder: &mut TreeBuilder, members: impl IntoIterator<Item = MemberEntry>) {
    const MEMBER_BYTES: usize = 128;
    let mut gather = Gather::new();
    let mut emit = |members: Vec<MemberEntry>| builder.leaf(&CataloguePage::Members(members));
    for member in members {
        let node = member.node;
        gather.push(member, MEMBER_BYTES).into_iter().for_each(&mut emit);
        gather.ends(node.as_bytes()).into_iter().for_each(&mut emit);
    }
    Some(gather.take()).filter(|rest| !rest.is_empty()).into_iter().for_each(emit);
}

/// Builds a tree of ended memberships, in the ascending order of their nodes.
pub fn build_revoked(builder: &mut TreeBuilder, revoked: impl IntoIterator<Item = Revoked>) {
    const REVOKED_BYTES: usize = 80;
    let mut gather = Gather::new();
    let mut emit = |revoked: Vec<Revoked>| builder.leaf(&CataloguePage::Revoked(revoked));
    for one in revoked {
        let node = one.node;
        gather.push(one, REVOKED_BYTES).into_iter().for_each(&mut emit);
        gather.ends(node.as_bytes()).into_iter().for_each(&mut emit);
    }
    Some(gather.take()).filter(|rest| !rest.is_empty()).into_iter().for_each(emit);
}
