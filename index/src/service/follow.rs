//! `follow` and `unfollow`: of which resources a node is told.

use wire::ErrorBody;
use wire::message::{Empty, Follow, Following, Unfollow};

use super::IndexService;
use crate::followers::Key;
use crate::session::IndexSession;

impl IndexService {
    /// Adds first and reads then: a record that is stored in between is told, and perhaps answered too.
    pub(super) async fn follow(
        &self,
        session: &IndexSession,
        follow: Follow,
    ) -> Result<Following, ErrorBody> {
        let keys: Vec<Key> = follow.resources.iter().map(|one| Key::of(&one.account, &one.name)).collect();
        self.inner.followers.follow(session.number, &keys)?;
        // Every record is of visibility `members`, and so is for whoever may ask.
        let outcomes = self.inner.registry.standing(follow.resources).await?;
        Ok(Following { outcomes })
    }

    pub(super) fn unfollow(&self, session: &IndexSession, unfollow: &Unfollow) -> Empty {
        let keys: Vec<Key> = unfollow.resources.iter().map(|one| Key::of(&one.account, &one.name)).collect();
        self.inner.followers.unfollow(session.number, &keys);
        Empty {}
    }
}
