//! One catalogue: the pages that are missing are fetched and checked, and kept as they come. Where the connection breaks,
//! or the program, the next who has the catalogue is asked only for the rest.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use certs::{Enrolment, NodeId, UnixMillis};
use wire::catalogue::{CataloguePage, Revoked, TreeError, TreeKind, VerifiedHead, Walk};
use wire::message::{Stated, Statements};
use wire::{Digest, ErrorBody, ErrorCode, TreeHash, limits};

use super::news::NotTaken;
use super::peer::StatementsPeer;
use super::refusal::{Refusal, Refused, SyncError};
use super::{Replica, leaf, lock};
use crate::registry::{AccountRow, Complete, Fault, KnownPage, NewPage, NodeRow, PageOwner};

/// Heads that were refused for what is in their trees, and are not fetched again.
const REMEMBERED: usize = 4096;
/// Catalogues that are fetched at once, from whomever.
pub(super) const FETCHES: usize = 16;
/// How long one may take before others have their turn: what has come stays, and the next exchange goes on from there.
const PATIENCE: Duration = Duration::from_secs(120);
/// After how long another one may be asked for the same catalogue as well.
const TURN_MS: u64 = 10_000;

/// How long nothing more is fetched of a node that had too much.
const TOO_MUCH_MS: u64 = 3_600_000;

/// Heads that are good for nothing, and why; and nodes of which nothing is fetched for a time.
#[derive(Debug, Default)]
pub(super) struct RefusedHeads {
    heads: HashMap<Digest, Refused>,
    nodes: HashMap<NodeId, UnixMillis>,
}

/// Whose catalogue is fetched.
pub(super) struct Fetch<'a> {
    pub(super) head: &'a VerifiedHead,
    pub(super) account: AccountRow,
    pub(super) node: NodeRow,
}

/// How many bytes a catalogue has, and how many of them came.
#[derive(Debug, Default)]
struct Bytes {
    all: u64,
    came: u64,
}

/// The turn to fetch the catalogue of a node, since a time.
struct Turn<'a> {
    replica: &'a Replica,
    node: NodeId,
    since: UnixMillis,
}

impl Replica {
    /// Fetches a catalogue whose head counts, and puts it in the place of the one before. How many bytes came; `None` where
    /// somebody else is at it, or the one who is asked has it no longer.
    pub(super) async fn fetch(
        &self,
        from: &impl StatementsPeer,
        head: VerifiedHead,
    ) -> Result<Option<u64>, NotTaken> {
        let hash = head.hash();
        lock(&self.inner.refused).check(&hash, &head.node(), self.now())?;
        let Some(_turn) = self.turn(head.node()) else { return Ok(None) };
        let stopping = |_| SyncError::Local(ErrorBody::new(ErrorCode::ShuttingDown, "stopping"));
        let _permit = self.inner.fetches.acquire().await.map_err(stopping)?;
        let (account, node) = self.enter(&head.node(), &head.enrolment).await?;
        if head.node() == self.inner.node {
            self.inner.registry.raise_own_sequence(head.head.seq).await?;
            self.inner.hears.own_changes();
        }
        self.check_room(node).await?;
        let fetch = Fetch { head: &head, account, node };
        let came = tokio::time::timeout(PATIENCE, self.fetch_trees(from, &fetch)).await;
        let fetched = match came.unwrap_or(Ok(None)) {
            Ok(Some(came)) => self.settle(&fetch).await.map(|settled| settled.then_some(came)),
            other => other,
        };
        let fetched = self.unless_ended(&fetch, fetched).await;
        if let Err(NotTaken::Refused(refused)) = &fetched {
            self.inner.registry.release(node).await?;
            self.inner.registry.collect_garbage().await?;
            lock(&self.inner.refused).note(hash, head.node(), refused, self.now());
        }
        fetched
    }

    /// What became of a catalogue, unless the membership of its node has ended while it came.
    async fn unless_ended(
        &self,
        fetch: &Fetch<'_>,
        fetched: Result<Option<u64>, NotTaken>,
    ) -> Result<Option<u64>, NotTaken> {
        let (node, serial) = (fetch.head.node(), fetch.head.enrolment.membership.serial);
        let Some(since) = self.revoked(&node, serial) else { return fetched };
        self.inner.registry.note_ended(Revoked { node, serial, since }).await?;
        self.end_memberships().await?;
        Err(Refused::new(Refusal::Revoked, "the membership was ended before its time").into())
    }

