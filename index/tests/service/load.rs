//! Many at once.

use wire::message::{List, OutcomeKind};

use super::support::{Index, bundle};

const WRITERS: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_at_once_all_are_stored() {
    let index = Index::start();
    let (alice, bob) = (index.member("alice", 10).await, index.member("bob", 11).await);
    let mut writing = tokio::task::JoinSet::new();
    for number in 0..WRITERS {
        let peer = [&alice, &bob][number % 2];
        let record = peer.first(&format!("file {number:02}"), &format!("content {number}"));
        let client = peer.client.clone();
        writing.spawn(async move {
            let answer = client.register(vec![bundle(&record)]).await.expect("answered");
            answer.outcomes[0].outcome
        });
    }
    let outcomes = writing.join_all().await;
    assert_eq!(outcomes, [OutcomeKind::Created; WRITERS]);
    let page = alice.client.list(List::default()).await.expect("answered");
    assert_eq!(page.items.len(), WRITERS);
    let index = index.restart().await;
    let alice = alice.dialler.dial(&index).await.expect("welcome");
    let page = alice.client.list(List::default()).await.expect("answered");
    assert_eq!(page.items.len(), WRITERS);
}
