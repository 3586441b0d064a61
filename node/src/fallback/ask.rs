//! A question about the network, and who answers it.

use index::{CallError, IndexClient};
use tracing::debug;
use wire::{ErrorBody, ErrorCode};

use super::discovery::Event;
use crate::peer::Shared;

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

impl Shared {
    /// Asks the index something that can be asked twice: where the connection is lost meanwhile, as when the index was
    /// restarted, once more on the next one.
    ///
    /// # Errors
    /// The index's, or `unavailable`.
    pub(crate) async fn ask_index<T, F: Future<Output = Result<T, CallError>>>(
        &self,
        ask: impl Fn(IndexClient) -> F,
    ) -> Result<T, ErrorBody> {
        Ok(self.try_index(ask).await?)
    }

    /// The same; how it went counts for whom to ask next.
    async fn try_index<T, F: Future<Output = Result<T, CallError>>>(
        &self,
        ask: impl Fn(IndexClient) -> F,
    ) -> Result<T, Unanswered> {
        let asking = async {
            let answer = ask(self.index().await.map_err(Unanswered::Away)?).await;
            let answer = match answer {
                Err(CallError::Connection(error)) => {
                    debug!(%error, "asking the index again");
                    ask(self.index().await.map_err(Unanswered::Away)?).await
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
