//! The list of members that the index signs: made anew soon after they have changed, and every hour, for whoever hands it on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use certs::{IssuerHash, NodeId, Signed, UnixMillis};
use tokio::sync::watch;
use wire::catalogue::{MemberEntry, Revoked};
use wire::{ErrorBody, ErrorCode, MembersHead, TreeHash, VerifiedMembers, limits};

use super::{IndexService, Inner};
use crate::registry::{MembersTrees, RegistryError, StoredHead};

/// How long after a change the list is made anew: of many who sign up at once it is one.
const DEBOUNCE: Duration = Duration::from_secs(1);
/// For so many members the debounce is as long again, since the whole list is read each time.
const MEMBERS_A_DEBOUNCE: u64 = 10_000;
/// How old the list becomes without a change: its time says that the index was there.
const REFRESH: Duration = Duration::from_secs(3600);

/// The list of members that is handed out.
pub(super) struct Members {
    current: watch::Sender<Option<Arc<VerifiedMembers>>>,
    /// The highest sequence of a list of this index that was seen elsewhere.
    seen: AtomicU64,
}

impl Members {
    pub(super) fn new() -> Self {
        Self { current: watch::Sender::new(None), seen: AtomicU64::new(0) }
    }
}

impl IndexService {
    /// The list of members, and each new one; `None` until the first was made, which is soon after the start.
    pub fn members(&self) -> watch::Receiver<Option<Arc<VerifiedMembers>>> {
        self.inner.members.current.subscribe()
    }

    /// Pages of the trees of the list of members, of the one before too, in the order in which they are named; `None` for
    /// each that it does not have.
    ///
    /// # Errors
    /// `internal`, `shutting-down`.
    pub async fn members_pages(&self, hashes: Vec<TreeHash>) -> Result<Vec<Option<Vec<u8>>>, ErrorBody> {
        Ok(self.inner.registry.members_pages(hashes).await?)
    }

    /// Somebody has a list of this network's members. Where it counts rather than this index's own, as after a loss of the
    /// database, a new one is made soon that counts rather than that.
    pub fn saw_members(&self, list: &VerifiedMembers) {
        let inner = &self.inner;
        if list.certificate.epoch != inner.certificate.epoch || is_current(inner, list) {
            return;
        }
        inner.members.seen.fetch_max(list.head.seq, Ordering::AcqRel);
        inner.registry.touch_members();
    }

    /// Takes over what a list says that an index of this network once signed, and that is not known here: accounts, nodes,
    /// ended memberships. What is known here stays. `members` and `revoked` are parts of its trees, at most 4,096 items
    /// together, which the caller has checked; `from`: who handed it on. How many members could not be entered, as the name
    /// or the account is another's by now.
    ///
    /// # Errors
    /// `bad-record` where the list is of another network, or void; `too-large`; `internal`, `shutting-down`.
    ///
    /// # Cancel safety
    /// A part that is being taken over is taken over all the same.
    pub async fn restore_members(
        &self,
        from: NodeId,
        list: &VerifiedMembers,
        members: Vec<MemberEntry>,
        revoked: Vec<Revoked>,
    ) -> Result<usize, ErrorBody> {
        let own = &self.inner.certificate;
        if list.head.network != own.network || own.voids(&list.certificate, list.head.time) {
            return Err(ErrorBody::new(ErrorCode::BadRecord, "the list of members does not stand here"));
        }
        if members.len() + revoked.len() > limits::BATCH_HOLDINGS {
            return Err(ErrorBody::new(ErrorCode::TooLarge, "too much of a list of members at once"));
        }
        Ok(self.inner.registry.restore_members(from, members, revoked, self.now()).await?)
    }
}

/// Makes the list anew whenever that is due, until the service is gone. The caller cancels it when the index stops.
pub(super) async fn keep_members(service: Weak<Inner>) {
    loop {
        let Some(inner) = service.upgrade() else { return };
        if let Err(error) = renew(&inner).await {
            tracing::warn!(%error, "the list of members could not be made");
        }
        let changed = inner.registry.members_change();
        let members = inner.members.current.borrow().as_ref().map_or(0, |list| list.head.member_count);
        drop(inner);
        if tokio::time::timeout(REFRESH, changed.notified()).await.is_ok() {
            let times = u32::try_from(members / MEMBERS_A_DEBOUNCE).unwrap_or(u32::MAX);
            tokio::time::sleep(DEBOUNCE * times.saturating_add(1)).await;
        }
    }
}

/// Makes a new list, unless the one before is as good.
async fn renew(inner: &Inner) -> Result<(), RegistryError> {
    let now = (inner.clock)();
    let last = inner.registry.members_head().await?;
    let trees = inner.registry.build_members(now).await?;
    let known = last.as_ref().and_then(|last| last.bundle.verify(&inner.certificate.network, now).ok());
    let seen = inner.members.seen.load(Ordering::Acquire);
    let seq = last.map_or(0, |last| last.seq);
    let list = match known {
        Some(known) if seen < seq && is_good(&known, inner, &trees, now) => known,
        _ => {
            let seq = now.0.max(seq.saturating_add(1)).max(seen.saturating_add(1)).min(limits::VERSION);
            let MembersTrees { members, revoked, pages } = trees;
            let head = MembersHead {
                format: 0,
                network: inner.certificate.network,
                issuer: IssuerHash::from_bytes(*inner.certificate.hash()),
                seq,
                time: now,
                members: members.root,
                member_count: members.count,
                revoked: revoked.root,
                revoked_count: revoked.count,
            };
            let certificate = inner.certificate.clone();
            let list = VerifiedMembers { head: Signed::sign(&inner.key, head), certificate };
            let new = StoredHead { seq, bundle: list.bundle() };
            inner.registry.keep_members_head(new, pages).await?;
            tracing::debug!(seq, members = members.count, revoked = revoked.count, "a new list of members");
            list
        }
    };
    let same = |current: &Option<Arc<VerifiedMembers>>| {
        current.as_ref().is_some_and(|current| current.head.hash() == list.head.hash())
    };
    inner.members.current.send_if_modified(|current| {
        let new = !same(current);
        if new {
            *current = Some(Arc::new(list.clone()));
        }
        new
    });
    Ok(())
}

/// Whether a list says what stands now, under this index's certificate, and is not old.
fn is_good(known: &VerifiedMembers, inner: &Inner, trees: &MembersTrees, now: UnixMillis) -> bool {
    let MembersHead { members, member_count, revoked, revoked_count, time, .. } = known.head.body();
    known.certificate == inner.certificate
        && (*members, *member_count) == (trees.members.root, trees.members.count)
        && (*revoked, *revoked_count) == (trees.revoked.root, trees.revoked.count)
        && now <= time.plus(REFRESH.as_millis() as u64 / 2)
}

fn is_current(inner: &Inner, list: &VerifiedMembers) -> bool {
    let current = inner.members.current.borrow();
    current.as_ref().is_some_and(|current| current.rank() >= list.rank())
}
