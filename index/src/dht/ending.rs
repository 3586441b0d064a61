//! A connection that is to end, and why: said where streams are seen, done where the connection is polled.

use std::io::ErrorKind;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Whether one connection is to end.
#[derive(Debug, Default)]
pub(super) struct Ending(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    why: Option<ErrorKind>,
    waker: Option<Waker>,
}

impl Ending {
    /// Ends the connection. The first reason counts.
    pub(super) fn want(&self, why: ErrorKind) {
        let waker = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.why.get_or_insert(why);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether it is to end.
    pub(super) fn is_wanted(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).why.is_some()
    }

    /// Ready once it is to end; the task that polled last is woken then.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<ErrorKind> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.why {
            Some(why) => Poll::Ready(why),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
