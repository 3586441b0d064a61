//! The head of this node's own catalogue: made where something changed, and every hour.

use certs::{Enrolment, SecretKey, Signed};
use wire::catalogue::{CatalogueHead, HeadBundle};
use wire::{Digest, ErrorBody};

use super::known::KnownHead;
use super::own::to_body;
use super::reads::Own;
use super::{Replica, lock};
use crate::registry::{NewHead, Publisher, Roots};

/// A head is made anew after an hour, whatever changed: others keep it for 30 days.
const RENEWED_MS: u64 = 3_600_000;

impl Replica {
    /// Makes a new head of this node's catalogue, where what it publishes or holds changed since the last one, where its
    /// enrolment did, or where that was made an hour ago; `None` else. Every hour it also forgets what is over. Reads all that this node publishes: a second for
    /// 100,000 records. Only pages that are new are written.
    ///
    /// # Errors
    /// See [`Replica::enrol`].
    ///
    /// # Cancel safety
    /// Cancelled, it has made none; ask again.
    pub async fn own_head(
        &self,
        key: &SecretKey,
        enrolment: &Enrolment,
    ) -> Result<Option<HeadBundle>, ErrorBody> {
        let _turn = self.inner.own_head.lock().await;
        self.enrol(enrolment).await?;
        let own = self.own()?;
        let last = lock(&self.inner.known).node(&self.inner.node).and_then(|own| own.head);
        let due = last.is_none_or(|last| last.time.plus(RENEWED_MS) <= self.now());
        if !self.inner.hears.has_own_changed() && !due {
            return Ok(None);
        }
        if due {
            self.forget_old().await?;
        }
        let made = self.make_head(key, enrolment, own, last, due).await;
        if made.is_err() {
            self.inner.hears.own_changes();
        }
        made
    }

    async fn make_head(
        &self,
        key: &SecretKey,
        enrolment: &Enrolment,
        own: Own,
        last: Option<KnownHead>,
        due: bool,
    ) -> Result<Option<HeadBundle>, ErrorBody> {
        let registry = &self.inner.registry;
        let publisher = self.publisher().await?;
        let built = registry.build_catalogue(publisher, own.user).await?;
        let roots = Roots { records: built.records.root, held: built.held.root };
        let before = registry.heads(vec![own.row]).await?.pop();
        let same_enrolment = before.is_some_and(|head| head.enrolment[..] == enrolment.to_bytes()[..]);
        if !due && same_enrolment && roots == registry.roots(own.row).await? {
            registry.release(own.row).await?;
            return Ok(None);
        }
        let seq = last.map_or(0, |last| last.seq + 1).max(registry.own_sequence().await? + 1);
        let (network, now) = (self.inner.network, self.now());
        let head = CatalogueHead::issue(key, network, seq.max(now.0), now, built.records, built.held);
        let bundle = HeadBundle::new(&head, enrolment);
        registry.raise_own_sequence(head.seq).await?;
        match self.put_own(publisher, &head, bundle.clone(), roots).await? {
            true => Ok(Some(bundle)),
            // A page went meanwhile: the next one has it.
            false => {
                self.inner.hears.own_changes();
                Ok(None)
            }
        }
    }

    async fn put_own(
        &self,
        publisher: Publisher,
        head: &Signed<CatalogueHead>,
        bundle: HeadBundle,
        roots: Roots,
    ) -> Result<bool, ErrorBody> {
        for root in [roots.records, roots.held] {
            if !self.settle_tree(publisher, root, false).await.map_err(to_body)? {
                return Ok(false);
            }
        }
        let hash = Digest::from_bytes(*head.hash());
        let (records, held) = (roots.records, roots.held);
        let new = NewHead { seq: head.seq, hash, time: head.time, bundle, records, held };
        self.put_head(publisher, self.inner.node, new).await.map_err(to_body)
    }
}
