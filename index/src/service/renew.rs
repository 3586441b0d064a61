//! `renew`: a new membership in place of the one that ends.

use wire::ErrorBody;
use wire::message::Enrolled;

use super::IndexService;
use crate::registry::{Admitted, NodeRow};
use crate::session::{IndexSession, Member};

impl IndexService {
    pub(super) async fn renew(&self, session: &IndexSession, member: &Member) -> Result<Enrolled, ErrorBody> {
        let serial = self.renewed_serial(member.node_row, member.serial).await?;
        let admitted =
            Admitted { account: member.account_row, id: member.account, node: member.node_row, serial };
        Ok(self.issue(session, &member.user, &admitted, serial))
    }

    /// The serial of a membership in place of the one with this serial: a higher one; while the index recovers the same. What
    /// it has lost may say that the one before was ended, and that must end this one, too, whenever it is handed back.
    pub(super) async fn renewed_serial(&self, node: NodeRow, serial: u64) -> Result<u64, ErrorBody> {
        match self.is_recovering() {
            true => Ok(serial),
            false => Ok(self.inner.registry.renew(node, serial).await?),
        }
    }
}
