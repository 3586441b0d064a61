//! `signup`: an account, and the node that made it.

use certs::AccountId;
use wire::message::{Credentials, Enrolled};
use wire::{ErrorBody, ErrorCode, limits};

use super::IndexService;
use super::throttle::asker;
use crate::registry::NewAccount;
use crate::session::IndexSession;

impl IndexService {
    pub(super) async fn signup(
        &self,
        session: &IndexSession,
        credentials: Credentials,
    ) -> Result<Enrolled, ErrorBody> {
        if !self.inner.signup_open {
            return Err(ErrorBody::new(ErrorCode::SignupClosed, "this network takes no new accounts"));
        }
        if self.is_recovering() {
            let text = "no new accounts for now: the index lost its database, and waits for those who have one to come back";
            return Err(ErrorBody::new(ErrorCode::SignupClosed, text));
        }
        check_length(&credentials.password)?;
        self.check_signup(session)?;
        let Credentials { user, password } = credentials;
        if let Some(refusal) = self.inner.registry.enrolled(session.node).await? {
            return Err(refusal);
        }
        if self.inner.registry.account(user.clone()).await?.is_some() {
            self.charge_name(session);
            return Err(ErrorBody::new(ErrorCode::NameTaken, format!("the name '{user}' is taken")));
        }
        let turn = self.inner.passwords.turn(asker(session)).await?;
        self.charge_signup(session)?;
        let password = turn.hash(password).await?;
        let id = AccountId::random().map_err(|error| {
            tracing::error!(%error, "no randomness for an account");
            ErrorBody::new(ErrorCode::Internal, "the index has no randomness")
        })?;
        let new = NewAccount { id, user: user.clone(), password, node: session.node, now: self.now() };
        let admitted = self.inner.registry.sign_up(new).await??;
        tracing::info!(%user, node = %session.node.short(), "signed up");
        Ok(self.issue(session, &user, &admitted, admitted.serial))
    }
}

/// Whether a password has a length that it may have.
pub(super) fn check_length(password: &str) -> Result<(), ErrorBody> {
    if limits::PASSWORD_BYTES.contains(&password.len()) {
        return Ok(());
    }
    let (least, most) = (limits::PASSWORD_BYTES.start(), limits::PASSWORD_BYTES.end());
    Err(ErrorBody::new(ErrorCode::BadPassword, format!("a password has {least} to {most} bytes")))
}
