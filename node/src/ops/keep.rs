//! Old versions that are kept, and `gc`.

use crate::control::api::{GcDone, GcRequest, Kept};
use crate::control::{ApiError, ApiResult};
use crate::peer::Shared;
use crate::store::{Imported, KeepError, NewHolding, Origin, Publication};

impl Shared {
    /// Keeps a copy of what was just shared, if that is wished for now or was before, and says what all copies of it cost.
    pub(super) async fn keep(
        &self,
        publication: &Publication,
        imported: &Imported,
        wanted: Option<u32>,
    ) -> Result<Option<Kept>, KeepError> {
        let (account, name) = (publication.record.account, publication.name.clone());
        let known = self.store.keep_rule(account, name.clone()).await?;
        let Some(versions) = wanted.map(u64::from).or(known) else { return Ok(None) };
        if Some(versions) != known {
            self.store.set_keep_rule(account, name.clone(), versions).await?;
        }
        if versions == 0 {
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
        let kept = self.store.kept_versions(account, name).await?;
        Ok(Some(Kept {
            versions: kept.len() as u64,
            bytes: kept.iter().map(|one| one.size).sum(),
            copied: kept.iter().filter(|one| !one.reflinked).map(|one| one.size).sum(),
        }))
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

fn keep_error(error: KeepError) -> ApiError {
    match error {
        KeepError::File(error) => {
            let hint = error.hint().map(str::to_owned);
            ApiError { hint, ..ApiError::internal(error) }
        }
        error => ApiError::internal(error),
    }
}
