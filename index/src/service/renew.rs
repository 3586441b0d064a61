//! `renew`: a new membership in place of the one that ends.

use wire::ErrorBody;
use wire::message::Enrolled;

use super::IndexService;
use crate::registry::Admitted;
use crate::session::{IndexSession, Member};

impl IndexService {
    pub(super) async fn renew(&self, session: &IndexSession, member: &Member) -> Result<Enrolled, ErrorBody> {
        let serial = self.inner.registry.next_serial(member.node_row).await?;
        let admitted =
            Admitted { account: member.account_row, id: member.account, node: member.node_row, serial };
        Ok(self.issue(session, &member.user, &admitted, serial))
    }
}
