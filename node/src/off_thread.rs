//! What blocks, out of the way of what does not.

/// Runs what blocks on a thread for that; it goes on to its end also if the future is dropped. What it panics with goes on
/// here.
///
/// A runtime that ends does not begin with it any more; then this never ends, and is dropped with its task.
pub(crate) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;
    use std::sync::mpsc;
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn gives_what_comes_of_it_and_panics_as_it_does() {
        assert_eq!(off_thread(|| 3).await, 3);
        let panicked = AssertUnwindSafe(off_thread(|| panic!("so"))).catch_unwind().await;
        let panic = panicked.expect_err("a panic").downcast::<&str>().expect("its text");
        assert_eq!(*panic, "so");
    }

    #[test]
    fn with_the_runtime_it_ends_without_a_panic() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        let (began, has_begun) = mpsc::sync_channel(1);
        let (ended, has_ended) = mpsc::sync_channel::<()>(1);
        let (told, results) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            began.send(()).expect("somebody waits");
            has_ended.recv().expect_err("the other end is dropped");
            let result = AssertUnwindSafe(off_thread(|| 3)).catch_unwind().await;
            told.send(result.map_err(drop)).expect("somebody waits");
        });
        has_begun.recv().expect("it begins");
        runtime.shutdown_background();
        drop(ended);
        assert_eq!(results.recv_timeout(Duration::from_secs(30)), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
