//! A question about the network, and who answers it.

use index::{CallError, IndexClient, Replica};
use tracing::debug;
use wire::{ErrorBody, ErrorCode};

use super::discovery::Event;
use crate::peer::{LinkState, Shared};

/// Why the index gave no answer of use.
enum Unanswered {
    /// It says no.
    Refused(ErrorBody),
    /// It is not there.
    Away(ErrorBody),
}

impl From<Unanswered> for ErrorBody {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Refused(body) | Unanswered::Away(body) => body,
        }
    }
}

/// An answer about the network.
#[derive(Debug)]
pub(crate) struct Answered<T> {
    pub(crate) answer: T,
    /// Whether it is from this node's copy.
    pub(crate) from_copy: bool,
}

/// Whom a change goes to.
pub(crate) enum Reach {
    /// The index.
    Index(IndexClient),
    /// This node's copy, and from there to the other members.
    Copy,
}

/// Who is to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Whoever is to be asked now; where the index gives no answer, the copy.
    Anybody,
    /// The index: a list is gone on with that it began.
    Index,
    /// The copy, for the same reason.
    Copy,
}

impl Shared {
    /// Asks the index, or the copy while the index is away.
    ///
    /// # Errors
    /// What the one that was asked says; where it is the copy, and nobody else is known to this node either, what to do
    /// about that.
    pub(crate) async fn ask_network<T, F, G>(
        &self,
        whom: Whom,
        ask_index: impl Fn(IndexClient) -> F,
        ask_copy: impl FnOnce(Replica) -> G,
    ) -> Result<Answered<T>, ErrorBody>
    where
        F: Future<Output = Result<T, CallError>>,
        G: Future<Output = Result<T, ErrorBody>>,
    {
        let copy = match whom {
            Whom::Anybody => self.replica(),
            Whom::Index => None,
            Whom::Copy => Some(self.replica().ok_or_else(|| away("this node has no copy any more"))?),
        };
        let index_first = match whom {
            Whom::Anybody => self.fallback.uses_index(),
            Whom::Index => true,
            Whom::Copy => false,
        };
        let mut why = None;
        if index_first || copy.is_none() {
            match self.try_index(ask_index).await {
                Ok(answer) => return Ok(Answered { answer, from_copy: false }),
                Err(Unanswered::Away(body)) if copy.is_some() => why = Some(body.text),
                Err(unanswered) => return Err(unanswered.into()),
            }
        }
        let Some(replica) = copy else { return Err(away("the index cannot be reached")) };
        self.check_knows_somebody(&replica, why)?;
        Ok(Answered { answer: ask_copy(replica).await?, from_copy: true })
    }

    /// Whether the index is there and asked, so that what is not found there is not shared.
    pub(crate) fn asks_index(&self) -> bool {
        self.fallback.uses_index()
            && matches!(&*self.link.borrow(), LinkState::Online { session } if session.is_open())
    }

    /// The index for a change, or the copy while the index is away, with the reason of that.
    ///
    /// # Errors
    /// `unavailable` where there is neither.
    pub(crate) async fn reach(&self) -> Result<Reach, ErrorBody> {
        let body = match self.index().await {
            Ok(index) => return Ok(Reach::Index(index)),
            Err(body) => body,
        };
        self.fallback.tell(Event::Failed(body.text.clone()));
        if self.replica().is_some() { Ok(Reach::Copy) } else { Err(body) }
    }

    /// A copy of a node that knows nobody says nothing about what others share.
    fn check_knows_somebody(&self, replica: &Replica, why: Option<String>) -> Result<(), ErrorBody> {
        if replica.knows_others() || self.fallback.neighbours_count() > 0 {
            return Ok(());
        }
        let why = why.or_else(|| self.fallback.why()).unwrap_or_else(|| "the index is away".to_owned());
        Err(away(format!(
            "{why}; and no other member is known to this node: name one that runs, with `--peer HOST:PORT` or \
            `peers = [\"HOST:PORT\"]` in config.toml, and start it again"
        )))
    }

    /// Asks the index something that can be asked twice: where the connection is lost meanwhile, as when the index was
    /// restarted, once more on the next one. How it went counts for whom to ask next.
    async fn try_index<T, F: Future<Output = Result<T, CallError>>>(
        &self,
        ask: impl Fn(IndexClient) -> F,
    ) -> Result<T, Unanswered> {
        let asking = async {
            let answer = ask(self.index_for_question().await.map_err(Unanswered::Away)?).await;
            let answer = match answer {
                Err(CallError::Connection(error)) => {
                    debug!(%error, "asking the index again");
                    ask(self.index_for_question().await.map_err(Unanswered::Away)?).await
                }
                other => other,
            };
            answer.map_err(judge)
        };
        let answer = asking.await;
        self.fallback.tell(match &answer {
            Err(Unanswered::Away(body)) => Event::Failed(body.text.clone()),
            Ok(_) | Err(Unanswered::Refused(_)) => Event::Answered,
        });
        answer
    }
}

/// Whether an index that did not give what was asked for is there.
fn judge(error: CallError) -> Unanswered {
    let body = error.to_body();
    let away = match &error {
        CallError::Refused(body) => matches!(body.code, ErrorCode::ShuttingDown | ErrorCode::Unavailable),
        CallError::Timeout(_) | CallError::Connection(_) => true,
        CallError::Frame(_) => false,
    };
    if away { Unanswered::Away(body) } else { Unanswered::Refused(body) }
}

fn away(text: impl Into<String>) -> ErrorBody {
    ErrorBody::new(ErrorCode::Unavailable, text)
}

/// Whether an error says that the index is not there, for what may go to the copy.
pub(crate) const fn is_away(body: &ErrorBody) -> bool {
    matches!(body.code, ErrorCode::Unavailable | ErrorCode::Timeout | ErrorCode::ShuttingDown)
}
