//! Bringing two nodes up to date, both ways.

use certs::NodeId;
use wire::limits;
use wire::message::{Have, News, Stated, Statements};

use super::news::Taken;
use super::peer::StatementsPeer;
use super::refusal::{Refusal, Refused, SyncError};
use super::{Replica, lock};

/// Questions of one exchange: enough for a million nodes that differ, and an end for one who always has more.
const ROUNDS: usize = 1 << 14;

/// What an exchange brought.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Synced {
    /// What was new here, to be sent on to others: at most 64 heads and 64 words.
    pub news: News,
    /// Catalogues that were new here.
    pub catalogues: usize,
    /// Bytes of pages that came.
    pub bytes: u64,
}

impl Replica {
    /// Brings this replica and another up to date: takes what the other knows better, and sends what it wants.
    ///
    /// # Errors
    /// See [`SyncError`]; what was taken before stays.
    ///
    /// # Cancel safety
    /// What has come stays, and is not asked for again.
    pub async fn sync(&self, peer: &impl StatementsPeer) -> Result<Synced, SyncError> {
        let mut taken = Taken::default();
        let asked = self.digest();
        let answer = peer.ask(Statements { digest: Some(asked), ..Statements::default() }).await?;
        let theirs = answer.digest.ok_or_else(|| self.lied("no digest in the answer to a digest"))?;
        if let Some(news) = answer.news {
            let News { members, index, .. } = news;
            taken.add(self.take(peer, News { members, index, ..News::default() }).await?);
        }
        let better = self.news_beside(&self.digest(), &theirs).await?;
        self.tell(peer, better).await?;
        if theirs.known != self.digest().known {
            self.exchange(peer, &mut taken).await?;
        }
        let now = self.now();
        lock(&self.inner.known).compared = now;
        self.inner.registry.set_compared(now).await?;
        let Taken { news, catalogues, bytes } = taken;
        Ok(Synced { news, catalogues, bytes })
    }

    /// Range by range, in the order of nodes.
    async fn exchange(&self, peer: &impl StatementsPeer, taken: &mut Taken) -> Result<(), SyncError> {
        let mut after = None;
        for _ in 0..ROUNDS {
            let have = lock(&self.inner.known).have(after, limits::KNOWN_NODES, self.now());
            let end = have.up_to;
            let request = Statements { have: Some(have.clone()), ..Statements::default() };
            let Stated { news, more, want, .. } = peer.ask(request).await?;
            let last = self.last_named(news.as_ref(), &want, &have)?;
            if let Some(news) = news {
                taken.add(self.take(peer, News { members: None, index: None, ..news }).await?);
            }
            self.send_wanted(peer, &want).await?;
            after = match (more, end) {
                (false, None) => return Ok(()),
                (false, end) => end,
                (true, _) => Some(last.ok_or_else(|| self.lied("more to come, after nothing"))?),
            };
        }
        Err(self.lied("an answer without an end"))
    }

    /// The last node that an answer names; all of them are of the range that was asked about.
    fn last_named(
        &self,
        news: Option<&News>,
        want: &[NodeId],
        have: &Have,
    ) -> Result<Option<NodeId>, SyncError> {
        let signers = news.into_iter().flat_map(|news| {
            let heads = news.heads.iter().map(|head| signer::<wire::catalogue::CatalogueHead>(&head.head));
            heads.chain(news.presence.iter().map(|word| signer::<wire::Presence>(&word.presence)))
        });
        let mut last = None;
        for node in signers.chain(want.iter().map(|node| Some(*node))) {
            let node = node.ok_or_else(|| self.lied("news that are not signed"))?;
            let within =
                have.after.is_none_or(|after| node > after) && have.up_to.is_none_or(|end| node <= end);
            if !within {
                return Err(self.lied("news of a node that was not asked about"));
            }
            last = last.max(Some(node));
        }
        Ok(last)
    }

    /// Sends what the other end wants to have of these nodes.
    async fn send_wanted(&self, peer: &impl StatementsPeer, want: &[NodeId]) -> Result<(), SyncError> {
        for nodes in want.chunks(limits::STATEMENTS) {
            let rows: Vec<_> = {
                let known = lock(&self.inner.known);
                nodes.iter().filter_map(|node| known.node(node)).map(|node| node.row).collect()
            };
            let registry = &self.inner.registry;
            let (heads, presence) = (registry.heads(rows.clone()).await?, registry.words(rows).await?);
            self.tell(peer, News { heads, presence, ..News::default() }).await?;
        }
        Ok(())
    }

    async fn tell(&self, peer: &impl StatementsPeer, news: News) -> Result<(), SyncError> {
        if !news.is_empty() {
            peer.ask(Statements { news: Some(news), ..Statements::default() }).await?;
        }
        Ok(())
    }

    /// An answer that is none.
    pub(super) fn lied(&self, text: &str) -> SyncError {
        let refused = Refused::new(Refusal::BadAnswer, text);
        self.refuse(&refused);
        SyncError::Lied(refused)
    }
}

/// Who something says that it is signed by: the signature is checked when it is taken.
fn signer<T: certs::Statement>(bytes: &[u8]) -> Option<NodeId> {
    certs::Signed::<T>::parse_stored(bytes).ok().map(|signed| *signed.signer())
}