    async fn fetch_trees(
        &self,
        from: &impl StatementsPeer,
        fetch: &Fetch<'_>,
    ) -> Result<Option<u64>, NotTaken> {
        let head = &fetch.head.head;
        let mut bytes = Bytes::default();
        let records = Walk::new(TreeKind::Records, head.records, head.record_count);
        let held = Walk::new(TreeKind::Held, head.held, head.held_count);
        let owner = Some((fetch.node, fetch.account));
        let whole = self.fetch_tree(from, fetch, owner, records, &mut bytes).await?
            && self.fetch_tree(from, fetch, None, held, &mut bytes).await?;
        Ok(whole.then_some(bytes.came))
    }

    /// Whether one more catalogue fits. What was kept of earlier heads of the same node and never became whole goes.
    async fn check_room(&self, node: NodeRow) -> Result<(), NotTaken> {
        let registry = &self.inner.registry;
        if registry.staged_bytes(node).await? > self.inner.limits.node_bytes {
            registry.release(node).await?;
            registry.collect_garbage().await?;
        }
        match registry.size().await? > self.inner.limits.bytes {
            true => Err(Refused::new(Refusal::TooMuch, "the replica is full").into()),
            false => Ok(()),
        }
    }

    /// One tree. `false`: the one who is asked has it no longer.
    async fn fetch_tree(
        &self,
        from: &impl StatementsPeer,
        fetch: &Fetch<'_>,
        owner: PageOwner,
        mut walk: Walk,
        bytes: &mut Bytes,
    ) -> Result<bool, NotTaken> {
        let mut branches = Vec::new();
        loop {
            let wanted = walk.next(limits::STATEMENTS);
            if wanted.is_empty() {
                break;
            }
            let missing = self.look(wanted, owner, &mut walk, &mut branches, bytes).await?;
            if missing.is_empty() {
                continue;
            }
            let Some(pages) = self.ask_pages(from, &missing).await? else { return Ok(false) };
            let (missing, left_out) = missing.split_at(pages.len());
            left_out.iter().for_each(|hash| walk.again(*hash));
            let came: u64 = pages.iter().map(|page| page.len() as u64).sum();
            bytes.came += came;
            bytes.all += came;
            let pages = take_pages(missing, pages, &mut walk, &mut branches)?;
            let pages = self.check_pages(fetch, owner, pages).await?;
            self.inner.registry.keep_pages(fetch.node, pages).await?;
            if bytes.all > self.inner.limits.node_bytes {
                let text = format!("more than {} bytes of one node", self.inner.limits.node_bytes);
                return Err(Refused::new(Refusal::TooMuch, text).into());
            }
        }
        walk.finish().map_err(bad_tree)?;
        // Children came after what names them.
        branches.reverse();
        match self.inner.registry.complete(&branches).await? {
            Ok(()) => Ok(true),
            Err(Fault::Gone) => Ok(false),
            Err(Fault::Bad(text)) => Err(Refused::new(Refusal::BadTree, text).into()),
        }
    }

    /// Takes what is here already; the rest is missing.
    async fn look(
        &self,
        wanted: Vec<TreeHash>,
        owner: PageOwner,
        walk: &mut Walk,
        branches: &mut Vec<TreeHash>,
        bytes: &mut Bytes,
    ) -> Result<Vec<TreeHash>, NotTaken> {
        let known = self.inner.registry.known_pages(wanted.clone()).await?;
        let mut missing = Vec::new();
        for (hash, known) in wanted.into_iter().zip(known) {
            match known {
                KnownPage::Missing => missing.push(hash),
                KnownPage::Here(page) => {
                    bytes.all += page.len() as u64;
                    walk.came(hash, &page).map_err(bad_tree)?;
                    branches.push(hash);
                }
                KnownPage::Complete(complete) if complete.owner == owner => {
                    bytes.all += complete.size;
                    walk.skip(hash, complete.items, complete.levels).map_err(bad_tree)?;
                }
                KnownPage::Complete(_) => {
                    let text = "a page of another node's or account's records, or of another kind";
                    return Err(Refused::new(Refusal::ForeignRecord, text).into());
                }
            }
        }
        Ok(missing)
    }

    /// Asks for pages, at most 64, and gets the first of them; `None` where one is not to be had there.
    pub(super) async fn ask_pages(
        &self,
        from: &impl StatementsPeer,
        missing: &[TreeHash],
    ) -> Result<Option<Vec<Vec<u8>>>, NotTaken> {
        let request = Statements { pages: Some(missing.to_vec()), ..Statements::default() };
        let Stated { pages, .. } = from.ask(request).await.map_err(SyncError::from)?;
        if pages.len() > missing.len() || pages.is_empty() {
            return Err(Refused::new(Refusal::BadAnswer, "not as many pages as were asked for").into());
        }
        let mut came = Vec::with_capacity(pages.len());
        for (page, hash) in pages.into_iter().zip(missing) {
            let Some(page) = page.0 else { return Ok(None) };
            if TreeHash::of(&page) != *hash {
                return Err(Refused::new(Refusal::WrongPage, format!("not the page {hash}")).into());
            }
            came.push(page.into_vec());
        }
        Ok(Some(came))
    }

