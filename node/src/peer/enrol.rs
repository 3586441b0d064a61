//! Sign up, log in, log out, and the renewal of the membership.

use std::sync::Arc;
use std::time::Duration;

use certs::{Enrolment, UserName};
use tracing::{debug, warn};
use wire::message::{Credentials, Enrolled};
use wire::{ErrorBody, ErrorCode};

use super::shared::Shared;
use crate::activity::Activity;
use crate::net::Role;

/// How often it is looked whether the membership should be renewed.
const RENEWAL_CHECK: Duration = Duration::from_secs(3600);

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EnrolKind {
    /// Make the account.
    Signup,
    /// The account exists.
    Login,
}

impl Shared {
    /// Signs up or logs in: asks the index, checks and keeps the membership that it gives.
    ///
    /// # Errors
    /// What the index says; `other-account` where this home has another account's shares or jobs and `forget` is not set;
    /// `internal` where the membership cannot be kept.
    pub(crate) async fn enrol(
        self: &Arc<Self>,
        kind: EnrolKind,
        user: UserName,
        password: String,
        forget: bool,
    ) -> Result<Enrolment, ErrorBody> {
        self.check_owner(&user, forget).await?;
        let index =
            self.index().await.map_err(|body| only_index(&body, "accounts are made and nodes enrolled"))?;
        let credentials = Credentials { user, password };
        let enrolled = match kind {
            EnrolKind::Signup => index.signup(credentials).await,
            EnrolKind::Login => index.login(credentials).await,
        };
        let enrolment = self.verify_enrolled(&enrolled?)?;
        // Last of all the membership is kept: whatever interrupts this, a home never has another account's shares.
        self.take_over(&enrolment.membership.user).await?;
        self.set_enrolment(enrolment.clone()).map_err(internal)?;
        self.open_replica().await;
        self.own_changed();
        let user = enrolment.membership.user.clone();
        self.log(match kind {
            EnrolKind::Signup => Activity::SignedUp { user },
            EnrolKind::Login => Activity::LoggedIn { user },
        })
        .await;
        Ok(enrolment)
    }

    /// Logs out: the index ends the enrolment, and the membership is removed. Shares and jobs stay. Where this node goes on
    /// without the index, it needs the index for this: the others would take it for a member still.
    ///
    /// # Errors
    /// `not-member` where this node is not logged in; `unavailable` where the index cannot be told, and would have to be;
    /// `internal` where the file cannot be removed.
    pub(crate) async fn log_out(&self) -> Result<UserName, ErrorBody> {
        let membership = self.need_membership()?;
        match self.tell_logout().await {
            Ok(()) => {}
            Err(body) if self.replica().is_some() && body.code == ErrorCode::Unavailable => {
                return Err(only_index(&body, "memberships are ended"));
            }
            Err(body) => warn!(%body, "the index could not be told of the logout"),
        }
        self.credentials.forget_enrolment(&self.network()).map_err(internal)?;
        self.drop_enrolment();
        self.jobs.pause_all();
        // Those with the index, and of an index with its clients, are no member's alone: they go on.
        for session in self.pool.all() {
            if matches!(session.role(), Role::Peer) {
                session.close(ErrorCode::Done, "logged out");
            }
        }
        self.log(Activity::LoggedOut { user: membership.user.clone(), why: None }).await;
        Ok(membership.user.clone())
    }

    async fn tell_logout(&self) -> Result<(), ErrorBody> {
        Ok(self.index().await?.logout().await?)
    }

    fn verify_enrolled(&self, enrolled: &Enrolled) -> Result<Enrolment, ErrorBody> {
        let (network, node, now) = (self.network(), self.node(), self.clock.now());
        Enrolment::verify(&enrolled.enrolment, &network, &node, now, now).map_err(|error| {
            ErrorBody::new(ErrorCode::Internal, format!("the index gave no valid membership: {error}"))
        })
    }

    fn keep_enrolled(&self, enrolled: &Enrolled) -> Result<(), ErrorBody> {
        self.set_enrolment(self.verify_enrolled(enrolled)?).map_err(internal)
    }

    /// A home has the shares and jobs of one account.
    async fn check_owner(&self, user: &UserName, forget: bool) -> Result<(), ErrorBody> {
        match self.store.owner().await.map_err(internal)? {
            Some(owner) if !forget && owner != *user => {
                let text = format!("this node has the shares and downloads of {owner}");
                Err(ErrorBody::new(ErrorCode::OtherAccount, text))
            }
            _ => Ok(()),
        }
    }

    /// Makes this home the user's. Of another account, which is logged out first, everything is forgotten; until the
    /// transaction that does it, all but what was received for its downloads is there, and theirs.
    async fn take_over(&self, user: &UserName) -> Result<(), ErrorBody> {
        match self.store.owner().await.map_err(internal)? {
            Some(owner) if owner == *user => return Ok(()),
            None => return self.store.set_owner(user.clone()).await.map_err(internal),
            Some(_) => {}
        }
        self.credentials.forget_enrolment(&self.network()).map_err(internal)?;
        self.drop_enrolment();
        self.jobs.stop_all().await;
        let forgotten = self.store.forget_account(user.clone(), self.clock.now()).await;
        self.watching.touch_all();
        forgotten.map_err(|error| {
            let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
            let text = format!("the downloads of the other account cannot be forgotten: {error}{hint}");
            ErrorBody::new(ErrorCode::Internal, text)
        })
    }
}

/// Renews the membership while connected, until the node stops.
pub(crate) async fn keep_renewed(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(RENEWAL_CHECK).await;
        let due = shared.membership().is_some_and(|membership| membership.wants_renewal(shared.clock.now()));
        if !due {
            continue;
        }
        let renewed = match shared.index().await {
            Ok(index) => index.renew().await.map_err(ErrorBody::from),
            Err(body) => Err(body),
        };
        match renewed.and_then(|enrolled| shared.keep_enrolled(&enrolled)) {
            Ok(_) => debug!("membership renewed"),
            Err(body) => warn!(%body, "the membership could not be renewed"),
        }
    }
}

/// What no copy stands in for.
fn only_index(away: &ErrorBody, what: &str) -> ErrorBody {
    ErrorBody { text: format!("{what} at the index alone: {}", away.text), ..away.clone() }
}

fn internal(error: impl std::fmt::Display) -> ErrorBody {
    ErrorBody::new(ErrorCode::Internal, error.to_string())
}
