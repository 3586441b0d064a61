//! Addresses that a node tells others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use wire::limits;
use wire::message::Address;

/// Documentation addresses (RFC 5737, RFC 3849): asked only which way packets there would go; none is sent.
const ELSEWHERE_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);
const ELSEWHERE_V6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 9);

/// Where a socket bound to `bound` can be reached, likeliest first, at most [`limits::ADDRESSES`]: the address itself, or,
/// where that is unspecified, those of the machine's interfaces.
pub(crate) fn listen_addresses(bound: SocketAddr) -> Vec<Address> {
    if !bound.ip().is_unspecified() {
        return Address::new(bound).into_iter().collect();
    }
    let both = bound.is_ipv6();
    let mut found: Vec<IpAddr> = [local_towards(ELSEWHERE_V4), local_towards(ELSEWHERE_V6).filter(|_| both)]
        .into_iter()
        .flatten()
        .collect();
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    found.extend(interfaces.iter().map(if_addrs::Interface::ip).filter(|ip| both || ip.is_ipv4()));
    let mut addresses = Vec::new();
    for ip in found {
        let Some(address) = Address::new(SocketAddr::new(ip, bound.port())) else { continue };
        if !address.is_loopback() && !is_link_local(ip) && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    // On a machine without a network the others can only be on it too.
    if addresses.is_empty() {
        addresses.extend(Address::new(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), bound.port())));
    }
    addresses.truncate(limits::ADDRESSES);
    addresses
}

/// The address to show for a socket bound to `bound`: itself, or the first of [`listen_addresses`].
pub(crate) fn routable(bound: SocketAddr) -> SocketAddr {
    listen_addresses(bound).first().map_or(bound, Address::socket)
}

/// Our own address on the way to `remote`, by the routing table.
fn local_towards(remote: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(remote).ok()?;
    socket.local_addr().ok().map(|local| local.ip()).filter(|ip| !ip.is_unspecified())
}

/// An IPv6 address that means nothing without the interface.
fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_address_is_told_as_it_is() {
        let bound = "127.0.0.1:4000".parse().expect("an address");
        assert_eq!(listen_addresses(bound), [Address::new(bound).expect("usable")]);
        assert_eq!(routable(bound), bound);
    }

    #[test]
    fn an_unspecified_one_becomes_some() {
        for any in ["0.0.0.0:4000", "[::]:4000"] {
            let addresses = listen_addresses(any.parse().expect("an address"));
            assert!((1..=limits::ADDRESSES).contains(&addresses.len()));
            assert!(addresses.iter().all(|address| address.socket().port() == 4000));
        }
    }
}
