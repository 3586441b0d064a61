//! A catalogue all of whose pages are here and checked: what is new in it is applied in transactions of bounded size, and
//! then its head takes the place of the one before. A crash in between loses nothing: what was applied stands by the total
//! order, and the rest is applied when the head comes again.

use std::sync::Arc;

use wire::catalogue::{CataloguePage, HEAD_VALIDITY_MS};
use wire::{ContentHash, Receipt, TreeHash, record_hash};

use super::fetch::Fetch;
use super::known::KnownHead;
use super::news::NotTaken;
use super::refusal::{Refusal, Refused};
use super::{Replica, leaf, lock};
use crate::registry::{Given, NewHead, NodeRow, PAGES, Publisher, RegistryError, Replicated, Roots, Step};

/// Records that one transaction applies: as many as one R brings.
const RECORDS: usize = wire::limits::BATCH_RECORDS;

/// A page on the way down, or up again.
enum Visit {
    Down(TreeHash),
    Up(TreeHash),
}

/// Steps that wait to be done together.
#[derive(Default)]
struct Waiting {
    steps: Vec<Step>,
    records: usize,
}

impl Replica {
    /// Applies a catalogue that was fetched. `false`: a page went meanwhile; it is fetched again.
    pub(super) async fn settle(&self, fetch: &Fetch<'_>) -> Result<bool, NotTaken> {
        let head = fetch.head;
        let publisher = Publisher { account: (fetch.account, head.account()), node: fetch.node };
        let before = self.inner.registry.roots(fetch.node).await?;
        let roots = Roots { records: head.head.records, held: head.head.held };
        if !self.settle_tree(publisher, roots.records, true).await?
            || !self.settle_tree(publisher, roots.held, false).await?
        {
            return Ok(false);
        }
        let own = head.node() == self.inner.node;
        if roots.held != before.held && !own && !self.speaks_for_itself(fetch) {
            self.settle_held(publisher, roots.held).await?;
        }
        let new = NewHead {
            seq: head.head.seq,
            hash: head.hash(),
            time: head.head.time,
            bundle: head.bundle(),
            records: roots.records,
            held: roots.held,
        };
        self.put_head(publisher, head.node(), new).await
    }

    /// Puts a head in place, all of whose pages are done.
    pub(super) async fn put_head(
        &self,
        publisher: Publisher,
        node: certs::NodeId,
        new: NewHead,
    ) -> Result<bool, NotTaken> {
        let registry = &self.inner.registry;
        let head = KnownHead { seq: new.seq, hash: new.hash, time: new.time };
        let put = registry.put_head(publisher.node, new).await?;
        if put {
            lock(&self.inner.known).set_head(&node, head);
            registry.release(publisher.node).await?;
            registry.collect_garbage().await?;
        }
        Ok(put)
    }

    /// Makes an end of catalogues whose heads no longer hold, of these nodes. What they published stays.
    pub(super) async fn forget_heads(&self, nodes: Vec<NodeRow>) -> Result<(), RegistryError> {
        let registry = &self.inner.registry;
        for node in nodes {
            registry.remove_head(node).await?;
            registry.collect_garbage().await?;
        }
        Ok(())
    }

    /// Makes an end of catalogues whose heads have been over for so long that nobody takes them any more, and of what was left
    /// of ended memberships.
    pub(super) async fn forget_old(&self) -> Result<(), RegistryError> {
        self.end_memberships().await?;
        let now = self.now();
        let over = lock(&self.inner.known)
            .drop_heads(|_, id, _, head| *id != self.inner.node && head.time.plus(HEAD_VALIDITY_MS) < now);
        self.forget_heads(over).await
    }

