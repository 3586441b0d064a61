//! D: what a node no longer publishes or holds.

use wire::message::{Deregister, Registered};
use wire::{ErrorBody, ErrorCode};

use super::IndexService;
use crate::registry::Purpose;
use crate::session::{IndexSession, Member};

impl IndexService {
    pub(super) async fn deregister(
        &self,
        session: &IndexSession,
        member: &Member,
        deregister: Deregister,
    ) -> Result<Registered, ErrorBody> {
        match deregister {
            Deregister { tombstones: Some(tombstones), .. } => {
                let outcomes = self.records(session, member, Purpose::Deregister, tombstones).await?;
                Ok(outcomes.into())
            }
            Deregister { holding: Some(contents), .. } => {
                let _turn = self.inner.admission.enter(contents.len()).await?;
                self.inner.registry.unhold(member.node_row, contents).await?;
                Ok(Registered::default())
            }
            Deregister { tombstones: None, holding: None } => {
                Err(ErrorBody::new(ErrorCode::BadMessage, "a D with nothing in it"))
            }
        }
    }
}
