//! Which of a node's addresses are handed on, and to whom: pure.

use std::collections::BTreeSet;

use wire::limits;
use wire::message::Address;

/// What is known of where a node is.
pub(crate) struct Seen<'a> {
    /// From where its connection comes.
    pub(crate) observed: Option<Address>,
    /// Where it says that it is.
    pub(crate) claimed: &'a [Address],
    /// Those of them at which it answered.
    pub(crate) verified: &'a BTreeSet<Address>,
}

/// The addresses to hand on, the likeliest first: as seen, then claimed ones with the IP address as seen, then those that
/// answered; at most 8. Loopback addresses only for an asker on the same machine, by the way it was seen itself.
pub(crate) fn to_hand_on(seen: &Seen<'_>, asker_on_loopback: bool) -> Vec<Address> {
    let observed_ip = seen.observed.map(|observed| observed.ip());
    let same_ip = seen.claimed.iter().filter(|claimed| Some(claimed.ip()) == observed_ip);
    let verified = seen.claimed.iter().filter(|claimed| seen.verified.contains(claimed));
    let mut addresses = Vec::new();
    for &address in seen.observed.iter().chain(same_ip).chain(verified) {
        let usable = asker_on_loopback || !address.is_loopback();
        if usable && !addresses.contains(&address) && addresses.len() < limits::ADDRESSES {
            addresses.push(address);
        }
    }
    addresses
}

/// The claimed addresses that are handed on only after the node answered there: of another IP address than it was seen
/// from. A loopback address would be this machine's own, and is never tried.
pub(crate) fn needs_dial_back(observed: Option<Address>, claimed: &[Address]) -> Vec<Address> {
    let observed_ip = observed.map(|observed| observed.ip());
    let distinct: BTreeSet<_> = claimed
        .iter()
        .copied()
        .filter(|claimed| Some(claimed.ip()) != observed_ip && !claimed.is_loopback())
        .collect();
    distinct.into_iter().take(limits::ADDRESSES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::new(text.parse().expect("an address")).expect("usable")
    }

    fn handed_on(observed: &str, claimed: &[&str], verified: &[&str], loopback: bool) -> Vec<String> {
        let claimed: Vec<_> = claimed.iter().map(|text| address(text)).collect();
        let verified = verified.iter().map(|text| address(text)).collect();
        let seen = Seen { observed: Some(address(observed)), claimed: &claimed, verified: &verified };
        to_hand_on(&seen, loopback).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn seen_first_then_its_ip_then_verified() {
        let claimed = ["192.0.2.7:1", "198.51.100.1:2", "192.0.2.1:3", "203.0.113.1:4"];
        assert_eq!(
            handed_on("192.0.2.1:9", &claimed, &["203.0.113.1:4"], false),
            ["192.0.2.1:9", "192.0.2.1:3", "203.0.113.1:4"]
        );
    }

    #[test]
    fn loopback_only_on_loopback() {
        let claimed = ["127.0.0.1:1", "192.0.2.1:1"];
        assert_eq!(handed_on("127.0.0.1:9", &claimed, &[], false), [""; 0]);
        assert_eq!(handed_on("127.0.0.1:9", &claimed, &["192.0.2.1:1"], false), ["192.0.2.1:1"]);
        assert_eq!(
            handed_on("127.0.0.1:9", &claimed, &["192.0.2.1:1"], true),
            ["127.0.0.1:9", "127.0.0.1:1", "192.0.2.1:1"]
        );
        assert_eq!(
            handed_on("192.0.2.9:9", &["127.0.0.1:1"], &[], true),
            ["192.0.2.9:9"],
            "another machine's loopback address is nobody's"
        );
    }

    #[test]
    fn at_most_eight_without_repetition() {
        let claimed: Vec<_> = (1..=20).map(|port| format!("192.0.2.1:{port}")).collect();
        let claimed: Vec<_> = claimed.iter().map(String::as_str).collect();
        assert_eq!(handed_on("192.0.2.1:1", &claimed, &[], false).len(), limits::ADDRESSES);
    }

    #[test]
    fn what_is_dialled_back() {
        let claimed = ["192.0.2.1:1", "127.0.0.1:1", "192.0.2.2:1"].map(address);
        let dialled = |observed: &str| -> Vec<_> {
            needs_dial_back(Some(address(observed)), &claimed).iter().map(ToString::to_string).collect()
        };
        assert_eq!(dialled("192.0.2.1:9"), ["192.0.2.2:1"]);
        assert_eq!(dialled("127.0.0.1:9"), ["192.0.2.1:1", "192.0.2.2:1"]);
    }
}
