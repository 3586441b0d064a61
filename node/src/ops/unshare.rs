//! `unshare`: a tombstone, signed and acknowledged.

use std::sync::Arc;

use certs::{Membership, Signed};
use index::IndexClient;
use tracing::warn;
use wire::message::{Entry, List, Outcome, OutcomeKind, RecordBundle};
use wire::{ErrorBody, ErrorCode, Kind, Record, ResourceName, Visibility};

use super::share::next_version;
use crate::activity::{Activity, Version};
use crate::control::api::{UnshareRequest, Unshared};
use crate::control::{ApiError, ApiResult};
use crate::peer::Shared;
use crate::store::{Publication, PublicationState, Walked};

impl Shared {
    /// Takes a resource of this user back. The file stays where it is.
    pub(crate) async fn unshare(&self, request: UnshareRequest) -> ApiResult<Unshared> {
        let name = request.name.clone();
        let unshared = self.unshare_registered(request).await;
        self.watching.touch(name);
        unshared
    }

    async fn unshare_registered(&self, request: UnshareRequest) -> ApiResult<Unshared> {
        let membership = self.need_login()?;
        let index = self.index().await?;
        if let Some(owner) = request.owner.filter(|owner| *owner != membership.user) {
            let entry = find(&index, owner.clone(), request.name.clone()).await?;
            return Err(match entry {
                Some(_) => {
                    ErrorBody::new(ErrorCode::NotOwner, format!("{owner}/{} is not yours", request.name))
                }
                None => not_found(&request.name),
            }
            .into());
        }
        let done = self.take_back(&membership, &index, &request.name).await;
        if let Err(error) = self.store.sweep_kept(false).await {
            warn!(%error, "copies of old versions stay for now");
        }
        done
    }

    async fn take_back(
        &self,
        membership: &Signed<Membership>,
        index: &IndexClient,
        name: &ResourceName,
    ) -> ApiResult<Unshared> {
        let _one_at_a_time = self.publishing.lock().await;
        let current = find(index, membership.user.clone(), name.clone()).await?;
        let own = self.store.publication(name.clone()).await.map_err(ApiError::internal)?;
        let own = own.filter(|own| own.state != PublicationState::Gone);
        let Some(current) = current else {
            return self.withdraw_unregistered(membership, name, own).await;
        };
        self.withdraw(index, membership, current, own).await
    }

    /// The tombstone of what the index has.
    async fn withdraw(
        &self,
        index: &IndexClient,
        membership: &Signed<Membership>,
        current: Entry,
        own: Option<Publication>,
    ) -> ApiResult<Unshared> {
        let own = own.map(|own| (own.path, own.stamp));
        let elsewhere = own.is_none();
        let version = next_version(current.version)?;
        let tombstone = self.tombstone(membership, &current, version);
        let tombstone = Arc::new(Signed::sign(self.credentials.key(), tombstone));
        let name = current.name.clone();
        let outcomes = match own {
            Some((path, stamp)) => {
                let withdrawing = Publication {
                    name: name.clone(),
                    path,
                    stamp,
                    record: tombstone.clone(),
                    receipt: None,
                    certificate: None,
                    state: PublicationState::Withdrawing,
                    walked: Walked::default(),
                    watch: false,
                    racy: false,
                };
                self.store.put_publication(withdrawing.clone(), None).await.map_err(ApiError::internal)?;
                self.publish(index, vec![withdrawing]).await.map_err(|body| {
                    self.announce.notify_one();
                    ApiError::from(body)
                        .with_hint("it is no longer served, and taken back as soon as the index answers")
                })?
            }
            None => send(index, &tombstone).await?,
        };
        self.announce.notify_one();
        match outcomes.first().map(|outcome| (outcome.outcome, outcome)) {
            Some((OutcomeKind::Refused | OutcomeKind::Superseded, outcome)) => Err(refused(outcome).into()),
            _ => {
                // Of this node's own the log tells with the receipt.
                if elsewhere {
                    self.log(Activity::Unshared { what: Version::of(&tombstone) }).await;
                }
                Ok(Unshared {
                    owner: membership.user.clone(),
                    name,
                    version: tombstone.version,
                    pending: false,
                })
            }
        }
    }

    /// A share that the index never acknowledged, or has forgotten: only this node knows of it.
    async fn withdraw_unregistered(
        &self,
        membership: &Signed<Membership>,
        name: &ResourceName,
        own: Option<Publication>,
    ) -> ApiResult<Unshared> {
        let Some(own) = own else { return Err(not_found(name).into()) };
        let (version, what) = (own.record.version, Version::of(&own.record));
        self.store.remove_publication(own).await.map_err(ApiError::internal)?;
        self.log(Activity::Unshared { what }).await;
        self.announce.notify_one();
        Ok(Unshared { owner: membership.user.clone(), name: name.clone(), version, pending: false })
    }

    fn tombstone(&self, membership: &Membership, current: &Entry, version: u64) -> Record {
        let now = self.clock.now().into();
        Record {
            format: 0,
            network: membership.network,
            account: membership.account,
            user: membership.user.clone(),
            node: self.node(),
            name: current.name.clone(),
            kind: Kind::Gone,
            version,
            revision: 0,
            prev: Some(current.record),
            size: 0,
            mtime: now,
            published: now,
            content: None,
            root: None,
            visibility: Visibility::Members,
            extensions: Default::default(),
        }
    }
}

/// The entry of a resource, if there is one.
pub(super) async fn find(
    index: &IndexClient,
    owner: certs::UserName,
    name: ResourceName,
) -> ApiResult<Option<Entry>> {
    let list = List { owner: Some(owner), name: Some(name), limit: Some(1), ..List::default() };
    let page = index.list(list).await.map_err(ErrorBody::from)?;
    Ok(page.items.into_iter().next())
}

async fn send(index: &IndexClient, tombstone: &Signed<Record>) -> ApiResult<Vec<Outcome>> {
    let bundle = RecordBundle {
        record: tombstone.bytes().to_vec().into(),
        receipt: None,
        certificate: None,
        enrolment: None,
    };
    Ok(index.deregister(vec![bundle]).await.map_err(ErrorBody::from)?.outcomes)
}

fn refused(outcome: &Outcome) -> ErrorBody {
    outcome
        .error
        .clone()
        .unwrap_or_else(|| ErrorBody::new(ErrorCode::StaleVersion, "it changed in the meantime; try again"))
}

fn not_found(name: &ResourceName) -> ErrorBody {
    ErrorBody::new(ErrorCode::NotFound, format!("nothing is shared under the name {name}"))
}
