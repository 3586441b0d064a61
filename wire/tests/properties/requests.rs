//! Arbitrary requests that keep their bounds.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use wire::message::{
    Credentials, Deregister, Empty, Follow, Followed, GetData, Held, Hello, Holds, List, Probe, RecordBundle,
    Register, RegisterStart, Request, RequestDownload, ResourceKey, ResourceQuery, Revocations, Search,
    Unfollow, Who,
};
use wire::{Digest, InstanceId, PageHash};

use crate::basics::{
    account, address, bytes, content, cursor, kind, millis, name, node, record_hash, root_hash, runs, user,
};

pub(crate) fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        hello().prop_map(Request::Hello),
        credentials().prop_map(Request::Signup),
        credentials().prop_map(Request::Login),
        Just(Request::Logout(Empty {})),
        Just(Request::Renew(Empty {})),
        Just(Request::Ping(Empty {})),
        (limit(), cursor()).prop_map(|(limit, cursor)| Request::Who(Who { limit, cursor })),
        Just(Request::Events(Empty {})),
        follow().prop_map(Request::Follow),
        unfollow().prop_map(Request::Unfollow),
        register().prop_map(Request::R),
        deregister().prop_map(Request::D),
        request_download().prop_map(Request::P),
        get_data().prop_map(Request::G),
        list().prop_map(Request::L),
        search().prop_map(Request::S),
    ]
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::from_bytes)
}

fn limit() -> impl Strategy<Value = Option<u32>> {
    option::of(1_u32..=1000)
}

pub(crate) fn hello() -> impl Strategy<Value = Hello> {
    let who = (any::<u32>(), vec("[a-z-]{0,64}", 0..5), node(), any::<[u8; 16]>());
    let knows =
        (option::of(bytes(99)), option::of(bytes(99)), option::of((any::<u64>(), digest())), millis());
    let place = (vec(address(), 0..=8), option::of(address()), option::of(bytes(99)));
    (who, knows, place).prop_map(|(who, knows, place)| {
        let (minor, features, network, instance) = who;
        let (enrolment, certificate, revocations, clock) = knows;
        let (addresses, seen, renewed) = place;
        let revocations = revocations.map(|(epoch, hash)| Revocations { epoch, hash });
        let instance = InstanceId::from_bytes(instance);
        Hello {
            minor,
            features,
            network,
            enrolment,
            certificate,
            revocations,
            clock,
            instance,
            addresses,
            seen,
            renewed,
        }
    })
}

fn credentials() -> impl Strategy<Value = Credentials> {
    (user(), "\\PC{0,40}").prop_map(|(user, password)| Credentials { user, password })
}

fn follow() -> impl Strategy<Value = Follow> {
    let followed = (account(), name(), option::of(record_hash()))
        .prop_map(|(account, name, have)| Followed { account, name, have });
    vec(followed, 0..10).prop_map(|resources| Follow { resources })
}

fn unfollow() -> impl Strategy<Value = Unfollow> {
    let key = (account(), name()).prop_map(|(account, name)| ResourceKey { account, name });
    vec(key, 0..10).prop_map(|resources| Unfollow { resources })
}

pub(crate) fn bundle() -> impl Strategy<Value = RecordBundle> {
    (bytes(200), option::of(bytes(50)), option::of(bytes(50)), option::of(bytes(50))).prop_map(
        |(record, receipt, certificate, enrolment)| RecordBundle { record, receipt, certificate, enrolment },
    )
}

fn held() -> impl Strategy<Value = Held> {
    (content(), any::<bool>()).prop_map(|(content, whole)| Held { content, whole })
}

fn register() -> impl Strategy<Value = Register> {
    let start = (any::<u64>(), digest(), digest()).prop_map(|(seq, records, holdings)| RegisterStart {
        seq,
        records,
        holdings,
    });
    let holds = (any::<u64>(), vec(held(), 0..20), any::<bool>())
        .prop_map(|(generation, contents, last)| Holds { generation, contents, last });
    prop_oneof![
        start.prop_map(|start| Register { start: Some(start), ..Register::default() }),
        vec(bundle(), 0..10).prop_map(|records| Register { records: Some(records), ..Register::default() }),
        holds.prop_map(|holds| Register { holds: Some(holds), ..Register::default() }),
    ]
}

fn deregister() -> impl Strategy<Value = Deregister> {
    prop_oneof![
        vec(bundle(), 0..10)
            .prop_map(|tombstones| Deregister { tombstones: Some(tombstones), ..Deregister::default() }),
        vec(content(), 0..20)
            .prop_map(|holding| Deregister { holding: Some(holding), ..Deregister::default() }),
    ]
}

fn request_download() -> impl Strategy<Value = RequestDownload> {
    let resource = (user(), name(), any::<Option<u64>>(), cursor(), any::<bool>()).prop_map(
        |(owner, name, version, cursor, anyway)| ResourceQuery { owner, name, version, cursor, anyway },
    );
    let probe = (content(), node(), user()).prop_map(|(content, asker, user)| Probe { content, asker, user });
    prop_oneof![
        resource.prop_map(|resource| RequestDownload { resource: Some(resource), ..Default::default() }),
        bundle().prop_map(|grant| RequestDownload { grant: Some(grant), ..Default::default() }),
        probe.prop_map(|probe| RequestDownload { probe: Some(probe), ..Default::default() }),
    ]
}

fn get_data() -> impl Strategy<Value = GetData> {
    let what = prop_oneof![
        any::<bool>().prop_map(|blocks| (None, None, blocks)),
        any::<[u8; 32]>().prop_map(|page| (Some(PageHash::from_bytes(page)), None, false)),
        runs(256).prop_map(|runs| (None, Some(runs), false)),
    ];
    (record_hash(), root_hash(), what, any::<bool>()).prop_map(|(grant, root, (page, runs, blocks), zstd)| {
        GetData { grant, root, page, runs, blocks, zstd }
    })
}

fn list() -> impl Strategy<Value = List> {
    let filters = (option::of((user(), option::of(name()))), option::of(node()), option::of(kind()));
    (limit(), filters, any::<[bool; 3]>(), cursor()).prop_map(|(limit, filters, flags, cursor)| {
        let (whose, node, kind) = filters;
        let (owner, name) = whose.map_or((None, None), |(owner, name)| (Some(owner), name));
        let [online, gone, versions] = flags;
        let versions = versions && name.is_some();
        List { limit, owner, name, node, kind, online, gone, versions, cursor }
    })
}

fn search() -> impl Strategy<Value = Search> {
    ("\\PC{0,200}", limit(), any::<bool>(), cursor()).prop_map(|(query, limit, online, cursor)| Search {
        query,
        limit,
        online,
        cursor,
    })
}
