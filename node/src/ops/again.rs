//! A `get` of a newer version of what this node put at the target before.

use std::path::Path;

use wire::{Kind, ResourceName};

use super::get::exists;
use crate::control::{ApiError, ApiResult};
use crate::peer::Shared;
use crate::store::fs::FileKind;
use crate::store::{Base, Installed};
use crate::transfer::VerifiedRecord;

impl Shared {
    /// The older version of a resource (or the same part of it) that this node put at a target, if one lies there. A file
    /// that was edited since is refused, unless `force` says to keep it beside; of a folder that is seen once it is known what changes in it.
    ///
    /// # Errors
    /// `exists` for an edited file.
    pub(super) async fn base_at(
        &self,
        target: &Path,
        record: &VerifiedRecord,
        only: &[String],
        force: bool,
    ) -> ApiResult<Option<Base>> {
        let (name, account) = (record.record.name.clone(), Some(record.record.account));
        let installed = self.store.installed_at(target.to_owned(), name, account).await;
        let installed = installed.map_err(ApiError::internal)?;
        let Some(old) = installed.filter(|old| is_older(old, record) && old.only == only) else {
            return Ok(None);
        };
        let fs = self.store.fs().clone();
        let path = target.to_owned();
        let look = move || fs.stat(&path).ok();
        let found = tokio::task::spawn_blocking(look).await.map_err(ApiError::internal)?;
        match found {
            Some(found) if old.folder && found.kind == FileKind::Folder => Ok(Some(old.base)),
            Some(found) if !old.folder && found.kind == FileKind::Regular => {
                if force || found.stamp.same_as(&old.stamp) {
                    return Ok(Some(old.base));
                }
                let text = format!("{} was changed since it was downloaded", target.display());
                Err(exists(text).with_hint(
                    "choose another place with -o, or replace it with --force (your version is kept beside)",
                ))
            }
            _ => Ok(None),
        }
    }

    /// Whether a path is a folder that was downloaded as a version of this resource: then a `get` to it means that folder,
    /// not a place in it.
    pub(super) async fn is_installed_folder(&self, path: &Path, name: &ResourceName) -> ApiResult<bool> {
        let installed = self.store.installed_at(path.to_owned(), name.clone(), None).await;
        Ok(installed.map_err(ApiError::internal)?.is_some_and(|installed| installed.folder))
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

/// Whether a version is one that a record supersedes, of the same kind.
fn is_older(old: &Installed, record: &VerifiedRecord) -> bool {
    let new = &record.record;
    old.folder == (new.kind == Kind::Folder)
        && Some(old.base.content) != new.content
        && old.rank < record.rank()
}
