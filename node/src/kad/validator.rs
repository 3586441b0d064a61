//! Which values are believed. PROTOCOL.md, "Kademlia".

use std::sync::Arc;

use certs::{AccountId, Enrolment, IndexCertificate, NetworkId, NodeId, Signed, UnixMillis};
use index::dht::{Rank, Reject, Validator, Verdict};
use wire::kad::{KadValue, catalogue_key, members_key, presence_key};
use wire::{ErrorBody, MembersNumber, PRESENCE_VALIDITY_MS};

use super::Roster;

/// How long a members head is kept: as long as a head of a catalogue.
const MEMBERS_VALIDITY_MS: u64 = wire::catalogue::HEAD_VALIDITY_MS;

/// By what memberships are judged.
pub(crate) trait Trust: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> UnixMillis;
    /// The newest time of a word of the index.
    fn index_seen(&self) -> UnixMillis;
    /// Whether the membership of a node with this serial was ended before its time.
    fn is_revoked(&self, node: &NodeId, serial: u64) -> bool;
    /// The index certificate of the highest epoch that is known.
    fn certificate(&self) -> Option<Signed<IndexCertificate>>;
    /// The account of a node, by what else is known of it.
    fn account_of(&self, node: &NodeId) -> Option<AccountId>;
}

/// Decides about values, and learns whose nodes are members from those that hold.
pub(crate) struct KadValidator<T> {
    network: NetworkId,
    trust: T,
    roster: Arc<Roster>,
}

impl<T: Trust> KadValidator<T> {
    /// For a network.
    pub(crate) const fn new(network: NetworkId, trust: T, roster: Arc<Roster>) -> Self {
        Self { network, trust, roster }
    }

    fn judge(&self, key: &[u8], value: &KadValue) -> Result<Verdict, Reject> {
        let (network, now, seen) = (&self.network, self.trust.now(), self.trust.index_seen());
        match value {
            KadValue::Catalogue(bundle) => {
                let verified = bundle.verify(network, now, seen).map_err(invalid)?;
                let node = verified.node();
                under(key, catalogue_key(network, &node).as_bytes())?;
                self.member(&node, &verified.enrolment)?;
                let until = verified.head.not_after();
                Ok(Verdict { rank: Rank(verified.head.seq.into()), author: Some(node), until })
            }
            KadValue::Presence(bundle) => {
                let (presence, enrolment) = bundle.verify(network, now, seen).map_err(invalid)?;
                under(key, presence_key(network, &presence.node).as_bytes())?;
                let enrolment = enrolment.ok_or(Reject::Invalid("presence without enrolment"))?;
                self.member(&presence.node, &enrolment)?;
                let until = presence.time.plus(PRESENCE_VALIDITY_MS);
                Ok(Verdict { rank: Rank(presence.time.0.into()), author: Some(presence.node), until })
            }
            KadValue::Members(bundle) => {
                let verified = bundle.verify(network, now).map_err(invalid)?;
                under(key, members_key(network).as_bytes())?;
                let voids = |newest: Signed<IndexCertificate>| {
                    newest.voids(&verified.certificate, verified.head.time)
                };
                if self.trust.certificate().is_some_and(voids) {
                    return Err(Reject::Invalid("of an index whose statements are void"));
                }
                let MembersNumber { epoch, seq } = verified.number();
                let rank = Rank(u128::from(epoch) << u64::BITS | u128::from(seq));
                let until = verified.head.time.plus(MEMBERS_VALIDITY_MS);
                Ok(Verdict { rank, author: Some(verified.certificate.node), until })
            }
        }
    }

    fn member(&self, node: &NodeId, enrolment: &Enrolment) -> Result<(), Reject> {
        if self.trust.is_revoked(node, enrolment.membership.serial) {
            self.roster.forget(node);
            return Err(Reject::Invalid("membership revoked"));
        }
        if self.trust.certificate().is_some_and(|newest| enrolment.is_void_under(&newest)) {
            return Err(Reject::Invalid("membership of an index whose statements are void"));
        }
        self.roster.learn(&enrolment.membership);
        Ok(())
    }
}

