//! The list of members: from whoever has a newer one than this replica.

use certs::{NodeId, Signed};
use wire::catalogue::{CataloguePage, MemberEntry, Revoked, TreeError, TreeKind, Walk};
use wire::{ErrorBody, MembersBundle, MembersHead, MembersNumber, TreeHash, VerifiedMembers, limits};

use super::known::KnownMembers;
use super::news::NotTaken;
use super::peer::StatementsPeer;
use super::refusal::{Refusal, Refused};
use super::{Replica, lock};
use crate::registry::{RegistryError, StoredHead};

impl Replica {
    /// Takes a list with its trees: how many bytes of them came; `None` where it is not newer.
    pub(super) async fn take_members(
        &self,
        from: &impl StatementsPeer,
        bundle: &MembersBundle,
    ) -> Result<Option<u64>, NotTaken> {
        let verified = self.verify_members(bundle)?;
        let known = lock(&self.inner.known).members().map(|known| known.rank);
        if known.is_some_and(|known| known >= verified.rank()) {
            return Ok(None);
        }
        let head = &verified.head;
        let mut came = 0;
        for (kind, root, count) in [
            (TreeKind::Members, head.members, head.member_count),
            (TreeKind::Revoked, head.revoked, head.revoked_count),
        ] {
            let walk = Walk::new(kind, root, count);
            match self.fetch_list(from, verified.number(), walk).await? {
                Some(bytes) => came += bytes,
                None => return Ok(None),
            }
        }
        self.settle_members(&verified).await?;
        Ok(Some(came))
    }

    fn verify_members(&self, bundle: &MembersBundle) -> Result<VerifiedMembers, Refused> {
        let forged = |text: String| Refused::new(Refusal::Forged, text);
        let now = self.now();
        let head = Signed::<MembersHead>::parse(&bundle.head).map_err(|error| forged(error.to_string()))?;
        if !head.is_timely(now) {
            return Err(Refused::new(Refusal::Untimely, "the list of members is from the future"));
        }
        let verified = bundle.verify(&self.inner.network, now).map_err(|error| forged(error.text))?;
        if self.certificate().voids(&verified.certificate, verified.head.time) {
            let text = "the list of members is of an index whose statements are void";
            return Err(Refused::new(Refusal::Membership, text));
        }
        Ok(verified)
    }

    /// The pages of one of its trees. `None`: the one who is asked has it no longer.
    async fn fetch_list(
        &self,
        from: &impl StatementsPeer,
        number: MembersNumber,
        mut walk: Walk,
    ) -> Result<Option<u64>, NotTaken> {
        let bad = |error: TreeError| Refused::new(Refusal::BadTree, error.to_string());
        let registry = &self.inner.registry;
        let mut came = 0;
        loop {
            let wanted = walk.next(limits::STATEMENTS);
            if wanted.is_empty() {
                break;
            }
            let here = registry.pages(wanted.clone()).await?;
            let missing: Vec<TreeHash> =
                wanted.iter().zip(&here).filter(|(_, page)| page.is_none()).map(|(hash, _)| *hash).collect();
            let mut asked = Vec::new();
            if !missing.is_empty() {
                let Some(pages) = self.ask_pages(from, &missing).await? else { return Ok(None) };
                came += pages.iter().map(|page| page.len() as u64).sum::<u64>();
                asked = pages;
            }
            let mut asked = asked.into_iter();
            let mut kept = Vec::with_capacity(wanted.len());
            for (hash, page) in wanted.into_iter().zip(here) {
                match page.or_else(|| asked.next()) {
                    Some(page) => {
                        walk.came(hash, &page).map_err(bad)?;
                        kept.push((hash, page));
                    }
                    None => walk.again(hash),
                }
            }
            registry.keep_members_pages(number, kept).await?;
        }
        walk.finish().map_err(bad)?;
        Ok(Some(came))
    }

    /// The list of members that is here, as it travels.
    ///
    /// # Errors
    /// `internal`, `shutting-down`.
    pub async fn members_bundle(&self) -> Result<Option<MembersBundle>, ErrorBody> {
        Ok(self.inner.registry.members_head().await?.map(|head| head.bundle))
    }

