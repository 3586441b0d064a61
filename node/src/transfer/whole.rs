//! The hash of the whole content, computed behind the writer while the pages are still in memory.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use wire::ContentHash;

use crate::store::{PartialError, PartialFile};

/// What one read takes.
const PIECE_BYTES: usize = 1 << 20;
/// News of the verified front that wait: each supersedes the ones before, so few are enough.
const NEWS: usize = 16;

/// Hashes a partial file from its front, as far as it is complete. One thread, at most 1 MiB of memory.
#[derive(Debug)]
pub(crate) struct WholeHasher {
    news: Option<SyncSender<u64>>,
    thread: Option<JoinHandle<Result<ContentHash, PartialError>>>,
}

impl WholeHasher {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(crate) fn start(file: Arc<PartialFile>) -> std::io::Result<Self> {
        let (news, waiting) = sync_channel(NEWS);
        let thread = std::thread::Builder::new()
            .name("whole-hash".to_owned())
            .spawn(move || follow(&file, &waiting))?;
        Ok(Self { news: Some(news), thread: Some(thread) })
    }

    /// Says that all before `end` is verified. Never waits: if the thread is behind, it will hear of a later end.
    pub(crate) fn front(&self, end: u64) {
        if let Some(news) = &self.news {
            let _ = news.try_send(end);
        }
    }

    /// Waits until all before `size` is hashed.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(crate) async fn finish(mut self, size: u64) -> Result<ContentHash, HashError> {
        let (news, thread) = (self.news.take(), self.thread.take());
        let joined = tokio::task::spawn_blocking(move || {
            if let Some(news) = news {
                let _ = news.send(size);
            }
            thread.map(JoinHandle::join)
        });
        match joined.await {
            Ok(Some(Ok(result))) => Ok(result?),
            _ => Err(HashError::Died),
        }
    }
}

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HashError {
    #[error(transparent)]
    File(#[from] PartialError),
    #[error("the hashing thread died")]
    Died,
}

fn follow(file: &PartialFile, news: &Receiver<u64>) -> Result<ContentHash, PartialError> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; PIECE_BYTES];
    let mut done = 0;
    while let Ok(end) = news.recv() {
        let end = news.try_iter().fold(end, u64::max);
        while done < end {
            let length = usize::try_from(end - done).unwrap_or(usize::MAX).min(PIECE_BYTES);
            file.read_at(done, &mut buffer[..length])?;
            hasher.update(&buffer[..length]);
            done += length as u64;
        }
    }
    Ok(ContentHash::from_bytes(*hasher.finalize().as_bytes()))
}
