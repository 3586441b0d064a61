//! `login`: one more node for an account.

use certs::UserName;
use wire::message::{Credentials, Enrolled};
use wire::{ErrorBody, ErrorCode, limits};

use super::IndexService;
use super::throttle::asker;
use crate::registry::Account;
use crate::session::IndexSession;

impl IndexService {
    pub(super) async fn login(
        &self,
        session: &IndexSession,
        credentials: Credentials,
    ) -> Result<Enrolled, ErrorBody> {
        let Credentials { user, password } = credentials;
        check_own_enrolment(session, &user)?;
        let account = self.check_password(session, &user, password).await?;
        let admitted = self.inner.registry.enrol(account, session.node).await??;
        tracing::info!(%user, node = %session.node.short(), "logged in");
        Ok(self.issue(session, &user, &admitted, admitted.serial))
    }

    /// The account, if the password is its. An unknown user costs and says the same as a wrong password.
    async fn check_password(
        &self,
        session: &IndexSession,
        user: &UserName,
        password: String,
    ) -> Result<Account, ErrorBody> {
        self.check_login(session, user)?;
        let turn = self.inner.passwords.turn(asker(session)).await?;
        // Checked again, as others may have failed while this one waited for its turn.
        self.charge_login(session, user)?;
        let account = self.inner.registry.account(user.clone()).await?;
        // No account has a longer one.
        let fits = password.len() <= *limits::PASSWORD_BYTES.end();
        let stored = account.as_ref().and_then(|account| account.password.clone()).filter(|_| fits);
        let password = if fits { password } else { String::new() };
        let right = turn.verify(password, stored).await?;
        match account {
            Some(account) if right => {
                self.refund_login(session, user);
                Ok(account)
            }
            _ => {
                tracing::debug!(%user, node = %session.node.short(), "log-in refused");
                Err(self.wrong_password())
            }
        }
    }
}

impl IndexService {
    /// The refusal, the same for each user. Where the database was lost, it is no fault of theirs.
    fn wrong_password(&self) -> ErrorBody {
        if self.is_recovering() {
            let text = "the index lost its database, and the passwords with it: nobody logs in with one until the index's operator                         has set a new one (or, where that was done: no such user, or another password)";
            return ErrorBody::new(ErrorCode::NotAllowed, text);
        }
        ErrorBody::new(ErrorCode::BadCredentials, "no such user, or another password")
    }
}

/// A node that is enrolled for another account has to log out there first.
fn check_own_enrolment(session: &IndexSession, user: &UserName) -> Result<(), ErrorBody> {
    match session.member() {
        Some(member) if member.user != *user => {
            let text = format!("this node is enrolled for the user '{}'; log out first", member.user);
            Err(ErrorBody::new(ErrorCode::OtherAccount, text))
        }
        _ => Ok(()),
    }
}
