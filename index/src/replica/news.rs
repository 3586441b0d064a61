//! News: heads of catalogues, words of presence, the list of members. Each is checked before anything is done with it.

use certs::{Enrolment, NodeId, Signed, UnixMillis};
use wire::catalogue::{CatalogueHead, HeadBundle, VerifiedHead};
use wire::message::News;
use wire::{Digest, Presence, PresenceBundle, limits};

use super::known::Node;
use super::peer::StatementsPeer;
use super::refusal::{Refusal, Refused, SyncError};
use super::{Replica, lock};
use crate::registry::{AccountRow, Entering, NodeRow, Shown, Word};

/// Enrolments whose signatures were checked, and are remembered: some 2 KB each.
const CHAINS: usize = 2048;

/// Why a head or a list of members was not taken.
#[derive(Debug)]
pub(super) enum NotTaken {
    /// It is not believed.
    Refused(Refused),
    /// It could not be had, or not be kept.
    Failed(SyncError),
}

impl From<Refused> for NotTaken {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<SyncError> for NotTaken {
    fn from(error: SyncError) -> Self {
        Self::Failed(error)
    }
}

impl From<crate::registry::RegistryError> for NotTaken {
    fn from(error: crate::registry::RegistryError) -> Self {
        Self::Failed(error.into())
    }
}

/// What was taken.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// What was new, at most as much as one message carries.
    pub(super) news: News,
    pub(super) catalogues: usize,
    pub(super) bytes: u64,
}

impl Taken {
    pub(super) fn add(&mut self, other: Self) {
        let Self { news, catalogues, bytes } = other;
        self.news.heads.extend(news.heads);
        self.news.presence.extend(news.presence);
        self.news.heads.truncate(limits::STATEMENTS);
        self.news.presence.truncate(limits::STATEMENTS);
        self.news.members = news.members.or(self.news.members.take());
        self.news.index = news.index.or(self.news.index.take());
        self.catalogues += catalogues;
        self.bytes += bytes;
    }
}

impl Replica {
    /// Takes what is new of what somebody sent, and asks it for the pages that are missing. What was new here is to be sent
    /// on to others, once.
    ///
    /// # Errors
    /// See [`SyncError`]; what was taken before stays.
    ///
    /// # Cancel safety
    /// What has come stays, and is not asked for again.
    pub async fn take_news(&self, from: &impl StatementsPeer, news: News) -> Result<News, SyncError> {
        self.take(from, news).await.map(|taken| taken.news)
    }

    /// The same, and how much it was.
    pub(super) async fn take(&self, from: &impl StatementsPeer, news: News) -> Result<Taken, SyncError> {
        news.check()?;
        let mut taken = Taken::default();
        if let Some(place) = news.index {
            let took = self.take_place(&place).map(|new| new.then_some(0)).map_err(NotTaken::from);
            taken.news.index = self.settled(took)?.map(|_| place);
        }
        if let Some(members) = news.members {
            let took = self.take_members(from, &members).await;
            if let Some(bytes) = self.settled(took)? {
                taken.bytes += bytes;
                taken.news.members = Some(members);
            }
        }
        taken.news.presence = self.take_presence(news.presence).await?;
        for bundle in news.heads {
            let took = self.take_head(from, &bundle).await;
            if let Some(bytes) = self.settled(took)? {
                taken.catalogues += 1;
                taken.bytes += bytes;
                taken.news.heads.push(bundle);
            }
        }
        Ok(taken)
    }

    /// Counts what was refused, and ends the exchange where that was a lie.
    fn settled(&self, took: Result<Option<u64>, NotTaken>) -> Result<Option<u64>, SyncError> {
        match took {
            Ok(bytes) => Ok(bytes),
            Err(NotTaken::Failed(error)) => Err(error),
            Err(NotTaken::Refused(refused)) => {
                self.refuse(&refused);
                match refused.refusal.is_a_lie() {
                    true => Err(SyncError::Lied(refused)),
                    false => Ok(None),
                }
            }
        }
    }

    /// Takes one head with its trees: how many bytes of them came; `None` where it was known.
    async fn take_head(
        &self,
        from: &impl StatementsPeer,
        bundle: &HeadBundle,
    ) -> Result<Option<u64>, NotTaken> {
        let verified = self.verify_head(bundle)?;
        if !self.is_newer(&verified)? {
            return Ok(None);
        }
        self.fetch(from, verified).await
    }

