use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use wire::manifest::Manifest;
use wire::record_hash;

use super::super::tests::{Fixture, NOW, manifest_of, publication, tombstone};
use super::*;
use crate::store::fs::FileStamp;
use crate::store::{CreatedJob, JobId, JobOptions, JobState, NewHolding, NewJob, Offer, Origin, Publication};

#[tokio::test]
async fn garbage_is_what_nothing_refers_to() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let kept = fixture.share("kept", b"kept").await;
    let garbage = Arc::new(manifest_of(b"garbage", 20_000));
    store.put_manifest(garbage.clone()).await.expect("put");
    let collected = store.collect_garbage().await.expect("collected");
    assert_eq!(collected, Collected { manifests: 1, pages: garbage.pages.len() });
    assert_eq!(store.manifest_root(garbage.root_hash).await.expect("read"), None);
    assert_eq!(store.manifest_page(garbage.root.pages[0].hash).await.expect("read"), None);
    let root = kept.record.root.expect("of a file");
    assert!(store.layout(root).await.expect("read").is_some());
    assert_eq!(store.collect_garbage().await.expect("collected"), Collected::default());
}

#[tokio::test]
async fn pages_that_another_manifest_names_stay() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let [short, long] = [20_000, 20_100].map(|chunks| Arc::new(manifest_of(b"same", chunks)));
    for manifest in [&short, &long] {
        store.put_manifest(manifest.clone()).await.expect("put");
    }
    let root = short.root_hash;
    store.db().write("collect", move |t| collect(t, root)).await.expect("collected");
    assert_eq!(store.manifest_root(root).await.expect("read"), None);
    assert!(store.layout(long.root_hash).await.expect("read").is_some());
}

/// As many as are not removed in one transaction, nor looked at in one read.
#[tokio::test]
async fn much_of_it_goes_too() {
    let fixture = Fixture::new();
    let count = LOOKED_AT as usize + 2 * AT_ONCE;
    let fill = |t: &rusqlite::Transaction| {
        let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
            INSERT INTO manifest (root, content, bytes) SELECT CAST(printf('%032d', i) AS BLOB), x'00', x'00' FROM n";
        t.execute(sql, [LOOKED_AT + 2 * 16])
    };
    fixture.store.db().write("fill", fill).await.expect("filled");
    let collected = fixture.store.collect_garbage().await.expect("collected");
    assert_eq!(collected, Collected { manifests: count, pages: 0 });
}

/// What a user can do that refers to manifests or ceases to. The numbers choose name, content, job.
#[derive(Debug, Clone)]
enum Op {
    Share(u8, u8),
    Acknowledge(u8),
    TakeBackRefused(u8),
    Unshare(u8),
    Hold(u8, u8),
    Download(u8, u8),
    OtherManifest(u8, u8),
    End(u8),
    Cancel(u8),
    Collect,
}

fn op() -> impl Strategy<Value = Op> {
    let (a, b) = (0..3_u8, 0..4_u8);
    prop_oneof![
        (a.clone(), b.clone()).prop_map(|(a, b)| Op::Share(a, b)),
        a.clone().prop_map(Op::Acknowledge),
        a.clone().prop_map(Op::TakeBackRefused),
        a.clone().prop_map(Op::Unshare),
        (a.clone(), b.clone()).prop_map(|(a, b)| Op::Hold(a, b)),
        (a.clone(), b.clone()).prop_map(|(a, b)| Op::Download(a, b)),
        (a.clone(), b).prop_map(|(a, b)| Op::OtherManifest(a, b)),
        a.clone().prop_map(Op::End),
        a.prop_map(Op::Cancel),
        Just(Op::Collect),
    ]
}

/// A store, and what was put last under each name before the index said anything.
struct Model {
    fixture: Fixture,
    manifests: Vec<Arc<Manifest>>,
    version: u64,
    previous: HashMap<ResourceName, Publication>,
}

impl Model {
    fn new() -> Self {
        let manifests = (0..4_u8).map(|seed| Arc::new(manifest_of(&[seed], 3))).collect();
        Self { fixture: Fixture::new(), manifests, version: 0, previous: HashMap::new() }
    }

    fn publication(&mut self, name: u8, manifest: u8) -> Publication {
        self.version += 1;
        let (name, path) = (format!("n{name}"), self.fixture.path(&format!("n{name}")));
        let stamp = FileStamp { size: 1, mtime: certs::UnixNanos(1), inode: 1, device: 1 };
        publication(&name, self.version, &path, stamp, &self.manifests[usize::from(manifest)])
    }

    async fn current(&self, name: u8) -> Option<Publication> {
        let name = format!("n{name}").parse().expect("a name");
        self.fixture.store.publication(name).await.expect("read")
    }

    async fn job(&self, name: u8) -> Option<JobId> {
        let target = self.fixture.path(&format!("t{name}"));
        let open = self.fixture.store.open_jobs().await.expect("read");
        open.into_iter().find(|job| job.target == target).map(|job| job.id)
    }

