//! `renew`: a new membership in place of the one that ends.

use wire::ErrorBody;
use wire::message::Enrolled;

use super::IndexService;
use crate::registry::Admitted;
use crate::session::{IndexSession, Member};

impl IndexService {
    pub(super) async fn renew(&self, session: &IndexSession, member: &Member) -> Result<Enrolled, ErrorBody> {
        let serial = self.inner.registry.renew(member.node_row, member.serial).await?;
        let admitted =
            Admitted { account: member.account_row, id: member.account, node: member.node_row, serial };
        Ok(self.issue(session, &member.user, &admitted, serial))
    }
}
