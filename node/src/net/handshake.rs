//! `hello`: the first stream of a connection, as dialler and as acceptor. PROTOCOL.md, "hello".

use std::sync::Arc;
use std::time::Duration;

use certs::{Enrolment, IndexCertificate, NetworkId, NodeId, Signed};
use index::CallError;
use quinn::{Connection, SendStream};
use serde_bytes::ByteBuf;
use wire::frame::{self, FrameError};
use wire::message::{Address, Answer, Hello, MINOR_VERSION, Request};
use wire::{ErrorBody, ErrorCode, InstanceId, limits};

use super::quic_code;
use crate::clock::Clock;

/// The first stream must have come, and its hello with it, within this time.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// What this node says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Me {
    /// The network that it is of.
    pub(crate) network: NetworkId,
    /// Its enrolment, if it has one.
    pub(crate) enrolment: Option<Enrolment>,
    /// The index certificate with the highest epoch that it knows; not lower than the enrolment's.
    pub(crate) certificate: Option<Signed<IndexCertificate>>,
    /// Drawn at its start.
    pub(crate) instance: InstanceId,
    /// Where it can be reached.
    pub(crate) addresses: Vec<Address>,
    /// Its clock.
    pub(crate) clock: Arc<Clock>,
}

/// Why there was no usable hello.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The far end refused ours.
    #[error("refused: {0}")]
    Refused(ErrorBody),
    /// None came in time.
    #[error("no hello within 5 s")]
    Timeout,
    /// What came was something else.
    #[error("no hello: {0}")]
    NotHello(ErrorBody),
    /// The connection ended.
    #[error("the connection ended: {0}")]
    Connection(#[from] quinn::ConnectionError),
    /// The stream ended, or carried no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Asking failed in another way.
    #[error(transparent)]
    Call(CallError),
}

impl HandshakeError {
    /// Whether the far end answered and the answer was no, which is another thing than silence or a lost connection: trying again
    /// soon changes nothing.
    pub(crate) const fn is_refusal(&self) -> bool {
        match self {
            Self::Refused(body) => !body.code.retry(),
            Self::NotHello(_) => true,
            Self::Frame(error) | Self::Call(CallError::Frame(error)) => !matches!(error, FrameError::Io(_)),
            Self::Timeout | Self::Connection(_) | Self::Call(_) => false,
        }
    }
}

impl Me {
    /// The index, by the certificate with the highest epoch that is known.
    pub(crate) fn index_node(&self) -> Option<NodeId> {
        self.certificate.as_ref().map(|certificate| certificate.node)
    }

    /// Takes a certificate over unless its epoch is lower than what is known; whether that changed something.
    pub(crate) fn take_certificate(&mut self, certificate: &Signed<IndexCertificate>) -> bool {
        let lower = self.certificate.as_ref().is_some_and(|known| known.epoch > certificate.epoch);
        let changes = !lower && self.certificate.as_ref() != Some(certificate);
        if changes {
            self.certificate = Some(certificate.clone());
        }
        changes
    }

    /// Our hello, or our answer to one that came from `seen`.
    pub(crate) fn hello(&self, seen: Option<Address>) -> Hello {
        Hello {
            minor: MINOR_VERSION,
            features: Vec::new(),
            network: self.network,
            enrolment: self.enrolment.as_ref().map(|enrolment| ByteBuf::from(enrolment.to_bytes())),
            certificate: self.certificate.as_ref().map(|signed| ByteBuf::from(signed.bytes())),
            revocations: None,
            clock: self.clock.now(),
            instance: self.instance,
            addresses: self.addresses.clone(),
            seen,
            renewed: None,
        }
    }
}

/// As dialler: says hello and returns the answer, its lists within their bounds, nothing in it verified.
///
/// # Errors
/// See [`HandshakeError`].
pub(crate) async fn dial_hello(connection: &Connection, hello: Hello) -> Result<Hello, HandshakeError> {
    let answer: Hello = match index::call(connection, &Request::Hello(hello), HELLO_TIMEOUT).await {
        Ok(answer) => answer,
        Err(CallError::Refused(body)) => return Err(HandshakeError::Refused(body)),
        Err(other) => return Err(HandshakeError::Call(other)),
    };
    answer.check().map_err(HandshakeError::NotHello)?;
    Ok(answer)
}

/// As acceptor: waits for the hello; the answer goes onto the returned stream.
///
/// # Errors
/// See [`HandshakeError`].
pub(crate) async fn read_hello(connection: &Connection) -> Result<(SendStream, Hello), HandshakeError> {
    let reading = async {
        let (send, mut receive) = connection.accept_bi().await?;
        match frame::read_bytes(&mut receive, limits::FRAME_BYTES).await {
            Err(FrameError::Io(error)) => Err(HandshakeError::Frame(error.into())),
            read => Ok((send, read)),
        }
    };
    let (mut send, read) =
        tokio::time::timeout(HELLO_TIMEOUT, reading).await.map_err(|_| HandshakeError::Timeout)??;
    let decoded =
        read.map_err(|error| error.to_body()).and_then(|bytes| Request::decode(&bytes, limits::FRAME_BYTES));
    let no_hello = |text| ErrorBody::new(ErrorCode::BadMessage, text);
    let wrong = match decoded {
        Ok(Request::Hello(hello)) => return Ok((send, hello)),
        Ok(other) => no_hello(format!("the first message is hello, not {}", other.name())),
        Err(body) if body.code == ErrorCode::Unsupported => no_hello("the first message is hello".to_owned()),
        Err(body) => body,
    };
    refuse(connection, &mut send, &wrong).await;
    Err(HandshakeError::NotHello(wrong))
}

/// Answers E and closes the connection with its code, once the far end has the E or 1 s is over.
pub(crate) async fn refuse(connection: &Connection, send: &mut SendStream, body: &ErrorBody) {
    refuse_with(connection, send, body, body.code).await;
}

/// The same, but closes with this code.
pub(crate) async fn refuse_with(
    connection: &Connection,
    send: &mut SendStream,
    body: &ErrorBody,
    code: ErrorCode,
) {
    let answer = Answer::<()>::E(body.clone());
    if frame::write(send, &answer, limits::FRAME_BYTES).await.is_ok() && send.finish().is_ok() {
        let _ = tokio::time::timeout(Duration::from_secs(1), send.stopped()).await;
    }
    connection.close(quic_code(code), body.text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_and_lost_connections_are_no_refusals() {
        let refused = |code| HandshakeError::Refused(ErrorBody::new(code, "because"));
        let lost = quinn::ConnectionError::TimedOut;
        let cut = || FrameError::Io(std::io::ErrorKind::UnexpectedEof.into());
        for error in [
            HandshakeError::Timeout,
            HandshakeError::Connection(lost.clone()),
            HandshakeError::Call(CallError::Connection(lost)),
            HandshakeError::Call(CallError::Timeout(HELLO_TIMEOUT)),
            HandshakeError::Call(CallError::Frame(cut())),
            HandshakeError::Frame(cut()),
            refused(ErrorCode::Busy),
            refused(ErrorCode::ShuttingDown),
        ] {
            assert!(!error.is_refusal(), "{error}");
        }
        let large = FrameError::TooLarge { actual: 2, limit: 1 };
        for error in [
            refused(ErrorCode::IdentityInUse),
            refused(ErrorCode::OtherNetwork),
            HandshakeError::NotHello(ErrorBody::new(ErrorCode::BadMessage, "no hello")),
            HandshakeError::Call(CallError::Frame(large)),
        ] {
            assert!(error.is_refusal(), "{error}");
        }
    }
}
