//! Old versions that are kept, and `gc`.

use std::path::Path;
use std::sync::Arc;

use certs::{AccountId, Signed, UserName};
use tracing::{debug, warn};
use wire::{Kind, Record, ResourceName, SignedRecord};

use super::get::options_of;
use crate::control::api::{GcDone, GcRequest, GetRequest, Kept};
use crate::control::{ApiError, ApiResult};
use crate::peer::Shared;
use crate::store::{
    DbError, Holding, HoldingId, HoldingState, Imported, JobOptions, KeepError, KeptOf, NewHolding, Origin,
    PAGE_ROWS, Publication, Subscription,
};

/// Makes the copies that a crash between an installation and its copy left out.
pub(crate) async fn keep_missed(shared: Arc<Shared>) {
    let mut after: Option<HoldingId> = None;
    loop {
        let page = match shared.store.unkept(after, PAGE_ROWS).await {
            Ok(page) => page,
            Err(error) => return warn!(%error, "which versions are not kept yet cannot be read"),
        };
        let Some(last) = page.last() else { return };
        after = Some(last.id);
        for holding in page {
            shared.keep_held(holding).await;
        }
    }
}

impl Shared {
    /// Keeps a copy of what was just shared, if that is wished for now or was before, and says what all copies of it cost.
    pub(super) async fn keep(
        &self,
        publication: &Publication,
        imported: &Imported,
        wanted: Option<u32>,
    ) -> Result<Option<Kept>, KeepError> {
        let (account, name) = (publication.record.account, publication.name.clone());
        if self.keep_rule(account, &name, publication.record.kind, wanted).await? == 0 {
            return Ok(None);
        }
        // With the receipt, if it has come.
        let stored = self.store.publication(name.clone()).await?;
        let stored = stored.filter(|stored| stored.record == publication.record);
        let (receipt, certificate) =
            stored.map_or((None, None), |stored| (stored.receipt, stored.certificate));
        let source = NewHolding {
            path: publication.path.clone(),
            stamp: imported.stamp,
            content: imported.content,
            root: imported.manifest.root_hash,
            record: publication.record.clone(),
            receipt,
            certificate,
            origin: Origin::Kept,
        };
        self.store.keep_version(source, self.clock.now()).await?;
        self.store.sweep_kept(false).await?;
        self.kept(account, &name).await
    }

    /// How many old versions of a file are to be kept: as wished for now, else as before, else as this node is configured.
    /// That holds from now on. 0 is no copy at all, as of a folder.
    async fn keep_rule(
        &self,
        account: AccountId,
        name: &ResourceName,
        kind: Kind,
        wanted: Option<u32>,
    ) -> Result<u64, KeepError> {
        let known = self.store.keep_rule(account, name.clone()).await?;
        let default = Some(u64::from(self.keep_by_default.get())).filter(|default| *default > 0);
        let default = default.filter(|_| kind == Kind::File);
        let Some(versions) = wanted.map(u64::from).or(known).or(default) else { return Ok(0) };
        if Some(versions) != known {
            self.store.set_keep_rule(account, name.clone(), versions).await?;
        }
        Ok(if kind == Kind::File { versions } else { 0 })
    }

    /// What is kept of a resource, and what that costs.
    async fn kept(&self, account: AccountId, name: &ResourceName) -> Result<Option<Kept>, KeepError> {
        let kept = self.store.kept_of(vec![(account, name.clone())]).await?;
        Ok(kept.first().and_then(shown))
    }

    /// Writes how many old versions are kept of what is got from now on, before any of it comes.
    pub(super) async fn keep_from_now_on(
        &self,
        request: &GetRequest,
        record: &SignedRecord,
    ) -> ApiResult<()> {
        if request.keep.is_some_and(|keep| keep > 0) && record.kind == Kind::Folder {
            return Err(folder(&request.owner, &request.name));
        }
        if is_kept(&options_of(request), &request.only) {
            let set = self.keep_rule(record.account, &record.name, record.kind, request.keep).await;
            set.map_err(keep_error)?;
        }
        Ok(())
    }

    /// Keeps a copy of what a download has just put in place, if that is wished for, and says what all copies of it cost.
    /// What goes wrong is told in the daemon's log, and made good at the next start.
    pub(super) async fn keep_got(&self, record: &SignedRecord, target: &Path) -> Option<Kept> {
        let keep = async {
            if self.keep_rule(record.account, &record.name, record.kind, None).await? == 0 {
                return Ok(None);
            }
            self.keep_at(target, record.account, &record.name).await?;
            self.kept(record.account, &record.name).await
        };
        keep.await.unwrap_or_else(|error: KeepError| {
            warn!(%error, "a version cannot be kept");
            None
        })
    }

