//! The nodes of a transfer as `transfers` shows them.

use certs::NodeId;

use crate::control::api::TransferPeer;
use crate::net::Session;

/// A node of which nothing has moved yet, with how good the way to it is where a connection is open.
pub(crate) fn peer(node: NodeId, session: Option<&Session>) -> TransferPeer {
    let quality = session.map(Session::quality);
    TransferPeer {
        node,
        user: session.and_then(Session::user),
        bytes: 0,
        share: None,
        rate: 0,
        rtt_ms: quality.map(|quality| quality.rtt.as_secs_f64() * 1000.0),
        loss: quality.map(|quality| quality.loss()),
    }
}
