//! What a version is built on, where machines of one user publish under one name.

use tracing::warn;
use wire::message::Entry;
use wire::{ErrorBody, ErrorCode, RecordHash, SignedRecord, record_hash};

use crate::control::api::ShareRequest;
use crate::control::{ApiError, ApiResult};
use crate::peer::Shared;
use crate::store::{Imported, Publication, PublicationState};

/// The record that one is built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Built {
    pub(super) on: RecordHash,
    pub(super) version: u64,
}

impl From<&SignedRecord> for Built {
    fn from(record: &SignedRecord) -> Self {
        Self { on: record_hash(record), version: record.version }
    }
}

/// What a new version is built on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Footing {
    /// What this node knows of the name.
    Own,
    /// The record of another machine that stands, knowingly.
    Onto(Built),
    /// Nothing: that record has the very content, and is taken over.
    Same,
}

impl Shared {
    /// Looks at what stands at the index. What was superseded is built on by no version unless the user says that the one that
    /// stands is known; also where this node was not told yet that another machine's stands in the place of its own.
    ///
    /// Two that publish the next version at once are met by the order of records, and so is who publishes between this look
    /// and the registration.
    ///
    /// # Errors
    /// `superseded`; with `onto` also `not-found` where nothing stands, and those of the index.
    pub(super) async fn footing(
        &self,
        request: &ShareRequest,
        previous: Option<&Publication>,
        imported: &Imported,
    ) -> ApiResult<Footing> {
        let known = previous.filter(|previous| !previous.record.is_gone());
        if request.onto.is_none() && known.is_none_or(|known| self.is_unacknowledged(known, imported)) {
            return Ok(Footing::Own);
        }
        let superseded = known.is_some_and(|known| known.state == PublicationState::Superseded);
        let stands = match self.standing_entry(request).await {
            // As ever: it is registered as soon as the index answers.
            Err(_) if request.onto.is_none() && !superseded => return Ok(Footing::Own),
            stands => stands?,
        };
        let Some(stands) = stands else {
            return request.onto.map_or(Ok(Footing::Own), |onto| Err(nothing(request, onto)));
        };
        let ours = known.is_some_and(|known| record_hash(&known.record) == stands.record);
        match request.onto {
            Some(onto) if onto != stands.version => Err(self.stands_instead(&stands, Some(onto))),
            _ if ours => Ok(Footing::Own),
            _ if stands.content == Some(imported.content) => Ok(Footing::Same),
            Some(_) => Ok(Footing::Onto(Built { on: stands.record, version: stands.version })),
            None => self.behind(known, &stands, superseded).await,
        }
    }

    async fn standing_entry(&self, request: &ShareRequest) -> ApiResult<Option<Entry>> {
        let membership = self.need_login()?;
        self.find_entry(membership.user.clone(), request.name.clone()).await
    }

    /// Another record stands than the one that is known. One of the same version took its place; with any other the index says
    /// by itself which of the two counts.
    async fn behind(
        &self,
        known: Option<&Publication>,
        stands: &Entry,
        superseded: bool,
    ) -> ApiResult<Footing> {
        let Some(known) = known else { return Ok(Footing::Own) };
        if !superseded && (stands.node == self.node() || stands.version != known.record.version) {
            return Ok(Footing::Own);
        }
        let hash = record_hash(&known.record);
        let set = self.store.set_superseded(known.name.clone(), hash, Some(stands.version)).await;
        if let Err(error) = set {
            warn!(name = %known.name, %error, "that it is superseded is not kept");
        }
        Err(self.stands_instead(stands, None))
    }

    fn stands_instead(&self, stands: &Entry, onto: Option<u64>) -> ApiError {
        let Entry { owner, name, version, node, .. } = stands;
        let by = match *node == self.node() {
            true => "this node".to_owned(),
            false => format!("node {}", node.short()),
        };
        let instead = onto.map_or_else(String::new, |onto| format!(", not version {onto}"));
        let text = format!("version {version} of {owner}/{name} stands, published by {by}{instead}");
        superseded(text, &format!("{owner}/{name}"), *version)
    }
}

/// Refused, with what the user can do about it.
pub(super) fn superseded(text: String, resource: &str, version: u64) -> ApiError {
    ApiError::from(ErrorBody::new(ErrorCode::Superseded, text)).with_hint(format!(
        "`p2p-node get {resource} --version {version} -o PATH` gets that one to look at; \
         `p2p-node share --onto {version}` publishes yours on top of it"
    ))
}

fn nothing(request: &ShareRequest, onto: u64) -> ApiError {
    let text = format!("nothing is shared under the name {}: there is no version {onto}", request.name);
    ApiError::new(ErrorCode::NotFound, text).with_hint("share it without --onto")
}
