//! Waiting: for an event, or until something is so; never for a time.

use std::fmt::Debug;
use std::time::Duration;

/// Longer than anything takes that goes well, on a busy machine; only a fault reaches it.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until the probe is content, and returns what it found.
///
/// # Panics
/// After `deadline`, with the last thing that the probe saw.
pub async fn wait_until<T, S: Debug>(
    deadline: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Result<T, S>,
) -> T {
    let mut seen = None;
    let looking = async {
        loop {
            match probe().await {
                Ok(found) => return found,
                Err(other) => seen = Some(other),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match tokio::time::timeout(deadline, looking).await {
        Ok(found) => found,
        Err(_) => panic!("waited {deadline:?} until {what}; the last thing seen: {seen:#?}"),
    }
}

/// Waits for a future, within [`PATIENCE`].
///
/// # Panics
/// Where it takes longer.
pub async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what} did not end within {PATIENCE:?}"),
    }
}