    /// From now on so many old versions are kept of what is subscribed to.
    pub(super) async fn keep_subscribed_to(&self, one: &Subscription, keep: u32) -> ApiResult<()> {
        if keep > 0 && !is_kept(&one.options(), &one.only) {
            return Err(not_served());
        }
        let holdings = self.store.holdings_at(one.target.clone()).await.map_err(ApiError::internal)?;
        if keep > 0 && holdings.iter().any(|holding| holding.folder) {
            return Err(folder(&one.owner, &one.name));
        }
        let rule = self.keep_rule(one.account, &one.name, Kind::File, Some(keep)).await;
        if rule.map_err(keep_error)? > 0 {
            let kept = self.keep_at(&one.target, one.account, &one.name).await;
            kept.map_err(ApiError::internal)?;
        }
        Ok(())
    }

    /// Keeps a copy of what was downloaded to a place, if it is there.
    async fn keep_at(&self, target: &Path, account: AccountId, name: &ResourceName) -> Result<(), DbError> {
        for holding in self.store.holdings_at(target.to_owned()).await? {
            let same = holding.account == account && holding.name == *name;
            if same && holding.origin == Origin::Get && holding.state == HoldingState::Ok {
                self.keep_held(holding).await;
            }
        }
        Ok(())
    }

    /// Keeps a copy of what is held, and removes those that are too many.
    async fn keep_held(&self, holding: Holding) {
        let (path, name) = (holding.path.clone(), holding.name.clone());
        let Ok(record) = Signed::<Record>::parse(&holding.record) else { return };
        let source = NewHolding {
            path: holding.path,
            stamp: holding.stamp,
            content: holding.content,
            root: holding.root,
            record: Arc::new(record),
            receipt: holding.receipt,
            certificate: holding.certificate,
            origin: Origin::Kept,
        };
        let kept = match self.store.keep_version(source, self.clock.now()).await {
            Ok(()) => self.store.sweep_kept(false).await.map(drop),
            error => error,
        };
        match kept {
            Ok(()) => {}
            Err(KeepError::Changed(path)) => debug!(path = %path.display(), "edited here, and so not kept"),
            Err(error) => warn!(%name, path = %path.display(), %error, "a version cannot be kept"),
        }
    }

    /// Removes what nothing needs.
    pub(crate) async fn gc(&self, request: GcRequest) -> ApiResult<GcDone> {
        let GcRequest { dry_run } = request;
        let swept = self.store.sweep_kept(dry_run).await.map_err(keep_error)?;
        let collected = match dry_run {
            true => self.store.count_garbage().await,
            false => self.store.collect_garbage().await,
        };
        let collected = collected.map_err(ApiError::internal)?;
        Ok(GcDone {
            dry_run,
            versions: swept.versions,
            bytes: swept.bytes,
            manifests: collected.manifests as u64,
        })
    }
}

/// Whether versions of what is downloaded so can be kept: it is followed, and given to others as a whole.
pub(super) const fn is_kept(options: &JobOptions, only: &[String]) -> bool {
    options.share && !options.once && !options.pinned && only.is_empty()
}

/// Refuses to keep what cannot be: that is said before anything is done.
pub(super) fn refuse_keep(request: &GetRequest) -> ApiResult<()> {
    match request.keep {
        Some(keep) if keep > 0 && !is_kept(&options_of(request), &request.only) => Err(not_served()),
        _ => Ok(()),
    }
}

fn not_served() -> ApiError {
    let text = "old versions are kept of a file that is followed and served: --keep does not go with --once, \
        --version, --no-share or --only";
    ApiError::usage(text.to_owned()).with_hint("leave --keep away, or get all of it without these")
}

fn folder(owner: &UserName, name: &ResourceName) -> ApiError {
    ApiError::usage(format!("{owner}/{name} is a folder: --keep is for files"))
        .with_hint("get it without --keep")
}

/// As users are shown it; `None` where nothing is kept.
pub(super) fn shown(kept: &KeptOf) -> Option<Kept> {
    let KeptOf { versions, bytes, copied, .. } = *kept;
    (versions > 0).then_some(Kept { versions, bytes, copied })
}

fn keep_error(error: KeepError) -> ApiError {
    match error {
        KeepError::File(error) => {
            let hint = error.hint().map(str::to_owned);
            ApiError { hint, ..ApiError::internal(error) }
        }
        error => ApiError::internal(error),
    }
}