impl<T: Trust> Validator for KadValidator<T> {
    fn check(&self, key: &[u8], value: &[u8], _: Option<NodeId>) -> Result<Verdict, Reject> {
        let value = KadValue::decode(value).map_err(|_| Reject::Invalid("no value of this network"))?;
        self.judge(key, &value)
    }

    fn check_provider(&self, _: &[u8], provider: NodeId) -> Result<(), Reject> {
        let is_over = |serial| self.trust.is_revoked(&provider, serial);
        let account = self.roster.account_of(&provider, is_over);
        account.or_else(|| self.trust.account_of(&provider)).map(drop).ok_or(Reject::UnknownNode)
    }
}

fn under(key: &[u8], derived: &[u8]) -> Result<(), Reject> {
    if key == derived { Ok(()) } else { Err(Reject::Invalid("under another key")) }
}

fn invalid(error: ErrorBody) -> Reject {
    Reject::Invalid(match error.code {
        wire::ErrorCode::OtherNetwork => "of another network",
        wire::ErrorCode::NotMember => "not a member",
        _ => "not valid",
    })
}

#[cfg(test)]
mod tests {
    use certs::{Membership, SecretKey};
    use wire::catalogue::{CatalogueHead, HEAD_VALIDITY_MS, HeadBundle, Tree};
    use wire::{MembersBundle, MembersHead, Presence, PresenceBundle};

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    #[derive(Default)]
    struct Fixed {
        revoked: u64,
        certificate: Option<Signed<IndexCertificate>>,
    }

    impl Trust for Fixed {
        fn now(&self) -> UnixMillis {
            NOW
        }

        fn index_seen(&self) -> UnixMillis {
            NOW
        }

        fn is_revoked(&self, _: &NodeId, serial: u64) -> bool {
            serial <= self.revoked
        }

        fn certificate(&self) -> Option<Signed<IndexCertificate>> {
            self.certificate.clone()
        }

