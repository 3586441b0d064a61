//! Which record is believed: see [`index::Trust`], with what this node knows.

use std::sync::Arc;

use certs::NodeId;
use index::Trust;
pub(crate) use index::VerifiedRecord;
use wire::message::RecordBundle;
use wire::{ErrorBody, ErrorCode};

use crate::peer::Shared;

/// Checks a record with what came with it. Costs two or three signature checks.
///
/// # Errors
/// `bad-record` with what is wrong; `unsupported` for what a later version may know.
pub(crate) fn verify_bundle(shared: &Shared, bundle: &RecordBundle) -> Result<VerifiedRecord, ErrorBody> {
    let me = shared.me();
    let replica = shared.replica();
    let revoked = |node: &NodeId, serial| replica.as_ref().and_then(|replica| replica.revoked(node, serial));
    let trust = Trust { network: &me.network, certificate: me.certificate.as_ref(), revoked: &revoked };
    trust.verify_bundle(bundle)
}

/// [`verify_bundle`] on a thread for what blocks.
///
/// # Errors
/// The same, and `shutting-down`.
pub(crate) async fn verify_off_thread(
    shared: &Arc<Shared>,
    bundle: RecordBundle,
) -> Result<VerifiedRecord, ErrorBody> {
    let verifier = shared.clone();
    let verified = tokio::task::spawn_blocking(move || verify_bundle(&verifier, &bundle)).await;
    verified.map_err(|_| ErrorBody::new(ErrorCode::ShuttingDown, "stopping"))?
}
