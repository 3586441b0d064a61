//! Arbitrary results of requests that keep their bounds.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use wire::message::{
    DataFollows, Enrolled, Entry, Event, FollowOutcome, FollowOutcomeKind, Following, Granted, HeldRoot,
    HolderInfo, Located, OnlineNode, OnlineUser, Outcome, OutcomeKind, Page, Probed, Registered, WhoPage,
};

use crate::basics::{
    account, address, bytes, content, cursor, error, kind, millis, name, nanos, node, record_hash, root_hash,
    runs, user,
};
use crate::requests::bundle;

pub(crate) fn enrolled() -> impl Strategy<Value = Enrolled> {
    bytes(200).prop_map(|enrolment| Enrolled { enrolment })
}

pub(crate) fn who_page() -> impl Strategy<Value = WhoPage> {
    let online_node = (node(), option::of(address()), millis())
        .prop_map(|(node, address, since)| OnlineNode { node, address, since });
    let online_user = (user(), vec(online_node, 0..4)).prop_map(|(user, nodes)| OnlineUser { user, nodes });
    (vec(online_user, 0..4), cursor()).prop_map(|(users, next)| WhoPage { users, next })
}

pub(crate) fn registered() -> impl Strategy<Value = Registered> {
    let kind = proptest::sample::select(vec![
        OutcomeKind::Created,
        OutcomeKind::Updated,
        OutcomeKind::Unchanged,
        OutcomeKind::Superseded,
        OutcomeKind::Refused,
    ]);
    let some = || option::of(bytes(50));
    let outcome = (kind, some(), some(), some(), option::of(error())).prop_map(
        |(outcome, receipt, certificate, winner, error)| Outcome {
            outcome,
            receipt,
            certificate,
            winner,
            error,
        },
    );
    (any::<bool>(), any::<bool>(), vec(outcome, 0..=128)).prop_map(
        |(want_records, want_holdings, outcomes)| Registered { want_records, want_holdings, outcomes },
    )
}

pub(crate) fn following() -> impl Strategy<Value = Following> {
    let outcome = prop_oneof![
        Just((FollowOutcomeKind::Same, None)),
        Just((FollowOutcomeKind::NotFound, None)),
        bundle().prop_map(|bundle| (FollowOutcomeKind::Other, Some(bundle))),
    ];
    let outcome = outcome.prop_map(|(outcome, bundle)| FollowOutcome { outcome, bundle });
    vec(outcome, 0..10).prop_map(|outcomes| Following { outcomes })
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    bundle().prop_map(Event::Record)
}

pub(crate) fn located() -> impl Strategy<Value = Located> {
    let holder = (node(), user(), vec(address(), 0..=8), any::<bool>())
        .prop_map(|(node, user, addresses, whole)| HolderInfo { node, user, addresses, whole });
    (bundle(), vec(holder, 0..=32), cursor()).prop_map(|(bundle, holders, next)| Located {
        bundle,
        holders,
        next,
    })
}

pub(crate) fn granted() -> impl Strategy<Value = Granted> {
    let held = (root_hash(), option::of(runs(99))).prop_map(|(root, chunks)| HeldRoot { root, chunks });
    (vec(held, 1..=8), any::<bool>()).prop_map(|(roots, others)| Granted { roots, others })
}

pub(crate) fn probed() -> impl Strategy<Value = Probed> {
    any::<bool>().prop_map(|whole| Probed { whole })
}

pub(crate) fn data_follows() -> impl Strategy<Value = DataFollows> {
    (any::<u64>(), option::of(runs(256)), any::<bool>()).prop_map(|(length, runs, zstd)| DataFollows {
        length,
        runs,
        zstd,
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let whose = (user(), account(), name(), kind(), node());
    let times = (nanos(), millis(), option::of(nanos()));
    let what = (any::<[u64; 3]>(), times, option::of(content()), record_hash(), any::<[u32; 2]>());
    (whose, what).prop_map(|(whose, what)| {
        let (owner, account, name, kind, node) = whose;
        let ([version, revision, size], (mtime, accepted, published), content, record, [holders, online]) =
            what;
        Entry {
            owner,
            account,
            name,
            kind,
            version,
            revision,
            size,
            mtime,
            accepted,
            content,
            record,
            node,
            holders,
            online,
            published,
        }
    })
}

pub(crate) fn page() -> impl Strategy<Value = Page> {
    (vec(entry(), 0..10), cursor(), "[a-z]{0,10}", any::<u64>())
        .prop_map(|(items, next, source, age_ms)| Page { items, next, source, age_ms })
}