    /// Checks what is in leaves, off the async threads.
    async fn check_pages(
        &self,
        fetch: &Fetch<'_>,
        owner: PageOwner,
        pages: Vec<(TreeHash, Vec<u8>, CataloguePage)>,
    ) -> Result<Vec<NewPage>, NotTaken> {
        let (replica, enrolment) = (self.clone(), Arc::new(fetch.head.enrolment.clone()));
        let checked = tokio::task::spawn_blocking(move || {
            let one = |(hash, bytes, page): (TreeHash, Vec<u8>, CataloguePage)| {
                let complete = replica.check_page(&enrolment, owner, &page, bytes.len() as u64)?;
                Ok(NewPage { hash, bytes, complete })
            };
            pages.into_iter().map(one).collect::<Result<Vec<_>, Refused>>()
        });
        let failed = |_| SyncError::Local(ErrorBody::new(ErrorCode::ShuttingDown, "stopping"));
        Ok(checked.await.map_err(failed)??)
    }

    /// Checks a page by itself; what a leaf says of itself.
    fn check_page(
        &self,
        enrolment: &Enrolment,
        owner: PageOwner,
        page: &CataloguePage,
        size: u64,
    ) -> Result<Option<Complete>, Refused> {
        let (first, last) = match page {
            CataloguePage::Records(leaf) => {
                let now = self.now();
                let records = self.with_trust(|trust| leaf::check(trust, enrolment, leaf, now))?;
                let name = |record: Option<&crate::registry::Replicated>| {
                    record.map(|one| one.record.name.as_str().as_bytes().to_vec())
                };
                (name(records.first()), name(records.last()))
            }
            CataloguePage::Held(contents) => {
                if contents.0.windows(2).any(|pair| pair[0] >= pair[1]) {
                    return Err(Refused::new(Refusal::BadTree, "contents are not in order"));
                }
                let bytes = |content: Option<&wire::ContentHash>| content.map(|one| one.as_bytes().to_vec());
                (bytes(contents.0.first()), bytes(contents.0.last()))
            }
            _ => return Ok(None),
        };
        let keys = first.zip(last);
        Ok(keys.map(|(first, last)| {
            let items = page.items() as u64;
            Complete { owner, items, levels: 1, size, first, last }
        }))
    }

    fn turn(&self, node: NodeId) -> Option<Turn<'_>> {
        let since = self.now();
        let mut fetching = lock(&self.inner.fetching);
        let taken = fetching.get(&node).is_some_and(|begun| since < begun.plus(TURN_MS));
        (!taken).then(|| {
            fetching.insert(node, since);
            Turn { replica: self, node, since }
        })
    }
}

impl RefusedHeads {
    fn check(&self, head: &Digest, node: &NodeId, now: UnixMillis) -> Result<(), Refused> {
        if let Some(refused) = self.heads.get(head) {
            return Err(refused.clone());
        }
        match self.nodes.get(node) {
            Some(until) if now < *until => {
                Err(Refused::new(Refusal::TooMuch, "its node had too much a short time ago"))
            }
            _ => Ok(()),
        }
    }

    /// Remembers what lies in the head itself: not what depends on the clock, or on who was asked for its pages.
    fn note(&mut self, head: Digest, node: NodeId, refused: &Refused, now: UnixMillis) {
        match refused.refusal {
            Refusal::Untimely | Refusal::WrongPage | Refusal::BadAnswer => {}
            Refusal::TooMuch => {
                if self.nodes.len() >= REMEMBERED {
                    self.nodes.clear();
                }
                self.nodes.insert(node, now.plus(TOO_MUCH_MS));
            }
            _ => {
                if self.heads.len() >= REMEMBERED {
                    self.heads.clear();
                }
                self.heads.insert(head, refused.clone());
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut fetching = lock(&self.replica.inner.fetching);
        if fetching.get(&self.node) == Some(&self.since) {
            fetching.remove(&self.node);
        }
    }
}

/// Gives pages to the walk.
fn take_pages(
    hashes: &[TreeHash],
    pages: Vec<Vec<u8>>,
    walk: &mut Walk,
    branches: &mut Vec<TreeHash>,
) -> Result<Vec<(TreeHash, Vec<u8>, CataloguePage)>, Refused> {
    let mut taken = Vec::with_capacity(pages.len());
    for (&hash, bytes) in hashes.iter().zip(pages) {
        let page = walk.came(hash, &bytes).map_err(bad_tree)?;
        if page.leaf().is_none() {
            branches.push(hash);
        }
        taken.push((hash, bytes, page));
    }
    Ok(taken)
}

fn bad_tree(error: TreeError) -> Refused {
    Refused::new(Refusal::BadTree, error.to_string())
}
