//! `hello` at the index: who is this, and is it the only one with this key?

use std::sync::Arc;
use std::time::Duration;

use certs::{Enrolment, MembershipError, NodeId, UnixMillis};
use serde_bytes::ByteBuf;
use wire::message::{Address, Empty, Hello, Request};
use wire::{ErrorBody, ErrorCode};

use super::{IndexService, member_of};
use crate::client::call;
use crate::presence::{NoPlace, Presence};
use crate::registry::{Admitted, Shown};
use crate::session::{IndexSession, NewSession};

/// How long an older connection of the same key has to show that it is alive.
const ALIVE_TIMEOUT: Duration = Duration::from_secs(1);
/// After how long a guest that found no room may try again.
const FULL_RETRY_MS: u64 = 10_000;
/// How often the place of an older connection is tried for, where others try at once.
const TRIES: usize = 4;

/// The parts of the index's answer to `hello` that are its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The address that the node was seen from.
    pub seen: Option<Address>,
    /// A new enrolment, where the one shown ends soon.
    pub renewed: Option<ByteBuf>,
    /// The index certificate: the proof that this is the index.
    pub certificate: ByteBuf,
}

impl IndexService {
    /// Answers the first request of a connection, of a node whose key the handshake proved.
    ///
    /// Without an enrolment the session may sign up and log in, nothing else. May take a second, where another
    /// connection of the same node has to show whether it is alive. Each session that this gives ends with
    /// [`IndexService::closed`], which the caller calls when the connection is gone.
    ///
    /// # Errors
    /// The E to answer: `other-network`, `not-member` with the reason, `identity-in-use`, `busy`. A node whose enrolment is
    /// refused dials again without it, to log in.
    ///
    /// # Cancel safety
    /// Cancelling leaves no session behind; an older connection of the same node may have been closed.
    pub async fn hello(
        &self,
        connection: &quinn::Connection,
        peer: NodeId,
        hello: &Hello,
    ) -> Result<(Arc<IndexSession>, Greeting), ErrorBody> {
        let inner = &self.inner;
        if hello.network != inner.certificate.network {
            let text = format!("this is the index of the network {}", inner.certificate.network);
            return Err(ErrorBody::new(ErrorCode::OtherNetwork, text));
        }
        let shown = match &hello.enrolment {
            None => None,
            Some(enrolment) => Some(self.admit(&peer, enrolment).await?),
        };
        let session = Arc::new(IndexSession::new(NewSession {
            number: self.next_session(),
            connection: connection.clone(),
            node: peer,
            instance: hello.instance,
            since: self.now(),
            claimed: hello.addresses.clone(),
        }));
        self.enter(&session, shown.is_none()).await?;
        let entered = Entered { presence: &inner.presence, session: &session };
        let renewed = match shown {
            None => None,
            Some((enrolment, admitted)) => self.welcome(&session, &enrolment, &admitted).await?,
        };
        entered.stays();
        let certificate = ByteBuf::from(inner.certificate.bytes());
        Ok((session.clone(), Greeting { seen: session.observed, renewed, certificate }))
    }

    /// Checks an enrolment, by itself and against the database.
    async fn admit(&self, peer: &NodeId, bytes: &[u8]) -> Result<(Enrolment, Admitted), ErrorBody> {
        let now = self.now();
        let network = &self.inner.certificate.network;
        let enrolment = match Enrolment::verify(bytes, network, peer, now, now) {
            Err(MembershipError::Expired) => self.admit_ended_while_away(peer, bytes)?,
            other => other.map_err(not_member)?,
        };
        if enrolment.is_void_under(&self.inner.certificate) {
            let text = "the membership was issued when the index's key was no longer its own; log in again";
            return Err(ErrorBody::new(ErrorCode::NotMember, text));
        }
        let shown = Shown {
            account: enrolment.membership.account,
            user: enrolment.membership.user.clone(),
            node: *peer,
            serial: enrolment.membership.serial,
            now,
        };
        let admitted = self.inner.registry.admit(shown).await??;
        Ok((enrolment, admitted))
    }

    /// Takes a membership that has ended, but could not be renewed, as this index was away then.
    fn admit_ended_while_away(&self, peer: &NodeId, bytes: &[u8]) -> Result<Enrolment, ErrorBody> {
        let (network, nowhere) = (&self.inner.certificate.network, UnixMillis(0));
        let enrolment = Enrolment::verify(bytes, network, peer, self.now(), nowhere).map_err(not_member)?;
        match self.inner.away.covers(enrolment.membership.not_after) {
            true => Ok(enrolment),
            false => Err(not_member(MembershipError::Expired)),
        }
    }

    /// Makes the session its member's; with a new enrolment, if the one shown ends soon or hangs from an older certificate.
    async fn welcome(
        &self,
        session: &IndexSession,
        enrolment: &Enrolment,
        admitted: &Admitted,
    ) -> Result<Option<ByteBuf>, ErrorBody> {
        let member = member_of(&enrolment.membership, admitted);
        // One of another index of this network, before it moved, stands; but of this one's there is more to come.
        let before = enrolment.certificate.epoch < self.inner.certificate.epoch;
        if !before && !enrolment.membership.wants_renewal(self.now()) {
            self.make_member(session, member);
            return Ok(None);
        }
        let serial = self.renewed_serial(admitted.node, admitted.serial).await?;
        let enrolled = self.issue(session, &member.user, admitted, serial);
        Ok(Some(enrolled.enrolment))
    }

    /// Takes the node's place in presence: of nobody, of the same program's older connection, or of one that is dead.
    async fn enter(&self, session: &Arc<IndexSession>, guest: bool) -> Result<(), ErrorBody> {
        let mut expected: Option<Arc<IndexSession>> = None;
        for _ in 0..TRIES {
            match self.inner.presence.enter(session, expected.as_deref(), guest) {
                Ok(()) => {
                    if let Some(old) = expected {
                        replace(&old);
                    }
                    return Ok(());
                }
                Err(NoPlace::Full) => {
                    let text = "too many nodes without a membership are connected";
                    return Err(ErrorBody::new(ErrorCode::Busy, text).retry_after(FULL_RETRY_MS));
                }
                Err(NoPlace::Taken(found))
                    if found.instance != session.instance && is_alive(&found).await =>
                {
                    let text = "another running program has this node's key: was the home folder copied?";
                    return Err(ErrorBody::new(ErrorCode::IdentityInUse, text));
                }
                Err(NoPlace::Taken(found)) => expected = Some(found),
            }
        }
        let text = "several connections of this node come at once";
        Err(ErrorBody::new(ErrorCode::Busy, text).retry_after(1000))
    }
}

/// A session that leaves again, unless the caller comes to know of it.
struct Entered<'a> {
    presence: &'a Presence,
    session: &'a IndexSession,
}

impl Entered<'_> {
    fn stays(self) {
        std::mem::forget(self);
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.presence.leave(self.session);
    }
}

async fn is_alive(session: &IndexSession) -> bool {
    let connection = &session.connection;
    connection.close_reason().is_none()
        && call::<Empty>(connection, &Request::Ping(Empty {}), ALIVE_TIMEOUT).await.is_ok()
}

fn replace(old: &IndexSession) {
    let code = quinn::VarInt::from_u32(ErrorCode::Replaced.number());
    old.connection.close(code, ErrorCode::Replaced.name().as_bytes());
}

fn not_member(error: MembershipError) -> ErrorBody {
    ErrorBody::new(ErrorCode::NotMember, error.to_string())
}