    /// Members by the list that is here, of which no catalogue is known and that are wanted: at most so many, the first by their
    /// bytes. Whoever is not asked about had no room.
    ///
    /// # Errors
    /// `internal`, `shutting-down`.
    pub async fn members_without_catalogue(
        &self,
        most: usize,
        mut is_wanted: impl FnMut(&NodeId) -> bool,
    ) -> Result<Vec<NodeId>, ErrorBody> {
        let Some(bundle) = self.members_bundle().await? else { return Ok(Vec::new()) };
        let list = bundle.verify(&self.inner.network, self.now())?;
        let mut stack: Vec<_> = list.head.members.into_iter().collect();
        let mut found = Vec::new();
        while let Some(hash) = stack.pop()
            && found.len() < most
        {
            let page = self.inner.registry.pages(vec![hash]).await?.pop().flatten();
            match page.as_deref().map(CataloguePage::decode) {
                Some(Ok(CataloguePage::Pages(children))) => stack.extend(children.0.into_iter().rev()),
                Some(Ok(CataloguePage::Members(members))) => {
                    let known = lock(&self.inner.known);
                    let unknown = |node: &NodeId| known.node(node).is_none_or(|node| node.head.is_none());
                    let others =
                        members.into_iter().map(|one| one.node).filter(|node| *node != self.inner.node);
                    let missing = others.filter(|node| unknown(node) && is_wanted(node));
                    found.extend(missing.take(most - found.len()));
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// The index has signed a new list, whose pages are here.
    pub(crate) async fn signed_members(&self, list: &VerifiedMembers) -> Result<(), RegistryError> {
        let revoked = self.inner.registry.revoked().await?;
        lock(&self.inner.known).set_members(KnownMembers::of(list), revoked);
        self.end_memberships().await
    }

    /// All of it is here: the memberships that ended, page by page, then the head. An index that lost its database
    /// enters the members, too, and signs a list of its own.
    async fn settle_members(&self, verified: &VerifiedMembers) -> Result<(), NotTaken> {
        let registry = &self.inner.registry;
        let at_index = self.inner.issuer.is_some();
        let members = verified.head.members.filter(|_| at_index);
        let mut stack: Vec<_> = verified.head.revoked.into_iter().chain(members).collect();
        while let Some(hash) = stack.pop() {
            let page = registry.pages(vec![hash]).await?.pop().flatten();
            let page = page.ok_or(crate::registry::RegistryError::Corrupt("a page went"))?;
            match CataloguePage::decode(&page) {
                Ok(CataloguePage::Pages(children)) => stack.extend(children.0),
                Ok(CataloguePage::Revoked(revoked)) if at_index => {
                    self.restore(verified, Vec::new(), revoked).await?;
                }
                Ok(CataloguePage::Revoked(revoked)) => registry.keep_revoked(revoked).await?,
                Ok(CataloguePage::Members(members)) => self.restore(verified, members, Vec::new()).await?,
                _ => {}
            }
        }
        registry.keep_members_head(StoredHead::of(verified), Vec::new()).await?;
        let revoked = registry.revoked().await?;
        if self.certificate().epoch < verified.certificate.epoch {
            self.set_certificate(verified.certificate.clone());
        }
        lock(&self.inner.known).set_members(KnownMembers::of(verified), revoked);
        self.end_memberships().await?;
        if at_index {
            registry.touch_members();
        }
        Ok(())
    }

    /// Makes an end of the catalogues of nodes whose memberships have ended, and of what they published since without a
    /// receipt.
    pub(super) async fn end_memberships(&self) -> Result<(), RegistryError> {
        let over =
            lock(&self.inner.known).drop_heads(|known, id, node, _| known.revoked(id, node.serial).is_some());
        self.forget_heads(over).await?;
        let accounts = self.inner.registry.withdraw_ended().await?;
        if accounts.is_empty() {
            return Ok(());
        }
        // What another node of the account published may have given way, and comes again with its catalogue.
        let own = self.inner.node;
        let again = lock(&self.inner.known)
            .drop_heads(|_, id, node, _| *id != own && accounts.contains(&node.account));
        self.forget_heads(again).await
    }

    async fn restore(
        &self,
        list: &VerifiedMembers,
        members: Vec<MemberEntry>,
        revoked: Vec<Revoked>,
    ) -> Result<(), RegistryError> {
        let signer = list.certificate.node;
        let refused = self.inner.registry.restore_members(signer, members, revoked, self.now()).await?;
        if refused > 0 {
            tracing::warn!(refused, "members whose name or account is another's by now are not restored");
        }
        Ok(())
    }
}
