//! `unshare`: a tombstone, signed and acknowledged.

use std::sync::Arc;

use certs::{Membership, Signed};
use index::IndexClient;
use tracing::warn;
use wire::message::{Entry, Outcome, OutcomeKind, RecordBundle};
use wire::{ErrorBody, ErrorCode, Kind, Record, ResourceName, SignedRecord, Visibility};

use super::share::next_version;
use crate::activity::{Activity, Version};
use crate::control::api::{UnshareRequest, Unshared};
use crate::control::{ApiError, ApiResult};
use crate::fallback::{Reach, is_away};
use crate::peer::Shared;
use crate::store::{Publication, PublicationState, Walked};

/// What became of a tombstone.
struct Told {
    outcome: Option<Outcome>,
    /// The index has not heard of it.
    pending: bool,
}

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
        let reach = self.reach().await?;
        if let Some(owner) = request.owner.filter(|owner| *owner != membership.user) {
            let entry = self.find_entry(owner.clone(), request.name.clone()).await?;
            return Err(match entry {
                Some(_) => {
                    ErrorBody::new(ErrorCode::NotOwner, format!("{owner}/{} is not yours", request.name))
                }
                None => not_found(&request.name),
            }
            .into());
        }
        let done = self.take_back(&membership, &reach, &request.name).await;
        if let Err(error) = self.store.sweep_kept(false).await {
            warn!(%error, "copies of old versions stay for now");
        }
        done
    }

    async fn take_back(
        &self,
        membership: &Signed<Membership>,
        reach: &Reach,
        name: &ResourceName,
    ) -> ApiResult<Unshared> {
        let _one_at_a_time = self.publishing.lock().await;
        let own = self.store.publication(name.clone()).await.map_err(ApiError::internal)?;
        let own = own.filter(|own| own.state != PublicationState::Gone);
        let mut current = self.find_entry(membership.user.clone(), name.clone()).await?;
        if let (None, Some(own), Reach::Index(index)) = (&current, &own, reach)
            && !own.record.is_gone()
            && self.is_in_copy(&own.record).await?
        {
            // Published while the index was away, and the index has not heard of it yet: others have.
            self.publish(index, vec![own.clone()]).await?;
            current = self.find_entry(membership.user.clone(), name.clone()).await?;
        }
        let Some(current) = current else {
            return self.withdraw_unregistered(membership, name, own).await;
        };
        self.withdraw(reach, membership, current, own).await
    }

    /// The tombstone of what stands.
    async fn withdraw(
        &self,
        reach: &Reach,
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
        let told = match own {
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
                self.tell_gone(reach, &tombstone, Some(withdrawing)).await.map_err(|body| {
                    self.own_changed();
                    ApiError::from(body)
                        .with_hint("it is no longer served, and taken back as soon as the index answers")
                })?
            }
            None => self.tell_gone(reach, &tombstone, None).await?,
        };
        self.own_changed();
        let Told { outcome, pending } = told;
        match outcome.as_ref().map(|outcome| (outcome.outcome, outcome)) {
            Some((OutcomeKind::Refused | OutcomeKind::Superseded, outcome)) => Err(refused(outcome).into()),
            _ => {
                // Of this node's own the log tells with the receipt.
                if elsewhere {
                    self.log(Activity::Unshared { what: Version::of(&tombstone) }).await;
                }
                let version = tombstone.version;
                Ok(Unshared { owner: membership.user.clone(), name, version, pending })
            }
        }
    }

    /// Tells the index of a tombstone, or the other members while it is away. `own`: it is kept here.
    async fn tell_gone(
        &self,
        reach: &Reach,
        tombstone: &SignedRecord,
        own: Option<Publication>,
    ) -> Result<Told, ErrorBody> {
        let away = match reach {
            Reach::Index(index) => {
                let outcomes = match own {
                    Some(own) => self.publish(index, vec![own]).await,
                    None => send(index, tombstone).await,
                };
                match outcomes {
                    Ok(outcomes) => return Ok(Told { outcome: outcomes.into_iter().next(), pending: false }),
                    Err(body) if is_away(&body) => body,
                    Err(body) => return Err(body),
                }
            }
            Reach::Copy => ErrorBody::new(ErrorCode::Unavailable, "the index is away"),
        };
        let replica = self.replica().ok_or(away)?;
        let outcome = self.publish_to_copy(&replica, tombstone).await?;
        Ok(Told { outcome: Some(outcome), pending: true })
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
        self.own_changed();
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

async fn send(index: &IndexClient, tombstone: &SignedRecord) -> Result<Vec<Outcome>, ErrorBody> {
    Ok(index.deregister(vec![RecordBundle::bare(tombstone.bytes())]).await?.outcomes)
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