        fn account_of(&self, _: &NodeId) -> Option<AccountId> {
            None
        }
    }

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed([seed; 32])
    }

    fn network() -> NetworkId {
        key(1).public()
    }

    fn enrolment(node: &SecretKey) -> Enrolment {
        let certificate = IndexCertificate::issue(&key(1), key(2).public(), 1, NOW);
        let (account, user) = (AccountId::from_bytes([9; 16]), "alice".parse().expect("a name"));
        let membership = Membership::issue(&key(2), &certificate, account, user, node.public(), 1, NOW);
        Enrolment { certificate, membership }
    }

    fn head(seq: u64, time: UnixMillis, signer: &SecretKey) -> KadValue {
        let head = CatalogueHead::issue(signer, network(), seq, time, Tree::default(), Tree::default());
        KadValue::Catalogue(HeadBundle::new(&head, &enrolment(&key(3))))
    }

    fn validator(revoked: u64) -> KadValidator<Fixed> {
        KadValidator::new(network(), Fixed { revoked, ..Fixed::default() }, Arc::default())
    }

    fn check(
        validator: &KadValidator<Fixed>,
        key: &wire::Digest,
        value: &KadValue,
    ) -> Result<Verdict, Reject> {
        validator.check(key.as_bytes(), &value.encode(), None)
    }

    #[test]
    fn a_head_is_believed_under_its_own_key_alone() {
        let node = key(3).public();
        let at = catalogue_key(&network(), &node);
        let validator = validator(0);
        assert_eq!(validator.check_provider(b"any", node), Err(Reject::UnknownNode));
        let verdict = check(&validator, &at, &head(7, NOW, &key(3))).expect("it holds");
        let until = NOW.plus(HEAD_VALIDITY_MS);
        assert_eq!(verdict, Verdict { rank: Rank(7), author: Some(node), until });
        assert_eq!(validator.check_provider(b"any", node), Ok(()), "its membership was seen");
        let elsewhere = catalogue_key(&network(), &key(4).public());
        assert!(check(&validator, &elsewhere, &head(7, NOW, &key(3))).is_err());
        assert!(check(&validator, &presence_key(&network(), &node), &head(7, NOW, &key(3))).is_err());
        let others = head(7, NOW, &key(4));
        assert!(check(&validator, &elsewhere, &others).is_err(), "with another node's membership");
        let old = head(7, NOW.minus(HEAD_VALIDITY_MS + 1), &key(3));
        assert!(check(&validator, &at, &old).is_err());
        assert!(validator.check(at.as_bytes(), &[7; 100], None).is_err());
    }

    #[test]
    fn a_revoked_member_is_none() {
        let validator = validator(1);
        let node = key(3).public();
        validator.roster.learn(&enrolment(&key(3)).membership);
        assert_eq!(validator.check_provider(b"any", node), Err(Reject::UnknownNode), "seen before it was");
        let refused = check(&validator, &catalogue_key(&network(), &node), &head(7, NOW, &key(3)));
        assert_eq!(refused, Err(Reject::Invalid("membership revoked")));
        assert_eq!(validator.check_provider(b"any", node), Err(Reject::UnknownNode));
    }

    #[test]
    fn presence_comes_with_its_enrolment() {
        let node = key(3).public();
        let at = presence_key(&network(), &node);
        let presence = Presence::issue(&key(3), network(), NOW, NOW, Vec::new());
        let presence: serde_bytes::ByteBuf = presence.bytes().to_vec().into();
        let with = |enrolment| KadValue::Presence(PresenceBundle { presence: presence.clone(), enrolment });
        let validator = validator(0);
        assert!(check(&validator, &at, &with(None)).is_err());
        let whole = with(Some(enrolment(&key(3)).to_bytes().into()));
        assert_eq!(check(&validator, &at, &whole).expect("it holds").rank, Rank(NOW.0.into()));
    }

    fn members(epoch: u64, seq: u64, signer: u8) -> KadValue {
        let certificate = IndexCertificate::issue(&key(1), key(2).public(), epoch, NOW);
        let (signer, nobody) = (key(signer), Tree::default());
        let head = MembersHead::issue(&signer, &certificate, seq, NOW, nobody, nobody);
        KadValue::Members(MembersBundle::new(&head, &certificate))
    }

    #[test]
    fn a_members_head_of_a_later_index_is_higher() {
        let rank = |epoch: u64, seq: u64, signer: u8| {
            let value = members(epoch, seq, signer);
            check(&validator(0), &members_key(&network()), &value).map(|verdict| verdict.rank)
        };
        assert!(rank(1, 9, 2).expect("it holds") > rank(1, 8, 2).expect("it holds"));
        assert!(rank(2, 1, 2).expect("it holds") > rank(1, 9, 2).expect("it holds"));
        // Epochs are times in seconds, where an index has moved.
        let epoch = NOW.0 / 1000;
        assert!(rank(epoch + 1, 1, 2).expect("it holds") > rank(epoch, NOW.0, 2).expect("it holds"));
        assert!(rank(1, 9, 3).is_err(), "by a node that is not the index");
    }

    #[test]
    fn what_a_void_index_signed_is_not_believed() {
        let node = key(3).public();
        let voiding = |since| Some(IndexCertificate::issue_voiding(&key(1), key(4).public(), 2, NOW, since));
        // Of before, and of the time from which on it is void.
        for (since, held) in [(NOW.plus(1), true), (NOW, false)] {
            let trust = Fixed { certificate: voiding(since), ..Fixed::default() };
            let validator = KadValidator::new(network(), trust, Arc::default());
            let catalogue = check(&validator, &catalogue_key(&network(), &node), &head(7, NOW, &key(3)));
            let list = check(&validator, &members_key(&network()), &members(1, 9, 2));
            assert_eq!((catalogue.is_ok(), list.is_ok()), (held, held), "{catalogue:?} {list:?}");
            assert_eq!(validator.check_provider(b"any", node).is_ok(), held);
        }
    }
}
