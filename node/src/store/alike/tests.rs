use std::path::PathBuf;
use std::sync::Arc;

use wire::Record;
use wire::manifest::Manifest;

use super::super::tests::{Fixture, manifest_of, record, signed};
use super::*;
use crate::store::fs::FileStamp;
use crate::store::{NewHolding, Origin};

async fn hold(fixture: &Fixture, name: &str, file: &str, manifest: &Arc<Manifest>) {
    let record = Record { user: "bob".parse().expect("a name"), ..record(name, 1, manifest) };
    let holding = NewHolding {
        path: fixture.path(file),
        stamp: FileStamp { size: manifest.root.size, mtime: certs::UnixNanos(5), inode: 7, device: 9 },
        content: manifest.root.content,
        root: manifest.root_hash,
        record: signed(record),
        receipt: None,
        certificate: None,
        origin: Origin::Get,
    };
    fixture.store.put_holding(holding, Some(manifest.clone())).await.expect("put");
}

fn like(manifest: &Manifest, target: PathBuf) -> Like {
    Like {
        content: manifest.root.content,
        root: Some(manifest.root_hash),
        account: record("m", 1, manifest).account,
        name: "m".parse().expect("a name"),
        target,
        neighbours: false,
    }
}

async fn names(fixture: &Fixture, like: Like) -> Vec<String> {
    let found = fixture.store.holdings_like(like).await.expect("read");
    found
        .iter()
        .map(|holding| holding.path.file_name().expect("a name").to_string_lossy().into_owned())
        .collect()
}

#[tokio::test]
async fn the_likeliest_come_first_and_each_once() {
    let fixture = Fixture::new();
    let new = Arc::new(manifest_of(b"pages", 20_100));
    let other = |seed: &[u8]| Arc::new(manifest_of(seed, 2));
    // It begins as the new one does.
    hold(&fixture, "like it", "with pages", &Arc::new(manifest_of(b"pages", 20_000))).await;
    hold(&fixture, "q", "at the target", &other(b"1")).await;
    hold(&fixture, "m", "version before", &other(b"2")).await;
    hold(&fixture, "z", "same content", &new).await;
    hold(&fixture, "n", "neighbour", &other(b"3")).await;
    let all = like(&new, fixture.path("at the target"));
    let found = ["same content", "version before", "at the target", "with pages"];
    assert_eq!(names(&fixture, all.clone()).await, found);
    let found = [&found[..], &["neighbour"]].concat();
    assert_eq!(names(&fixture, Like { neighbours: true, ..all.clone() }).await, found);
    let unknown = Like { root: None, target: fixture.path("elsewhere"), ..all };
    assert_eq!(names(&fixture, unknown).await, ["same content", "version before"]);
}

#[tokio::test]
async fn there_are_not_too_many() {
    let fixture = Fixture::new();
    for number in 0..30 {
        let manifest = Arc::new(manifest_of(&[number], 2));
        hold(&fixture, &format!("m{number}"), &format!("{number}"), &manifest).await;
        hold(&fixture, "m", &format!("copy {number}"), &manifest).await;
    }
    let new = manifest_of(b"new", 2);
    let all = Like { neighbours: true, ..like(&new, fixture.path("elsewhere")) };
    assert_eq!(names(&fixture, all).await.len(), 8);
}
