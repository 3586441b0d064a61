//! What others ask: the digest of all that is known, what is known in parts, and pages.

use std::collections::BTreeMap;

use certs::{NodeId, UnixMillis};
use serde_bytes::ByteBuf;
use wire::message::{Have, Known as KnownOnWire, News, Stated, StatedPage, Statements, StatementsDigest};
use wire::{ErrorBody, ErrorCode, TreeHash, limits};

use super::Replica;
use super::known::Known;

/// What the one who asked lacks of a range, and what it knows better.
#[derive(Debug, Default)]
struct Difference {
    heads: Vec<NodeId>,
    words: Vec<NodeId>,
    want: Vec<NodeId>,
    more: bool,
}

impl Replica {
    /// Answers `digest`, `have` and `pages`. News are for [`Replica::take_news`], which asks back.
    ///
    /// # Errors
    /// `bad-message` for news; `internal`, `shutting-down`.
    ///
    /// # Cancel safety
    /// Only the answer is lost.
    pub async fn answer(&self, request: Statements) -> Result<Stated, ErrorBody> {
        request.check()?;
        match request {
            Statements { digest: Some(theirs), .. } => self.answer_digest(&theirs).await,
            Statements { have: Some(have), .. } => self.answer_have(&have).await,
            Statements { pages: Some(pages), .. } => self.answer_pages(pages).await,
            _ => Err(ErrorBody::new(ErrorCode::BadMessage, "news are to be taken, not answered")),
        }
    }

    /// What this replica knows, in short.
    pub(super) fn digest(&self) -> StatementsDigest {
        let now = self.now();
        let index = self.index_place().map(|place| place.hash());
        let known = super::lock(&self.inner.known);
        let members = known.members().map(|members| members.hash);
        StatementsDigest { known: known.digest(now), members, index }
    }

    async fn answer_digest(&self, theirs: &StatementsDigest) -> Result<Stated, ErrorBody> {
        let own = self.digest();
        let news = self.news_beside(&own, theirs).await?;
        Ok(Stated { digest: Some(own), news: (!news.is_empty()).then_some(news), ..Stated::default() })
    }

    /// What is here of the index that the other end has not.
    pub(super) async fn news_beside(
        &self,
        own: &StatementsDigest,
        theirs: &StatementsDigest,
    ) -> Result<News, ErrorBody> {
        let members = match own.members != theirs.members {
            true => self.members_bundle().await?,
            false => None,
        };
        let place = || self.index_place().map(|place| place.bundle());
        let index = if own.index == theirs.index { None } else { place() };
        Ok(News { members, index, ..News::default() })
    }

    async fn answer_have(&self, have: &Have) -> Result<Stated, ErrorBody> {
        if have.known.windows(2).any(|pair| pair[0].node >= pair[1].node) {
            return Err(ErrorBody::new(ErrorCode::BadMessage, "known nodes are in ascending order"));
        }
        let now = self.now();
        let (difference, heads, words) = {
            let known = super::lock(&self.inner.known);
            let difference = differ(&known, have, now);
            let rows = |nodes: &[NodeId]| -> Vec<_> {
                nodes.iter().filter_map(|node| known.node(node)).map(|node| node.row).collect()
            };
            let (heads, words) = (rows(&difference.heads), rows(&difference.words));
            (difference, heads, words)
        };
        let registry = &self.inner.registry;
        let (heads, presence) = (registry.heads(heads).await?, registry.words(words).await?);
        let news = News { heads, presence, ..News::default() };
        let news = (!news.is_empty()).then_some(news);
        Ok(Stated { news, more: difference.more, want: difference.want, ..Stated::default() })
    }

    async fn answer_pages(&self, hashes: Vec<TreeHash>) -> Result<Stated, ErrorBody> {
        let pages = self.inner.registry.pages(hashes).await?;
        let pages = pages.into_iter().map(|page| StatedPage(page.map(ByteBuf::from))).collect();
        Ok(Stated { pages, ..Stated::default() })
    }
}

/// Goes through both in the order of nodes, and stops where the answer is full.
fn differ(known: &Known, have: &Have, now: UnixMillis) -> Difference {
    let mut both: BTreeMap<NodeId, (Option<KnownOnWire>, Option<KnownOnWire>)> = BTreeMap::new();
    for own in known.range(have.after, have.up_to, now) {
        both.entry(own.node).or_default().0 = Some(own);
    }
    for theirs in &have.known {
        both.entry(theirs.node).or_default().1 = Some(*theirs);
    }
    let mut difference = Difference::default();
    for (node, (own, theirs)) in both {
        let full = |list: &Vec<NodeId>, most| list.len() >= most;
        if full(&difference.heads, limits::STATEMENTS)
            || full(&difference.words, limits::STATEMENTS)
            || full(&difference.want, limits::KNOWN_NODES)
        {
            difference.more = true;
            break;
        }
        let nothing = KnownOnWire { node, seq: 0, head: None, presence: UnixMillis(0) };
        let (own, theirs) = (own.unwrap_or(nothing), theirs.unwrap_or(nothing));
        if counts_before(&own, &theirs) {
            difference.heads.push(node);
        }
        if own.presence > theirs.presence {
            difference.words.push(node);
        }
        if counts_before(&theirs, &own) || theirs.presence > own.presence {
            difference.want.push(node);
        }
    }
    difference
}

/// Whether the head of one counts rather than that of the other.
pub(super) fn counts_before(one: &KnownOnWire, other: &KnownOnWire) -> bool {
    let Some(head) = one.head else { return false };
    one.seq > other.seq || (one.seq == other.seq && other.head.is_none_or(|other| head < other))
}