    async fn apply(&mut self, op: &Op) {
        match *op {
            Op::Share(name, content) => {
                let (before, new) = (self.current(name).await, self.publication(name, content));
                let manifest = self.manifests[usize::from(content)].clone();
                self.fixture.store.put_publication(new.clone(), Some(manifest)).await.expect("put");
                match before.filter(|before| !before.record.is_gone()) {
                    Some(before) => drop(self.previous.entry(new.name).or_insert(before)),
                    None => drop(self.previous.remove(&new.name)),
                }
            }
            Op::Acknowledge(name) => {
                let Some(current) = self.current(name).await else { return };
                let (hash, bytes) = (record_hash(&current.record), Bytes::from_static(b"x"));
                let store = &self.fixture.store;
                let set = store.set_publication_receipt(current.name.clone(), hash, bytes.clone(), bytes);
                assert!(set.await.expect("set"));
                self.previous.remove(&current.name);
            }
            Op::TakeBackRefused(name) => {
                let Some(current) = self.current(name).await else { return };
                let Some(previous) = self.previous.remove(&current.name) else { return };
                self.fixture.store.put_publication(previous, None).await.expect("the manifest is there");
            }
            Op::Unshare(name) => {
                let Some(current) = self.current(name).await.filter(|one| !one.record.is_gone()) else {
                    return;
                };
                self.previous.remove(&current.name);
                self.fixture.store.put_publication(tombstone(&current), None).await.expect("put");
            }
            Op::Hold(name, content) => self.hold(name, content).await,
            _ => self.apply_to_job(op).await,
        }
    }

    async fn hold(&mut self, name: u8, content: u8) {
        let publication = self.publication(name, content);
        let manifest = self.manifests[usize::from(content)].clone();
        let holding = NewHolding {
            path: self.fixture.path("copy"),
            stamp: publication.stamp,
            content: manifest.root.content,
            root: manifest.root_hash,
            record: publication.record,
            receipt: None,
            certificate: None,
            origin: Origin::Get,
        };
        self.fixture.store.put_holding(holding, Some(manifest)).await.expect("put");
    }

    async fn apply_to_job(&mut self, op: &Op) {
        match *op {
            Op::Download(target, content) => {
                let record = self.publication(target, content).record;
                let root = Some(self.manifests[usize::from(content)].root_hash);
                let job = NewJob {
                    target: self.fixture.path(&format!("t{target}")),
                    only: Vec::new(),
                    base: None,
                    options: JobOptions::PLAIN,
                    offer: Offer { record, receipt: None, certificate: None, root },
                };
                if let CreatedJob::New(_) = self.fixture.store.create_job(job, NOW).await.expect("created") {
                    let manifest = self.manifests[usize::from(content)].clone();
                    self.fixture.store.put_manifest(manifest).await.expect("put");
                }
            }
            Op::OtherManifest(target, content) => {
                let Some(id) = self.job(target).await else { return };
                let manifest = self.manifests[usize::from(content)].clone();
                self.fixture.store.set_job_root(id, manifest.root_hash).await.expect("set");
                self.fixture.store.put_manifest(manifest).await.expect("put");
            }
            Op::End(target) => {
                let Some(id) = self.job(target).await else { return };
                self.fixture.store.set_job_state(id, JobState::Installed, NOW).await.expect("set");
            }
            Op::Cancel(target) => {
                let Some(id) = self.job(target).await else { return };
                self.fixture.store.remove_job(id, NOW).await.expect("removed");
            }
            _ => drop(self.fixture.store.collect_garbage().await.expect("collected")),
        }
    }

    /// What is referred to, read by other means than the collection's, is whole; returns it.
    async fn check(&self, op: &Op) -> BTreeSet<RootHash> {
        let store = &self.fixture.store;
        let holdings = store.holdings(None, 1000).await.expect("read");
        let jobs = store.open_jobs().await.expect("read");
        let publications = store.publications(None, 1000).await.expect("read");
        let mut roots: BTreeSet<RootHash> = holdings.into_iter().map(|holding| holding.root).collect();
        roots.extend(jobs.into_iter().filter_map(|job| job.root));
        roots.extend(publications.into_iter().filter_map(|publication| publication.record.root));
        for root in &roots {
            let manifest = self.manifests.iter().find(|one| one.root_hash == *root).expect("known");
            let complete = store.roots_of(manifest.root.content).await.expect("read");
            assert_eq!(complete, [*root], "after {op:?}");
        }
        roots
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// After whatever order of deeds, what is referred to is there, and after a collection nothing else.
    #[test]
    fn what_is_referred_to_is_never_removed(ops in proptest::collection::vec(op(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut model = Model::new();
            for op in &ops {
                model.apply(op).await;
                model.check(op).await;
            }
            // What could have stood again is forgotten with the process.
            model.fixture.reopen().await;
            model.fixture.store.collect_garbage().await.expect("collected");
            let referred = model.check(&Op::Collect).await;
            for manifest in &model.manifests {
                let found = model.fixture.store.manifest_root(manifest.root_hash).await.expect("read");
                assert_eq!(found.is_some(), referred.contains(&manifest.root_hash));
            }
        });
    }
}

/// Without a collection: what replaces or ends something takes its manifest along.
#[tokio::test]
async fn the_last_reference_takes_the_manifest_along() {
    let cases: [(&[Op], usize); 5] = [
        (&[Op::Share(0, 0), Op::Unshare(0)], 0),
        (&[Op::Share(0, 0), Op::Share(0, 1), Op::Acknowledge(0)], 1),
        (&[Op::Download(0, 0), Op::OtherManifest(0, 1)], 1),
        (&[Op::Download(0, 0), Op::Cancel(0)], 0),
        (&[Op::Hold(0, 0), Op::Hold(0, 1)], 1),
    ];
    for (ops, left) in cases {
        let mut model = Model::new();
        for op in ops {
            model.apply(op).await;
        }
        let sql = "SELECT count(*) FROM manifest";
        let count =
            model.fixture.store.db().read("count", |c| c.query_row(sql, [], |row| row.get::<_, i64>(0)));
        assert_eq!(count.await.expect("read"), left as i64, "{ops:?}");
    }
}
