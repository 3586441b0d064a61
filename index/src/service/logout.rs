//! `logout`: the end of a node's enrolment. What it published stays.

use wire::ErrorBody;
use wire::message::Empty;

use super::IndexService;
use crate::session::{IndexSession, Member};

impl IndexService {
    pub(super) async fn logout(&self, session: &IndexSession, member: &Member) -> Result<Empty, ErrorBody> {
        let ended = self.inner.registry.end(member.node_row, self.now()).await?;
        self.inner.presence.end(Some(session), member.node_row, ended);
        tracing::info!(user = %member.user, node = %session.node.short(), "logged out");
        Ok(Empty {})
    }
}
