//! Connections between peers that nobody needs any more: closed without losing a request.
//!
//! A close crosses a request that is on its way. So an end that has seen no stream for [`Patience::unused`] first stops to
//! open streams of its own, and still answers; only [`Patience::linger`] later it closes. The far end sees the same streams,
//! has stopped by then as well, and dials anew when it needs to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::ErrorCode;

use super::pool::Pool;
use super::session::Session;
use crate::clock::monotonic;

/// When a connection is closed for want of use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Without a stream for so long it is not used any more.
    unused: Duration,
    /// For so long it then still answers. More than two looks: each end may notice the last stream one look late, and that it
    /// was the last another look late.
    linger: Duration,
    /// How often it is looked.
    look: Duration,
}

/// A download asks for more holders every 15 s and a user for another file within a minute or two; to connect anew costs two
/// round trips.
pub(crate) const PATIENCE: Patience = Patience {
    unused: Duration::from_secs(120),
    linger: Duration::from_secs(30),
    look: Duration::from_secs(10),
};

/// Closes a session once it has not been used for some time. The session is in the pool, and the caller attends it.
pub(crate) async fn close_when_unused(pool: &Pool, session: &Arc<Session>, patience: Patience) {
    let mut quiet = Quiet { stream_frames: session.stream_frames(), since: monotonic() };
    loop {
        tokio::time::sleep(patience.look).await;
        let quiet_for = quiet.look(session.stream_frames(), monotonic());
        if quiet_for < patience.unused {
            pool.restore(session);
        } else if !pool.retire(session) {
            quiet.since = monotonic();
        } else if quiet_for >= patience.unused + patience.linger {
            return session.close(ErrorCode::Done, "not used");
        }
    }
}

/// Since when nothing has moved on a connection's streams.
struct Quiet {
    stream_frames: u64,
    since: Instant,
}

impl Quiet {
    /// For how long it has been quiet.
    fn look(&mut self, stream_frames: u64, now: Instant) -> Duration {
        if self.stream_frames != stream_frames {
            *self = Self { stream_frames, since: now };
        }
        now.duration_since(self.since)
    }
}

#[cfg(test)]
mod tests {
    use quinn::ConnectionError;

    use super::super::session::tests::Pair;
    use super::*;

    const SHORT: Patience = Patience {
        unused: Duration::from_millis(60),
        linger: Duration::from_millis(40),
        look: Duration::from_millis(5),
    };

    #[test]
    fn whatever_moves_begins_the_time_anew() {
        let begin = monotonic();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mut quiet = Quiet { stream_frames: 3, since: begin };
        assert_eq!(quiet.look(3, after(100)), Duration::from_secs(100));
        assert_eq!(quiet.look(4, after(110)), Duration::ZERO);
        assert_eq!(quiet.look(4, after(140)), Duration::from_secs(30));
    }

    #[test]
    fn the_far_end_has_stopped_before_it_is_closed() {
        assert!(PATIENCE.linger > 2 * PATIENCE.look);
    }

    #[tokio::test]
    async fn an_unused_one_is_closed_and_a_used_one_is_not() {
        let (pool, pair) = (Pool::default(), Pair::new());
        let session = pair.session().await;
        pool.insert(&session);
        let far_end = pair.accepted();
        let user = pool.find(&session.node()).expect("open");
        let watching = async {
            // Longer than it takes where nobody has it.
            let patient = SHORT.unused + 3 * SHORT.linger;
            let early = tokio::time::timeout(patient, far_end.closed()).await;
            assert!(early.is_err(), "closed in use: {early:?}");
            drop(user);
            far_end.closed().await
        };
        let ((), closed) = tokio::join!(close_when_unused(&pool, &session, SHORT), watching);
        let ConnectionError::ApplicationClosed(close) = closed else { panic!("{closed}") };
        assert_eq!(close.error_code, super::super::quic_code(ErrorCode::Done));
        assert!(pool.find(&session.node()).is_none());
    }

    #[tokio::test]
    async fn streams_of_the_far_end_keep_it_open() {
        let (pool, pair) = (Pool::default(), Pair::new());
        let session = pair.session().await;
        pool.insert(&session);
        let far_end = pair.accepted();
        let asking = async {
            let mut retired = 0;
            for _ in 0..3 {
                // Whenever it is retired, the far end asks once more.
                while pool.find(&session.node()).is_some() {
                    tokio::task::yield_now().await;
                }
                retired += 1;
                let (mut send, _receive) = far_end.open_bi().await.expect("still open");
                send.write_all(b"something").await.expect("still open");
                while pool.find(&session.node()).is_none() {
                    tokio::task::yield_now().await;
                }
            }
            retired
        };
        let patience = Patience { linger: Duration::from_secs(600), ..SHORT };
        tokio::select! {
            () = close_when_unused(&pool, &session, patience) => panic!("closed in use"),
            retired = asking => assert_eq!(retired, 3),
        }
    }
}