    /// Does all pages of a tree that are not done yet, those below before those above; `apply`: the records in its leaves,
    /// too.
    pub(super) async fn settle_tree(
        &self,
        publisher: Publisher,
        root: Option<TreeHash>,
        apply: bool,
    ) -> Result<bool, NotTaken> {
        let mut stack: Vec<_> = root.map(Visit::Down).into_iter().collect();
        let mut waiting = Waiting::default();
        while let Some(visit) = stack.pop() {
            match visit {
                Visit::Up(hash) => waiting.steps.push(Step::Branch(hash)),
                Visit::Down(hash) => {
                    let Some(page) = self.inner.registry.stored_page(hash).await? else { return Ok(false) };
                    if page.done {
                        continue;
                    }
                    match decode(&page.bytes)? {
                        CataloguePage::Pages(children) => {
                            stack.push(Visit::Up(hash));
                            stack.extend(children.0.into_iter().rev().map(Visit::Down));
                        }
                        CataloguePage::Records(leaf) if apply => {
                            let records = self.to_apply(leaf).await?;
                            waiting.records += records.len();
                            waiting.steps.push(Step::Leaf(hash, records));
                        }
                        _ => waiting.steps.push(Step::Leaf(hash, Vec::new())),
                    }
                }
            }
            let full = waiting.records >= RECORDS || waiting.steps.len() >= PAGES;
            if full && !self.do_steps(publisher, std::mem::take(&mut waiting)).await? {
                return Ok(false);
            }
        }
        self.do_steps(publisher, waiting).await
    }

    async fn do_steps(&self, publisher: Publisher, waiting: Waiting) -> Result<bool, NotTaken> {
        if waiting.steps.is_empty() {
            return Ok(true);
        }
        let done = self.inner.registry.do_steps(publisher, waiting.steps, self.now()).await?;
        if done.is_some_and(|left_out| left_out > 0) {
            let text = "an account with more resources than it may have; some were left out";
            self.refuse(&Refused::new(Refusal::TooMuch, text));
        }
        Ok(done.is_some())
    }

    /// The records of a leaf that was checked; at the index, each with a receipt. Off the async threads.
    async fn to_apply(&self, leaf: wire::catalogue::RecordsLeaf) -> Result<Vec<Replicated>, NotTaken> {
        let replica = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut records = leaf::stored(&leaf)?;
            records.iter_mut().for_each(|record| replica.give_receipt(record));
            Ok::<_, certs::SignedError>(records)
        });
        let read = read.await.map_err(|_| RegistryError::Stopped)?;
        Ok(read.map_err(|_| RegistryError::Corrupt("a record of a catalogue"))?)
    }

    /// The index accepts what comes without a receipt.
    fn give_receipt(&self, replicated: &mut Replicated) {
        let Some(key) = &self.inner.issuer else { return };
        if replicated.receipt.is_some() {
            return;
        }
        let certificate = self.certificate();
        let time = self.now();
        let receipt = Receipt::issue(key, &certificate, record_hash(&replicated.record), time);
        let receipt = receipt.bytes().to_vec();
        replicated.receipt = Some(Given { receipt, time, certificate: Arc::from(certificate.bytes()) });
    }

    /// What a node holds by its new head, in place of what it held by the one before.
    async fn settle_held(&self, publisher: Publisher, root: Option<TreeHash>) -> Result<(), NotTaken> {
        let registry = &self.inner.registry;
        let mut after: Option<ContentHash> = None;
        let mut stack: Vec<_> = root.into_iter().collect();
        while let Some(hash) = stack.pop() {
            let page = registry.stored_page(hash).await?.ok_or(RegistryError::Corrupt("a page went"))?;
            match decode(&page.bytes)? {
                CataloguePage::Pages(children) => stack.extend(children.0.into_iter().rev()),
                CataloguePage::Held(contents) => {
                    let last = contents.0.last().copied();
                    registry.hold_range(publisher.node, after, Some(contents.0)).await?;
                    after = last;
                }
                _ => {}
            }
        }
        Ok(registry.hold_range(publisher.node, after, None).await?)
    }

    /// Whether the node itself tells this one what it holds: the index, while it is connected.
    fn speaks_for_itself(&self, fetch: &Fetch<'_>) -> bool {
        self.inner.speaks.as_ref().is_some_and(|speaks| speaks(fetch.node))
    }
}

fn decode(bytes: &[u8]) -> Result<CataloguePage, RegistryError> {
    CataloguePage::decode(bytes).map_err(|_| RegistryError::Corrupt("a page of a tree"))
}
