//! The list of members: from whoever has a newer one than this replica.

use std::collections::HashMap;

use certs::Signed;
use wire::catalogue::{CataloguePage, TreeError, TreeKind, Walk};
use wire::{MembersBundle, MembersHead, TreeHash, VerifiedMembers, limits};

use super::known::KnownMembers;
use super::news::NotTaken;
use super::peer::StatementsPeer;
use super::refusal::{Refusal, Refused};
use super::{Replica, lock};

/// How far in the future a list may be dated: clocks differ.
const TOLERANCE_MS: u64 = 600_000;

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
            match self.fetch_list(from, head.seq, walk).await? {
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
        if head.time > now.plus(TOLERANCE_MS) {
            return Err(Refused::new(Refusal::Untimely, "the list of members is from the future"));
        }
        let verified = bundle.verify(&self.inner.network, now).map_err(|error| forged(error.text))?;
        if crate::verify::voids(&self.certificate(), &verified.certificate, verified.head.time) {
            let text = "the list of members is of an index whose statements are void";
            return Err(Refused::new(Refusal::Membership, text));
        }
        Ok(verified)
    }

    /// The pages of one of its trees. `None`: the one who is asked has it no longer.
    async fn fetch_list(
        &self,
        from: &impl StatementsPeer,
        seq: u64,
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
            let mut pages = match missing.is_empty() {
                true => Vec::new(),
                false => match self.ask_pages(from, &missing).await? {
                    Some(pages) => pages,
                    None => return Ok(None),
                },
            }
            .into_iter();
            let mut kept = Vec::with_capacity(wanted.len());
            for (hash, page) in wanted.into_iter().zip(here) {
                let Some(page) = page.or_else(|| pages.next().inspect(|page| came += page.len() as u64))
                else {
                    return Ok(None);
                };
                walk.came(hash, &page).map_err(bad)?;
                kept.push((hash, page));
            }
            registry.keep_list_pages(seq, kept).await?;
        }
        walk.finish().map_err(bad)?;
        Ok(Some(came))
    }

    /// All of it is here: the memberships that ended, page by page, then the head.
    async fn settle_members(&self, verified: &VerifiedMembers) -> Result<(), NotTaken> {
        let registry = &self.inner.registry;
        let mut stack: Vec<_> = verified.head.revoked.into_iter().collect();
        while let Some(hash) = stack.pop() {
            let page = registry.pages(vec![hash]).await?.pop().flatten();
            let page = page.ok_or(crate::registry::RegistryError::Corrupt("a page went"))?;
            match CataloguePage::decode(&page) {
                Ok(CataloguePage::Pages(children)) => stack.extend(children.0),
                Ok(CataloguePage::Revoked(revoked)) => registry.keep_revoked(revoked).await?,
                _ => {}
            }
        }
        registry.keep_members(verified.head.seq, verified.bundle()).await?;
        let revoked: HashMap<_, _> = registry.revoked().await?.into_iter().collect();
        if self.certificate().epoch < verified.certificate.epoch {
            self.set_certificate(verified.certificate.clone());
        }
        lock(&self.inner.known).set_members(KnownMembers::of(verified), revoked);
        Ok(())
    }
}
