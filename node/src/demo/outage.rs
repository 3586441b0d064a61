//! The last act: the network without its index, and with it again.

use std::path::Path;
use std::time::Duration;

use wire::ResourceName;

use super::process::{Process, Processes};
use super::report::Report;
use super::script::{INDEX, get, internal, publish, query_for, since};
use crate::clock;
use crate::config::IndexAddress;
use crate::control::api::{
    ListRequest, PageRequest, Resource, ResourcePage, SearchRequest, ShareDone, Source,
};
use crate::control::{ApiError, ApiResult};

/// What bob shares meanwhile.
const NOTE: &str = "note of bob.txt";
/// How long the peers may take to go on without the index, and the index to hear of everything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// Stops the index; searches, shares and downloads without it; starts it again at its address, and sees that it has heard
/// of everything.
pub(super) async fn run(
    [alice, bob, carol]: [&Process; 3],
    index: &str,
    film: &ShareDone,
    folder: &Path,
    processes: &mut Processes,
    report: &mut Report<'_>,
) -> ApiResult<()> {
    let began = clock::monotonic();
    processes.stop_one(INDEX).await?;
    report.done("stopped the index", since(began))?;
    search(carol, film, report).await?;
    let note = share_note(bob, folder, report).await?;
    until("alice hears of bob's note", async || {
        let page = list(alice).await.ok()?;
        has(&page, &note).then_some(())
    })
    .await?;
    get(alice, &note, folder, "alice", report).await?;
    start_again(carol, index, [film, &note], processes, report).await
}

async fn search(carol: &Process, film: &ShareDone, report: &mut Report<'_>) -> ApiResult<()> {
    let (began, query) = (clock::monotonic(), query_for(film));
    until("carol finds it without the index", async || {
        let request = SearchRequest { query: query.clone(), page: PageRequest::default() };
        let page = carol.client.search(&request).await.ok()?;
        (page.source != Source::Index && has(&page, film)).then_some(())
    })
    .await?;
    let (owner, name, version) = (&film.owner, &film.name, film.version);
    let step = format!("carol searches {query:?} all the same, and finds {owner}/{name}, version {version}");
    report.done(step, since(began))
}

async fn share_note(bob: &Process, folder: &Path, report: &mut Report<'_>) -> ApiResult<ShareDone> {
    let began = clock::monotonic();
    let path = folder.join(NOTE);
    let written = std::fs::write(&path, "The index is away, and nobody misses it.\n");
    written.map_err(|error| ApiError::io(format_args!("write {}", path.display()), &error))?;
    let name = ResourceName::normalized(NOTE).map_err(|error| internal(&error.to_string()))?;
    let note = publish(bob, &path, name).await?;
    report.done(
        format!("bob shares {:?}; the other members hear it from him", note.name.as_str()),
        since(began),
    )?;
    Ok(note)
}

async fn start_again(
    carol: &Process,
    index: &str,
    all: [&ShareDone; 2],
    processes: &mut Processes,
    report: &mut Report<'_>,
) -> ApiResult<()> {
    let began = clock::monotonic();
    let address: IndexAddress = index.parse().map_err(|_| internal("no address of an index"))?;
    processes.start(INDEX, &["index", "--listen", &address.host_and_port()]).await?;
    until("the index has heard of everything", async || {
        let page = list(carol).await.ok()?;
        (page.source == Source::Index && all.iter().all(|one| has(&page, one))).then_some(())
    })
    .await?;
    report.done("started the index again: it lists what was shared before and meanwhile", since(began))
}

async fn list(peer: &Process) -> ApiResult<ResourcePage> {
    let request = ListRequest { owner: None, online: false, page: PageRequest::default() };
    peer.client.list(&request).await
}

/// Whether just this version is there.
fn has(page: &ResourcePage, shared: &ShareDone) -> bool {
    let is = |item: &Resource| item.owner == shared.owner && item.name == shared.name;
    page.items.iter().any(|item| is(item) && item.content == shared.content)
}

/// Looks until there is what is looked for.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> ApiResult<T> {
    let found = async {
        loop {
            match look().await {
                Some(found) => return found,
                None => tokio::time::sleep(LOOK).await,
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, found).await;
    found.map_err(|_| internal(&format!("waited {} s until {what}", PATIENCE.as_secs())))
}
