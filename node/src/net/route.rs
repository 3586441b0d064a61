//! What a route takes: the MTU of the way that the system would send packets to an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Headers of IPv4 and of IPv6, and that of UDP behind either, in bytes.
const IPV4_HEADER: u32 = 20;
const IPV6_HEADER: u32 = 40;
const UDP_HEADER: u32 = 8;
/// Where the system does not say: the payload that fits an Ethernet frame behind the larger headers.
const USUAL_PAYLOAD: u16 = 1452;

/// The largest UDP payload that leaves this machine towards an address in one piece. Narrower links behind it are found
/// by QUIC's own probes (RFC 8899).
pub(super) fn largest_payload(remote: SocketAddr) -> u16 {
    let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
    let headers = UDP_HEADER + if remote.is_ipv4() { IPV4_HEADER } else { IPV6_HEADER };
    let payload = mtu(remote).map(|mtu| mtu.saturating_sub(headers));
    payload.map_or(USUAL_PAYLOAD, |payload| u16::try_from(payload).unwrap_or(u16::MAX))
}

/// Asks with a socket that is connected, which for UDP sends nothing.
#[cfg(target_os = "linux")]
fn mtu(remote: SocketAddr) -> Option<u32> {
    let any: IpAddr =
        if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(remote).ok()?;
    let mtu = if remote.is_ipv4() {
        rustix::net::sockopt::ip_mtu(&socket)
    } else {
        rustix::net::sockopt::ipv6_mtu(&socket)
    };
    mtu.ok()
}

#[cfg(not(target_os = "linux"))]
fn mtu(_remote: SocketAddr) -> Option<u32> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn loopback_takes_much_however_it_is_written() {
        for address in ["127.0.0.1:4820", "[::ffff:127.0.0.1]:4820"] {
            assert!(largest_payload(address.parse().expect("an address")) > 6500, "{address}");
        }
    }

    #[test]
    fn what_cannot_be_reached_gets_the_usual() {
        // No route goes to an address that stands for none.
        let nowhere = "255.255.255.255:1".parse().expect("an address");
        assert_eq!(largest_payload(nowhere), USUAL_PAYLOAD);
    }
}
