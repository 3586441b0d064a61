//! A `get` of a newer version of what this node put at the target before.

use std::path::Path;

use wire::{Kind, SignedRecord, record_hash};

use super::get::exists;
use crate::control::{ApiError, ApiResult};
use crate::peer::Shared;
use crate::store::fs::FileKind;
use crate::store::{Base, Holding, HoldingState, Origin};
use crate::transfer::VerifiedRecord;

impl Shared {
    /// The older version of a resource that this node put at a target, if one lies there. A file that was edited since is
    /// refused, unless `force` says to keep it beside; of a folder that is seen once it is known what changes in it.
    ///
    /// # Errors
    /// `exists` for an edited file.
    pub(super) async fn base_at(
        &self,
        target: &Path,
        record: &VerifiedRecord,
        force: bool,
    ) -> ApiResult<Option<Base>> {
        let holdings = self.store.holdings_at(target.to_owned()).await.map_err(ApiError::internal)?;
        let Some(holding) = holdings.into_iter().find(|holding| is_older(holding, record)) else {
            return Ok(None);
        };
        let path = target.to_owned();
        let look = move || std::fs::symlink_metadata(path).map(|found| found.file_type());
        let found = tokio::task::spawn_blocking(look).await.map_err(ApiError::internal)?;
        let base = Base { root: holding.root, content: holding.content };
        match found {
            Ok(kind) if holding.folder && kind.is_dir() => return Ok(Some(base)),
            Ok(kind) if !holding.folder && kind.is_file() => {}
            _ => return Ok(None),
        }
        match self.store.check_holding(holding).await {
            _ if force => Ok(Some(base)),
            Ok(HoldingState::Ok) => Ok(Some(base)),
            _ => {
                let text = format!("{} was changed since it was downloaded", target.display());
                Err(exists(text).with_hint(
                    "choose another place with -o, or replace it with --force (your version is kept beside)",
                ))
            }
        }
    }

    /// Whether a path is a folder that is held as a version of this resource: then a `get` to it means that folder, not
    /// a place in it.
    pub(super) async fn is_held_folder(&self, path: &Path, name: &wire::ResourceName) -> ApiResult<bool> {
        let holdings = self.store.holdings_at(path.to_owned()).await.map_err(ApiError::internal)?;
        let of_name =
            |holding: &Holding| holding.folder && holding.origin == Origin::Get && holding.name == *name;
        Ok(holdings.iter().any(of_name))
    }

    /// What lies at a path, links followed; a link to nothing is a link.
    pub(super) async fn kind_of(&self, path: &Path) -> ApiResult<Option<FileKind>> {
        let path = path.to_owned();
        let look = move || match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => Some(FileKind::Folder),
            Ok(found) if found.is_file() => Some(FileKind::Regular),
            Ok(_) => Some(FileKind::Other),
            Err(_) => path.is_symlink().then_some(FileKind::Link),
        };
        tokio::task::spawn_blocking(look).await.map_err(ApiError::internal)
    }
}

/// Whether what is held is a version of a record's resource that the record supersedes, of the same kind.
fn is_older(holding: &Holding, record: &VerifiedRecord) -> bool {
    let (new, hash) = (&record.record, record_hash(&record.record));
    let same = (holding.account, &holding.name) == (new.account, &new.name)
        && holding.folder == (new.kind == Kind::Folder)
        && holding.origin == Origin::Get;
    same && Some(holding.content) != new.content
        && SignedRecord::parse(&holding.record)
            .is_ok_and(|held| held.rank(holding.record_hash) < new.rank(hash))
}
