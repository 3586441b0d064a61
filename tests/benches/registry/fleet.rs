//! Many members of one network, on one socket.

use std::sync::Arc;

use certs::{UnixNanos, UserName};
use p2p_node_tests::hostile::{Member, Stranger};
use p2p_node_tests::{Programs, clock};
use tokio::task::JoinSet;
use wire::message::RecordBundle;
use wire::{ContentHash, Kind, Record, RootHash, Visibility};

use super::names::{Names, Random};
use super::report;

/// Accounts that are made at once: the index hashes two passwords at a time.
const AT_ONCE: usize = 8;

/// The members, connected.
pub(crate) struct Fleet {
    pub(crate) members: Vec<Arc<Member>>,
}

impl Fleet {
    /// Signs so many users up.
    pub(crate) async fn enrol(programs: &Programs, accounts: usize) -> Self {
        let socket = Stranger::new(programs.ip());
        let (network, address) = (programs.network(), programs.index.address());
        let began = clock::monotonic();
        let (mut joining, mut members) = (JoinSet::new(), Vec::with_capacity(accounts));
        for number in 0..accounts {
            if joining.len() == AT_ONCE {
                members.extend(joining.join_next().await.map(|joined| joined.expect("no panic")));
            }
            let stranger = socket.beside();
            joining.spawn(async move {
                let user = format!("user-{number}");
                Arc::new(Member::sign_up_at(stranger, address, network, &user).await)
            });
        }
        while let Some(joined) = joining.join_next().await {
            members.push(joined.expect("no panic"));
        }
        report::rate("accounts made", accounts, clock::monotonic() - began);
        Self { members }
    }
}

/// What resources a member has.
pub(crate) fn bundle(member: &Member, random: &mut Random) -> RecordBundle {
    let membership = member.membership();
    let now = clock::wall_nanos();
    let record = Record {
        format: 0,
        network: membership.network,
        account: membership.account,
        user: membership.user.clone(),
        node: member.id(),
        name: random.name().parse().expect("a name"),
        kind: Kind::File,
        version: 1,
        revision: 0,
        prev: None,
        size: random.draw() % (1 << 32),
        mtime: UnixNanos(1_700_000_000_000_000_000 + (random.draw() % 90_000_000_000_000_000) as i64),
        published: now,
        content: Some(ContentHash::from_bytes(random.hash())),
        root: Some(RootHash::from_bytes(random.hash())),
        visibility: Visibility::Members,
        extensions: Default::default(),
    };
    RecordBundle::bare(member.sign(record).bytes())
}

/// The user of a member.
pub(crate) fn user(member: &Member) -> UserName {
    member.membership().user.clone()
}
