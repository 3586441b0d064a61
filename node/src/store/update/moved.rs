//! Files that only moved within a folder: their bytes are taken from where they lie, not from the network.

use std::path::Path;

use super::Update;
use crate::ranges::RangeSet;
use crate::store::folder_files::StampsByEntry;
use crate::store::jobs::JobId;
use crate::store::partial::{Partial, PartialError};
use crate::store::{Store, jobs};

impl Store {
    /// Copies files of the old version at a job's target to where the new one has them, as long as `go_on` says so, and
    /// unless something of them is `done`. Returns the chunks that are there now: verified, as each whole file's hash is
    /// compared while it is copied, and not durable yet. What cannot be copied, or was edited, is left to be downloaded. Blocks.
    ///
    /// # Errors
    /// See [`PartialError`]: where the new file cannot be written.
    pub fn take_moved(
        &self,
        id: JobId,
        update: &Update,
        (partial, done): (&Partial, &RangeSet),
        go_on: &dyn Fn() -> bool,
    ) -> Result<RangeSet, PartialError> {
        let mut taken = RangeSet::new();
        let Partial::Folder(partial) = partial else { return Ok(taken) };
        let job = self.db().read_blocking("read a job", move |connection| jobs::by_id(connection, id))?;
        let Some(job) = job.filter(|_| !update.diff.moved.is_empty()) else { return Ok(taken) };
        let Ok(folder) = self.fs().open_folder(&job.target) else { return Ok(taken) };
        let mut stamps = StampsByEntry::new(self, &job.target, update.base);
        for &(new, old) in &update.diff.moved {
            if !go_on() {
                break;
            }
            let (Some(to), Some(from)) =
                (update.new.entries.get(new as usize), update.old.entries.get(old as usize))
            else {
                continue;
            };
            let chunks = update.new.chunks.chunks_of(to.bytes());
            // What came already is not written over.
            if chunks.clone().any(|chunk| done.contains(chunk)) {
                continue;
            }
            let Ok(file) = folder.open_read(Path::new(from.path)) else { continue };
            let stamp = stamps.stamp(old)?;
            if file.stat().is_ok_and(|found| super::is_same(&found.stamp, stamp))
                && partial.take(new as usize, to, &*file, go_on)?
            {
                taken.insert(chunks);
            }
        }
        Ok(taken)
    }
}
