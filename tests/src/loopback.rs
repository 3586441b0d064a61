//! Loopback: an address for each cluster, and what connections over it are like.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

use p2p_node::options::TransportOptions;

/// The largest payload of UDP in a frame of Ethernet, behind the headers of IPv6.
const ETHERNET: u16 = 1452;

/// An address of 127.0.0.0/8 that no other cluster of this process has, and hardly one of another process; its last byte
/// is for the caller.
pub(crate) fn next() -> Ipv4Addr {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let [_, _, high, low] = (std::process::id() ^ count << 3).to_be_bytes();
    let address = Ipv4Addr::new(127, high | 1, low, 1);
    match UdpSocket::bind(SocketAddr::new(address.into(), 0)) {
        Ok(_) => address,
        Err(_) => Ipv4Addr::LOCALHOST,
    }
}

/// How connections behave. What a network without its index costs is counted in bytes, so its packets are as on Ethernet: on
/// loopback the first that looks for a larger size has 65 KB.
pub(crate) fn transport(fallback: bool) -> TransportOptions {
    let default = TransportOptions::default();
    let mtu = if fallback { ETHERNET } else { default.mtu };
    TransportOptions { mtu, ..default }
}
