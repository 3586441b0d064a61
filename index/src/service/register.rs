//! R: what a node publishes and holds.

use certs::{Signed, UnixMillis};
use wire::message::{Holds, Outcome, RecordBundle, Register, RegisterStart, Registered};
use wire::{ErrorBody, ErrorCode, Receipt, Record, record_hash, record_refusal};

use super::{IndexService, Inner};
use crate::registry::{Batched, Incoming, Purpose, Sender};
use crate::session::{IndexSession, Member};

impl IndexService {
    pub(super) async fn register(
        &self,
        session: &IndexSession,
        member: &Member,
        register: Register,
    ) -> Result<Registered, ErrorBody> {
        match register {
            Register { start: Some(start), .. } => self.start(member, start).await,
            Register { records: Some(records), .. } => {
                let outcomes = self.records(session, member, Purpose::Register, records).await?;
                Ok(outcomes.into())
            }
            Register { holds: Some(holds), .. } => self.holds(member, holds).await,
            Register { start: None, records: None, holds: None, .. } => {
                Err(ErrorBody::new(ErrorCode::BadMessage, "an R with nothing in it"))
            }
        }
    }

    /// Is what is known of the node still what it publishes and holds?
    async fn start(&self, member: &Member, start: RegisterStart) -> Result<Registered, ErrorBody> {
        let RegisterStart { seq, records, holdings } = start;
        let (want_records, want_holdings) =
            self.inner.registry.start(member.node_row, member.user.clone(), seq, records, holdings).await?;
        Ok(Registered { want_records, want_holdings, outcomes: Vec::new() })
    }

    async fn holds(&self, member: &Member, holds: Holds) -> Result<Registered, ErrorBody> {
        let Holds { generation, contents, last } = holds;
        let _turn = self.inner.admission.enter(contents.len()).await?;
        let node = (member.account_row, member.node_row);
        self.inner.registry.hold(node, generation, contents, last).await??;
        Ok(Registered::default())
    }

    /// Records or tombstones: checked off the async threads, then decided and stored in one transaction.
    pub(super) async fn records(
        &self,
        session: &IndexSession,
        member: &Member,
        purpose: Purpose,
        bundles: Vec<RecordBundle>,
    ) -> Result<Vec<Outcome>, ErrorBody> {
        let _turn = self.inner.admission.enter(bundles.len()).await?;
        let now = self.now();
        let items = self.verify(bundles, now).await?;
        let sender = Sender {
            network: self.inner.certificate.network,
            account: member.account,
            user: member.user.clone(),
            node: session.node,
        };
        let batched = Batched {
            purpose,
            sender,
            account: member.account_row,
            node: member.node_row,
            items,
            now,
            certificate: self.inner.registry.certificate(),
        };
        Ok(self.inner.registry.register(batched).await?)
    }

    async fn verify(&self, bundles: Vec<RecordBundle>, now: UnixMillis) -> Result<Vec<Incoming>, ErrorBody> {
        let internal = |text: &str| ErrorBody::new(ErrorCode::Internal, text);
        let permit = self.inner.verifying.acquire().await;
        let _permit = permit.map_err(|_| internal("the index is stopping"))?;
        let service = self.clone();
        let verified = tokio::task::spawn_blocking(move || {
            bundles.iter().map(|bundle| service.verify_one(bundle, now)).collect()
        });
        verified.await.map_err(|_| internal("a check of signatures failed"))
    }

    /// The receipt is signed here, since this work is spread over the cores and the writing thread's is not. One that the
    /// rules then do not accept is thrown away unseen.
    fn verify_one(&self, bundle: &RecordBundle, now: UnixMillis) -> Incoming {
        let record = match Signed::<Record>::parse(&bundle.record) {
            Ok(record) => Box::new(record),
            Err(error) => return Incoming::Refused(record_refusal(&error)),
        };
        let Inner { key, certificate, .. } = &*self.inner;
        let receipt = Receipt::issue(key, certificate, record_hash(&record), now);
        Incoming::Verified { record, receipt: receipt.bytes().to_vec() }
    }
}