    /// Whether this very head is here: several neighbours tell of each, and its signature was checked then.
    fn has_head(&self, head: &Signed<CatalogueHead>) -> bool {
        let known = lock(&self.inner.known).node(&head.node).and_then(|node| node.head);
        known.is_some_and(|known| known.hash.as_bytes() == head.hash())
    }

    /// Whether this very word of presence is here, and holds.
    fn has_word(&self, bundle: &PresenceBundle) -> bool {
        let Ok(said) = Signed::<Presence>::parse_stored(&bundle.presence) else { return false };
        said.is_timely(self.now()) && lock(&self.inner.known).has_word(&said.node, &bundle.presence)
    }

    /// Checks a head by itself: what it is, its times, and the membership of its node.
    fn verify_head(&self, bundle: &HeadBundle) -> Result<VerifiedHead, Refused> {
        let forged = |text: String| Refused::new(Refusal::Forged, text);
        let known =
            Signed::<CatalogueHead>::parse_stored(&bundle.head).ok().filter(|head| self.has_head(head));
        let head = match known {
            Some(head) => head,
            None => Signed::parse(&bundle.head).map_err(|error| forged(error.to_string()))?,
        };
        if head.network != self.inner.network {
            return Err(forged("the catalogue is of another network".to_owned()));
        }
        if !head.is_timely(self.now()) {
            let text = "the head of the catalogue is over, or from the future";
            return Err(Refused::new(Refusal::Untimely, text));
        }
        let enrolment = self.verify_enrolment(&bundle.enrolment, &head.node)?;
        Ok(VerifiedHead { head, enrolment })
    }

    /// Checks the enrolment of a node.
    fn verify_enrolment(&self, bytes: &[u8], node: &NodeId) -> Result<Enrolment, Refused> {
        let enrolment = self.verify_chain(bytes, node)?;
        let over = |error: certs::MembershipError| Refused::new(Refusal::Membership, error.to_string());
        enrolment.check_time(self.now(), self.index_seen()).map_err(over)?;
        let membership = &enrolment.membership;
        if enrolment.is_void_under(&self.certificate()) {
            let text = "the membership is of an index whose statements are void";
            return Err(Refused::new(Refusal::Membership, text));
        }
        if self.revoked(node, membership.serial).is_some() {
            return Err(Refused::new(Refusal::Revoked, "the membership was ended before its time"));
        }
        self.set_certificate(enrolment.certificate.clone());
        Ok(enrolment)
    }

    /// Checks the signatures of an enrolment, those of the same bytes once.
    fn verify_chain(&self, bytes: &[u8], node: &NodeId) -> Result<Enrolment, Refused> {
        let hash = Digest::of(bytes);
        let checked = lock(&self.inner.chains).get(&hash).cloned();
        if let Some(enrolment) = checked.filter(|enrolment| enrolment.membership.node == *node) {
            return Ok(enrolment);
        }
        let forged = |error: certs::MembershipError| Refused::new(Refusal::Forged, error.to_string());
        let enrolment = Enrolment::verify_timeless(bytes, &self.inner.network, node).map_err(forged)?;
        let mut chains = lock(&self.inner.chains);
        if chains.len() >= CHAINS {
            chains.clear();
        }
        chains.insert(hash, enrolment.clone());
        Ok(enrolment)
    }

    /// Whether a head counts rather than the one that is here.
    fn is_newer(&self, verified: &VerifiedHead) -> Result<bool, Refused> {
        let known = lock(&self.inner.known);
        let Some(node) = known.node(&verified.node()) else {
            return match known.count() >= self.inner.limits.nodes {
                true => Err(Refused::new(Refusal::TooMuch, "more nodes than this replica takes")),
                false => Ok(true),
            };
        };
        let Some(head) = node.head else { return Ok(true) };
        if head.hash == verified.hash() {
            return Ok(false);
        }
        if head.seq == verified.head.seq {
            let text = format!("{} signed two heads of one sequence", verified.node());
            self.refuse(&Refused::new(Refusal::Equivocation, text));
        }
        match verified.beats(head.seq, &head.hash) {
            true => Ok(true),
            false if head.seq == verified.head.seq => Ok(false),
            false => Err(Refused::new(Refusal::OldSequence, "a later head of this catalogue is here")),
        }
    }

