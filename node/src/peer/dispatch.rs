//! Which request is answered by what.

use std::sync::Arc;

use index::EventsEnd;
use quinn::SendStream;
use tracing::debug;
use wire::message::{Answer, Empty, Request};
use wire::{ErrorBody, ErrorCode};

use super::shared::Shared;
use crate::net::{Handler, Role, Session, SessionError, send_answer};
use crate::transfer::holder;

impl Handler for Shared {
    async fn handle(
        self: Arc<Self>,
        session: Arc<Session>,
        request: Request,
        send: &mut SendStream,
    ) -> Result<(), SessionError> {
        debug!(request = request.name(), "asked");
        match request {
            Request::Hello(_) => Err(refused(ErrorCode::BadMessage, "hello comes first, and once")),
            Request::Ping(_) => send_answer(send, &Answer::A(Empty {})).await,
            Request::G(data) => {
                self.check_serving(&session)?;
                holder::send_data(&self, &session, data, send).await
            }
            Request::P(download) if download.grant.is_some() => {
                self.check_serving(&session)?;
                let granted = holder::grant(&self, &session, download).await;
                send_answer(send, &Answer::from(granted)).await
            }
            Request::P(download) if download.probe.is_some() => {
                self.check_asker(&session)?;
                let probed = holder::probe(&self, &session, download).await;
                send_answer(send, &Answer::from(probed)).await
            }
            Request::Statements(statements) => {
                self.check_asker(&session)?;
                let stated = self.answer_statements(&session, statements).await;
                send_answer(send, &Answer::from(stated)).await
            }
            other => self.answer_as_index(&session, other, send).await,
        }
    }
}

impl Shared {
    /// Content goes from member to member: who asks is one, and so is this node, still.
    fn check_serving(&self, session: &Session) -> Result<(), SessionError> {
        self.check_asker(session)?;
        match self.membership() {
            Some(_) => Ok(()),
            None => Err(refused(ErrorCode::NotFound, "this node is logged out and serves nothing")),
        }
    }

    /// A node that is served by the index service here is a member by now, and still.
    fn check_asker(&self, session: &Session) -> Result<(), SessionError> {
        if let (Some(service), Role::Client(client)) = (&self.service, session.role()) {
            service.check_member(client)?;
        }
        Ok(())
    }

    async fn answer_as_index(
        &self,
        session: &Session,
        request: Request,
        send: &mut SendStream,
    ) -> Result<(), SessionError> {
        let (Some(service), Role::Client(client)) = (&self.service, session.role()) else {
            let text = format!("{} is for the index; this node is a peer", request.name());
            return Err(refused(ErrorCode::Unsupported, text));
        };
        if let Request::Events(_) = request {
            return Err(match service.events(client, send).await {
                EventsEnd::Refused(body) => SessionError::Refused(body),
                EventsEnd::Reset(code) => SessionError::Reset(code),
                EventsEnd::Gone(error) => SessionError::Gone(error),
            });
        }
        let answer = service.answer(client, request).await?;
        send_answer(send, &Answer::A(answer)).await
    }
}

fn refused(code: ErrorCode, text: impl Into<String>) -> SessionError {
    SessionError::Refused(ErrorBody::new(code, text))
}
