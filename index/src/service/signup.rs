//! `signup`: an account, and the node that made it.

use certs::AccountId;
use wire::message::{Credentials, Enrolled};
use wire::{ErrorBody, ErrorCode, limits};

use super::login::check_own_enrolment;
use super::{IndexService, rate_limited, remote_ip};
use crate::registry::{NewAccount, lock};
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
        check_length(&credentials.password)?;
        self.check_signups(session)?;
        self.check_attempts(session, None)?;
        let Credentials { user, password } = credentials;
        check_own_enrolment(session, &user)?;
        if self.inner.registry.account(user.clone()).await?.is_some() {
            self.charge_attempt(session, None);
            return Err(ErrorBody::new(ErrorCode::NameTaken, format!("the name '{user}' is taken")));
        }
        let password = self.inner.passwords.turn().await?.hash(password).await?;
        let id = AccountId::random().map_err(|error| {
            tracing::error!(%error, "no randomness for an account");
            ErrorBody::new(ErrorCode::Internal, "the index has no randomness")
        })?;
        let new = NewAccount { id, user: user.clone(), password, node: session.node, now: self.now() };
        let admitted = self.inner.registry.sign_up(new).await??;
        self.charge_signup(session);
        tracing::info!(%user, node = %session.node.short(), "signed up");
        Ok(self.issue(session, &user, &admitted, admitted.serial))
    }

    fn check_signups(&self, session: &IndexSession) -> Result<(), ErrorBody> {
        let Some(ip) = remote_ip(session) else { return Ok(()) };
        lock(&self.inner.attempts).signups.check(&ip, self.now()).map_err(rate_limited)
    }

    fn charge_signup(&self, session: &IndexSession) {
        if let Some(ip) = remote_ip(session) {
            lock(&self.inner.attempts).signups.charge(ip, self.now());
        }
    }
}

fn check_length(password: &str) -> Result<(), ErrorBody> {
    if limits::PASSWORD_BYTES.contains(&password.len()) {
        return Ok(());
    }
    let (least, most) = (limits::PASSWORD_BYTES.start(), limits::PASSWORD_BYTES.end());
    Err(ErrorBody::new(ErrorCode::BadPassword, format!("a password has {least} to {most} bytes")))
}