    /// Takes words of presence; those that were new.
    async fn take_presence(&self, bundles: Vec<PresenceBundle>) -> Result<Vec<PresenceBundle>, SyncError> {
        let (mut words, mut new) = (Vec::new(), Vec::new());
        for bundle in bundles {
            if self.has_word(&bundle) {
                continue;
            }
            let took = self.verify_presence(&bundle).await;
            match took {
                Ok(None) => {}
                Ok(Some((node, row, word))) => {
                    words.push((row, word.clone(), bundle.presence.to_vec()));
                    new.push((node, word, bundle));
                }
                Err(NotTaken::Failed(error)) => return Err(error),
                Err(NotTaken::Refused(refused)) => {
                    self.settled(Err(refused.into()))?;
                }
            }
        }
        if !words.is_empty() {
            self.inner.registry.keep_words(words).await?;
        }
        let mut known = lock(&self.inner.known);
        Ok(new
            .into_iter()
            .map(|(node, word, bundle)| {
                known.take_word(&node, word, &bundle.presence);
                bundle
            })
            .collect())
    }

    /// Checks one word: whose, and what it says; `None` where a later one is known, or nothing of its node.
    async fn verify_presence(
        &self,
        bundle: &PresenceBundle,
    ) -> Result<Option<(NodeId, NodeRow, Word)>, NotTaken> {
        let forged = |text: String| Refused::new(Refusal::Forged, text);
        let word = Signed::<Presence>::parse(&bundle.presence).map_err(|error| forged(error.to_string()))?;
        if word.network != self.inner.network {
            return Err(forged("the presence is in another network".to_owned()).into());
        }
        let now = self.now();
        if !word.is_timely(now) {
            let text = "the word of presence is over, or from the future";
            return Err(Refused::new(Refusal::Untimely, text).into());
        }
        let known = lock(&self.inner.known).node(&word.node).cloned();
        if known.as_ref().and_then(|node| node.word.as_ref()).is_some_and(|last| last.time >= word.time) {
            return Ok(None);
        }
        let row = match (&bundle.enrolment, known) {
            (_, Some(node)) if self.holds_still(&word.node, &node, now) => node.row,
            (Some(enrolment), _) => {
                let enrolment = self.verify_enrolment(enrolment, &word.node)?;
                self.enter(&word.node, &enrolment).await?.1
            }
            (None, _) => return Ok(None),
        };
        let said = Word { time: word.time, since: word.since, addresses: word.addresses.clone() };
        Ok(Some((word.node, row, said)))
    }

    /// Whether the membership that a node showed before is enough for a word of its.
    fn holds_still(&self, id: &NodeId, node: &Node, now: UnixMillis) -> bool {
        self.revoked(id, node.serial).is_none() && node.is_member(now, self.index_seen())
    }

    /// Enters a node by an enrolment that was checked.
    pub(super) async fn enter(
        &self,
        node: &NodeId,
        enrolment: &Enrolment,
    ) -> Result<(AccountRow, NodeRow), NotTaken> {
        {
            let known = lock(&self.inner.known);
            if known.node(node).is_none() && known.count() >= self.inner.limits.nodes {
                let text = "more nodes than this replica takes";
                return Err(Refused::new(Refusal::TooMuch, text).into());
            }
        }
        let membership = &enrolment.membership;
        let shown = Shown {
            account: membership.account,
            user: membership.user.clone(),
            node: *node,
            serial: membership.serial,
            now: self.now(),
        };
        let entering = Entering { shown, not_after: membership.not_after, enrolment: enrolment.to_bytes() };
        let rows = self.inner.registry.enter(entering).await?;
        let taken = |body: wire::ErrorBody| Refused::new(Refusal::NameTaken, body.text);
        let (account, row) = rows.map_err(taken)?;
        let entered = Node {
            row,
            account: membership.account,
            user: membership.user.clone(),
            serial: membership.serial,
            not_after: membership.not_after,
            head: None,
            word: None,
        };
        lock(&self.inner.known).enter(*node, entered);
        Ok((account, row))
    }
}
