//! The list of members that the index signs: made anew soon after they have changed, and every hour, for whoever hands it on.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use certs::UnixMillis;
use tokio::sync::watch;
use wire::{MembersHead, VerifiedMembers, limits};

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
}

impl Members {
    pub(super) fn new() -> Self {
        Self { current: watch::Sender::new(None) }
    }
}

impl IndexService {
    /// The list of members, and each new one; `None` until the first was made, which is soon after the
    /// start, or after a recovery.
    pub fn members(&self) -> watch::Receiver<Option<Arc<VerifiedMembers>>> {
        self.inner.members.current.subscribe()
    }
}

/// Makes the list anew whenever that is due, until the service is gone. The caller cancels it when the index stops.
pub(super) async fn keep_members(service: Weak<Inner>) {
    loop {
        let Some(inner) = service.upgrade() else { return };
        if let Err(error) = end_sessions(&inner).await {
            tracing::warn!(%error, "whose memberships have ended cannot be read");
        }
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

/// Those who were let in by a membership of which only a list that was handed over since says that it was ended are
/// nobody's any more.
async fn end_sessions(inner: &Inner) -> Result<(), RegistryError> {
    let online = inner.presence.online().iter().copied().collect();
    for (row, serial) in inner.registry.ended_serials(online).await? {
        if inner
            .presence
            .member_session(row)
            .and_then(|session| session.member())
            .is_some_and(|member| member.serial <= serial)
        {
            inner.presence.end(None, row, serial);
        }
    }
    Ok(())
}

/// Makes a new list, unless the one before is as good. Not while the index recovers: it would count rather than those
/// that the members still have, and lack whoever has not come back yet.
async fn renew(inner: &Inner) -> Result<(), RegistryError> {
    if inner.recovering.load(Ordering::Acquire) {
        return Ok(());
    }
    let now = (inner.clock)();
    let last = inner.registry.members_head().await?;
    let trees = inner.registry.build_members(now).await?;
    let known = last.as_ref().and_then(|last| last.bundle.verify(&inner.certificate.network, now).ok());
    let seq = last.map_or(0, |last| last.number.seq);
    let list = match known {
        Some(known) if is_good(&known, inner, &trees, now) => known,
        _ => {
            let seq = now.0.max(seq.saturating_add(1)).min(limits::VERSION);
            let MembersTrees { members, revoked, pages } = trees;
            let certificate = inner.certificate.clone();
            let head = MembersHead::issue(&inner.key, &certificate, seq, now, members, revoked);
            let list = VerifiedMembers { head, certificate };
            inner.registry.keep_members_head(StoredHead::of(&list), pages).await?;
            tracing::debug!(seq, members = members.count, revoked = revoked.count, "a new list of members");
            list
        }
    };
    inner.replica.signed_members(&list).await?;
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
