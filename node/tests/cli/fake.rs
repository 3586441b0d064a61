//! A backend whose answers the tests choose.

mod backend;
mod examples;

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use p2p_node::control::api::{Event, ResourcePage};
use p2p_node::control::{ApiError, ApiResult, EVENTS_QUEUED, Events};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use self::examples::progress;
pub(crate) use self::examples::{node, page};

/// Answers everything with good examples, unless told otherwise.
#[derive(Default)]
pub(crate) struct Fake {
    /// What was asked, as debug text, in order.
    pub(crate) asked: Mutex<Vec<String>>,
    /// What the next operations fail with.
    pub(crate) errors: Mutex<VecDeque<ApiError>>,
    /// The pages of lists: the cursor is the number. Without any, one page of one item.
    pub(crate) pages: Mutex<Vec<ApiResult<ResourcePage>>>,
    /// How long operations go.
    pub(crate) long: Mutex<Long>,
    /// A long operation has begun.
    pub(crate) begun: Arc<Notify>,
    /// The client of a long operation went away.
    pub(crate) left: Arc<Notify>,
    /// `transfers` was asked.
    pub(crate) shown: Arc<Notify>,
    /// `stop` was asked.
    pub(crate) stopping: Arc<Notify>,
    tasks: Mutex<JoinSet<()>>,
}

/// How a long operation goes, after two events of progress.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Long {
    /// It ends well.
    #[default]
    Ends,
    /// It fails.
    Fails(ApiError),
    /// It goes on until the client goes away.
    GoesOn,
    /// The daemon drops it without a word.
    Vanishes,
}

impl Fake {
    fn answer<T>(&self, asked: impl Debug, good: T) -> ApiResult<T> {
        self.asked.lock().expect("not poisoned").push(format!("{asked:?}"));
        let error = self.errors.lock().expect("not poisoned").pop_front();
        error.map_or(Ok(good), Err)
    }

    fn page(&self, asked: impl Debug, cursor: Option<&str>) -> ApiResult<ResourcePage> {
        self.answer(asked, ())?;
        let pages = self.pages.lock().expect("not poisoned");
        let number: usize = cursor.map_or(0, |cursor| cursor.parse().expect("a cursor of ours"));
        pages.get(number).cloned().unwrap_or_else(|| Ok(page(&["film.mkv"], None)))
    }

    fn events<T: Send + 'static>(&self, asked: impl Debug, result: T) -> ApiResult<Events<T>> {
        self.answer(asked, ())?;
        let (sender, events) = mpsc::channel(EVENTS_QUEUED);
        let send = |event| assert!(sender.try_send(event).is_ok(), "there is room");
        send(Event::Progress(progress(0)));
        send(Event::Progress(progress(1 << 29)));
        match self.long.lock().expect("not poisoned").clone() {
            Long::Ends => send(Event::Result(result)),
            Long::Fails(error) => send(Event::Error(error)),
            Long::Vanishes => {}
            Long::GoesOn => self.goes_on(sender),
        }
        self.begun.notify_one();
        Ok(events)
    }

    /// Says no more, and tells when nobody listens any more.
    fn goes_on<T: Send + 'static>(&self, sender: mpsc::Sender<T>) {
        let left = self.left.clone();
        self.tasks.lock().expect("not poisoned").spawn(async move {
            sender.closed().await;
            left.notify_one();
        });
    }
}
