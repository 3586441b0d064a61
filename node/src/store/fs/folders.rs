//! Folders that a download needs.

use std::path::Path;

use super::{At, FileError, Fs};

/// The folder that a path lies in.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Creates a folder with all above it, and makes the new names durable: without that, a crash could take a file with
/// its folder although both were synced.
pub(crate) fn create_folders(fs: &dyn Fs, folder: &Path) -> Result<(), FileError> {
    let missing: Vec<&Path> = folder
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && fs.stat(path).is_err())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    fs.create_dir_all(folder).at("create the folder", folder)?;
    missing.into_iter().rev().try_for_each(|created| {
        let parent = parent_of(created);
        fs.sync_folder(parent).at("make durable the folder", parent)
    })
}
