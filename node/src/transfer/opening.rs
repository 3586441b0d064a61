//! Holders being connected, all at once; whoever answers can be taken before the others have.

use std::collections::{HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;

use certs::NodeId;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tracing::debug;
use wire::message::HolderInfo;

use super::source::{Early, Source, SourceError};
use super::verify::VerifiedRecord;
use crate::peer::Shared;

type Opened = (NodeId, Result<Source, SourceError>);

/// Holders that are dialled and shown the record. Attempts go on while [`Opening::next`] is awaited.
pub(super) struct Opening {
    attempts: FuturesUnordered<Pin<Box<dyn Future<Output = Opened> + Send>>>,
    /// Those that answered and are to be given out again.
    answered: VecDeque<Source>,
    /// Who is meant by either.
    nodes: HashSet<NodeId>,
    /// What each is asked for at once.
    early: Early,
}

impl Opening {
    /// Begins with these, and asks each for more at once.
    pub(super) fn new(
        shared: &Arc<Shared>,
        record: &Arc<VerifiedRecord>,
        holders: Vec<HolderInfo>,
        early: Early,
    ) -> Self {
        let (attempts, answered, nodes) = (FuturesUnordered::new(), VecDeque::new(), HashSet::new());
        let mut opening = Self { attempts, answered, nodes, early };
        opening.add(shared, record, holders);
        // Who is found later finds the manifest here.
        opening.early = Early::Nothing;
        opening
    }

    /// Begins with these, too. One that is being opened already is left out.
    pub(super) fn add(
        &mut self,
        shared: &Arc<Shared>,
        record: &Arc<VerifiedRecord>,
        holders: impl IntoIterator<Item = HolderInfo>,
    ) {
        for holder in holders {
            if self.nodes.insert(holder.node) {
                let (shared, record, early) = (shared.clone(), record.clone(), self.early);
                self.attempts.push(Box::pin(async move {
                    (holder.node, Source::open(&shared, holder, record, early).await)
                }));
            }
        }
    }

    /// The next one that answers or turns out to be of no use; `None` while there is nothing to wait for.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn next(&mut self) -> Option<Result<Source, SourceError>> {
        if let Some(source) = self.answered.pop_front() {
            self.nodes.remove(&source.node);
            return Some(Ok(source));
        }
        let (node, opened) = self.attempts.next().await?;
        self.nodes.remove(&node);
        if let Err(error) = &opened {
            debug!(peer = %node.short(), %error, "a holder is of no use");
        }
        Some(opened)
    }

    /// Gives sources back that [`Opening::next`] gave out, for who takes them next.
    pub(super) fn put_back(&mut self, sources: Vec<Source>) {
        self.nodes.extend(sources.iter().map(|source| source.node));
        self.answered.extend(sources);
    }

    /// How many are still to come.
    pub(super) fn len(&self) -> usize {
        self.attempts.len() + self.answered.len()
    }

    /// Whether there is nothing to wait for.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
