//! Reading: the same types as the index answers, from what is here.

use std::sync::Arc;

use certs::{AccountId, NodeId, Signed, UserName};
use wire::catalogue::{CatalogueHead, HeadBundle};
use wire::message::{
    ENTRY_SOURCE_CACHE, ENTRY_SOURCE_DHT, FollowOutcome, Followed, HolderInfo, List, Located, News, Page,
    ResourceQuery, Search, Who, WhoPage,
};
use wire::{Digest, ErrorBody, limits};

use super::{Replica, not_enrolled};
use crate::reading::{self, Origin, page_limit, place};
use crate::registry::{NodeRow, Online, lock};

/// For how long after it was compared with another node's a replica counts as refreshed.
const FRESH_MS: u64 = 60_000;

/// This node, as a replica knows it.
#[derive(Debug, Clone)]
pub(super) struct Own {
    pub(super) row: NodeRow,
    pub(super) account: AccountId,
    pub(super) user: UserName,
}

/// A holder at its place in this node's order.
struct Candidate {
    place: u64,
    info: HolderInfo,
}

impl Replica {
    /// Where its answers come from, and how old what it knows is.
    pub fn origin(&self) -> Origin {
        let (now, compared) = (self.now(), lock(&self.inner.known).compared);
        let age_ms = now.0.saturating_sub(compared.0);
        let fresh = age_ms <= FRESH_MS;
        Origin { source: if fresh { ENTRY_SOURCE_DHT } else { ENTRY_SOURCE_CACHE }, age_ms }
    }

    /// A page of L, or of the versions of one resource.
    ///
    /// # Errors
    /// `not-member` where this node is not enrolled; what the index answers.
    pub async fn list(&self, list: List) -> Result<Page, ErrorBody> {
        list.check()?;
        let own = self.own()?;
        reading::list(&self.inner.registry, self.online(), &own.user, self.origin(), list).await
    }

    /// A page of S.
    ///
    /// # Errors
    /// What the index answers.
    pub async fn search(&self, search: Search) -> Result<Page, ErrorBody> {
        search.check()?;
        reading::search(&self.inner.registry, self.online(), self.origin(), search).await
    }

    /// A resource's record, and who may have its content: its publisher first of all, and those whose catalogue names it,
    /// with the addresses that they said last; of the publisher perhaps none. Nobody was asked whether they have it still.
    ///
    /// # Errors
    /// `not-member` where this node is not enrolled; `not-found`, `self-owned`, `bad-cursor`.
    pub async fn locate(&self, query: ResourceQuery) -> Result<Located, ErrorBody> {
        let own = self.own()?;
        let located = reading::find(&self.inner.registry, &own.user, Some(own.row), &query).await?;
        let rows = located.holders.iter().filter(|holder| holder.whole).map(|holder| holder.node);
        let rows = rows.chain([located.stored.node]);
        let mut candidates = self.candidates(rows, located.stored.node, located.from);
        if candidates.is_empty() && located.from == 0 && !query.anyway {
            return Err(reading::no_holder(
                &query,
                &[(located.holders.len(), "whose addresses are not known")],
            ));
        }
        let more = candidates.len() > limits::HOLDERS;
        candidates.truncate(limits::HOLDERS);
        let next = candidates.last().filter(|_| more).map(|last| located.next(last.place));
        let holders = candidates.into_iter().map(|candidate| candidate.info).collect();
        Ok(Located { bundle: located.stored.into_bundle(), holders, next })
    }

    /// The users that are there, by their words of presence.
    ///
    /// # Errors
    /// `bad-cursor`.
    pub fn who(&self, who: &Who) -> Result<WhoPage, ErrorBody> {
        who.check()?;
        let after = reading::after(who)?;
        let (limit, now) = (page_limit(who.limit), self.now());
        let (users, more) = lock(&self.inner.known).who(after.as_ref(), limit, now);
        Ok(reading::who_page(users, more))
    }

    /// What stands for each of these resources, a tombstone too, against what the one who follows them has.
    ///
    /// # Errors
    /// `internal`, `shutting-down`.
    pub async fn standing(&self, followed: Vec<Followed>) -> Result<Vec<FollowOutcome>, ErrorBody> {
        Ok(self.inner.registry.standing(followed).await?)
    }

    /// This node, once it was enrolled here.
    pub(super) fn own(&self) -> Result<Own, ErrorBody> {
        let known = lock(&self.inner.known);
        let own = known.node(&self.inner.node).ok_or_else(not_enrolled)?;
        Ok(Own { row: own.row, account: own.account, user: own.user.clone() })
    }

    fn online(&self) -> Online {
        let online = lock(&self.inner.known).online(self.now());
        Arc::new(move |row| online.contains(&row))
    }

    /// The publisher and those of whom an address is known, but for this node: the publisher first, then who is there, then the others.
    fn candidates(
        &self,
        rows: impl Iterator<Item = NodeRow>,
        publisher: NodeRow,
        from: u64,
    ) -> Vec<Candidate> {
        let now = self.now();
        let known = lock(&self.inner.known);
        let mut candidates: Vec<_> = rows
            .filter_map(|row| {
                let (id, node) = known.of_row(row)?;
                let addresses = node.word.as_ref().map(|word| word.addresses.clone()).unwrap_or_default();
                if addresses.is_empty() && row != publisher {
                    return None;
                }
                let place = match row == publisher {
                    true => 0,
                    false => 1.max(place(&self.inner.node, id, node.is_online(now))),
                };
                let (node, user) = (*id, node.user.clone());
                Some(Candidate { place, info: HolderInfo { node, user, addresses, whole: true } })
            })
            .filter(|candidate| candidate.info.node != self.inner.node && candidate.place >= from)
            .collect();
        candidates.sort_by_key(|candidate| (candidate.place, candidate.info.node));
        candidates.dedup_by_key(|candidate| candidate.info.node);
        candidates
    }

    /// What is here of one node, as it travels: the head of its catalogue, its last word of presence. Nothing of a node that is not
    /// known.
    ///
    /// # Errors
    /// `internal`, `shutting-down`.
    pub async fn news_of(&self, node: &NodeId) -> Result<News, ErrorBody> {
        let row = lock(&self.inner.known).node(node).map(|node| node.row);
        let Some(row) = row else { return Ok(News::default()) };
        let registry = &self.inner.registry;
        let (heads, presence) = (registry.heads(vec![row]).await?, registry.words(vec![row]).await?);
        Ok(News { heads, presence, ..News::default() })
    }

    /// Whether this head is here with its trees, or one that counts rather than it. `false` for one that cannot be read.
    pub fn has(&self, bundle: &HeadBundle) -> bool {
        let Ok(head) = Signed::<CatalogueHead>::parse(&bundle.head) else { return false };
        let known = lock(&self.inner.known).node(&head.node).and_then(|node| node.head);
        let hash = Digest::from_bytes(*head.hash());
        known.is_some_and(|known| known.seq > head.seq || (known.seq == head.seq && known.hash <= hash))
    }

    /// The account of a node, where it is known and the last membership that it showed here was not ended before its time.
    pub fn account_of(&self, node: &NodeId) -> Option<AccountId> {
        let known = lock(&self.inner.known);
        let shown = known.node(node)?;
        known.revoked(node, shown.serial).is_none().then_some(shown.account)
    }

    /// The user of a node, where it is known.
    pub fn user_of(&self, node: &NodeId) -> Option<UserName> {
        lock(&self.inner.known).node(node).map(|node| node.user.clone())
    }
}
