//! One key, two names: a node's id is the peer id that libp2p makes of the same key; and its addresses, which are
//! `/ip4|ip6/…/udp/…/quic-v1/p2p/…` and nothing else.

use std::net::{IpAddr, SocketAddr};

use certs::NodeId;
use libp2p_core::Multiaddr;
use libp2p_core::multiaddr::Protocol;
use libp2p_identity::{PeerId, PublicKey, ed25519};

/// What stands before the 32 bytes of an Ed25519 key in the protobuf message that a peer id of such a key is: field 1
/// (type) = 1 (Ed25519), field 2 (data) of 32 bytes.
const ED25519_PREFIX: [u8; 4] = [0x08, 0x01, 0x12, 0x20];

/// The multihash code "identity": the peer id is the key itself, not a hash of it.
const IDENTITY: u64 = 0;

/// The peer id of a node.
pub fn peer_of(node: &NodeId) -> PeerId {
    let key = ed25519::PublicKey::try_from_bytes(node.as_bytes()).expect("a node id is a point of the curve");
    PublicKey::from(key).to_peer_id()
}

/// The node of a peer id; `None` if it is none of an Ed25519 key, or of a key that is no node's.
pub fn node_of(peer: &PeerId) -> Option<NodeId> {
    let hash = peer.as_ref();
    let key = hash.digest().strip_prefix(&ED25519_PREFIX)?;
    (hash.code() == IDENTITY).then(|| NodeId::from_slice(key).ok())?
}

/// An address as libp2p writes it, with the node that is to answer there.
pub fn to_multiaddr(address: SocketAddr, node: &NodeId) -> Multiaddr {
    plain_multiaddr(address).with(Protocol::P2p(peer_of(node)))
}

/// An address as libp2p writes it, without a node.
pub(super) fn plain_multiaddr(address: SocketAddr) -> Multiaddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) => Protocol::Ip4(ip),
        IpAddr::V6(ip) => Protocol::Ip6(ip),
    };
    Multiaddr::empty().with(ip).with(Protocol::Udp(address.port())).with(Protocol::QuicV1)
}

/// Reads an address; the node, where it names one. `None` for every other kind of address, and for one that nobody can
/// be at: port 0, unspecified, multicast, broadcast.
pub fn from_multiaddr(address: &Multiaddr) -> Option<(SocketAddr, Option<PeerId>)> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) if !ip.is_broadcast() => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    let Protocol::Udp(port) = parts.next()? else { return None };
    let Protocol::QuicV1 = parts.next()? else { return None };
    let peer = match parts.next() {
        None => None,
        Some(Protocol::P2p(peer)) => Some(peer),
        Some(_) => return None,
    };
    let somewhere = port != 0 && !ip.is_unspecified() && !ip.is_multicast();
    (somewhere && parts.next().is_none()).then_some((SocketAddr::new(ip, port), peer))
}

#[cfg(test)]
mod tests {
    use certs::SecretKey;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ids_convert_both_ways() {
        for seed in 0..16 {
            let secret = SecretKey::from_seed([seed; 32]);
            let libp2p = libp2p_identity::Keypair::ed25519_from_bytes(*secret.seed()).unwrap();
            assert_eq!(peer_of(&secret.public()), libp2p.public().to_peer_id(), "one seed makes both");
            assert_eq!(node_of(&libp2p.public().to_peer_id()), Some(secret.public()));
        }
    }

    #[test]
    fn a_peer_id_that_is_no_ed25519_key_is_no_node() {
        assert_eq!(node_of(&PeerId::random()), None);
        let small_order = [ED25519_PREFIX.as_slice(), &[0; 32]].concat();
        let hash = libp2p_core::multihash::Multihash::wrap(IDENTITY, &small_order).unwrap();
        assert_eq!(node_of(&PeerId::from_multihash(hash).unwrap()), None);
    }

    proptest! {
        #[test]
        fn addresses_come_back(ip: IpAddr, port in 1_u16.., seed: [u8; 32]) {
            prop_assume!(!ip.is_unspecified() && !ip.is_multicast());
            prop_assume!(ip != IpAddr::from([255; 4]));
            let node = SecretKey::from_seed(seed).public();
            let address = SocketAddr::new(ip, port);
            let written = to_multiaddr(address, &node);
            prop_assert_eq!(from_multiaddr(&written), Some((address, Some(peer_of(&node)))));
            prop_assert_eq!(from_multiaddr(&plain_multiaddr(address)), Some((address, None)));
        }
    }

    #[test]
    fn other_addresses_are_none() {
        let node = SecretKey::from_seed([1; 32]).public();
        let peer = peer_of(&node);
        for text in [
            "/ip4/10.0.0.1/tcp/1".to_owned(),
            "/ip4/10.0.0.1/udp/1".to_owned(),
            "/ip4/10.0.0.1/udp/0/quic-v1".to_owned(),
            "/ip4/0.0.0.0/udp/1/quic-v1".to_owned(),
            "/ip4/255.255.255.255/udp/1/quic-v1".to_owned(),
            "/ip6/ff02::1/udp/1/quic-v1".to_owned(),
            "/dns4/example.org/udp/1/quic-v1".to_owned(),
            format!("/ip4/10.0.0.1/udp/1/quic-v1/p2p/{peer}/p2p-circuit"),
        ] {
            assert_eq!(from_multiaddr(&text.parse().unwrap()), None, "{text}");
        }
    }
}
