//! The steps of the demonstration.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::HumanBytes;
use tokio::task::yield_now;
use wire::{ContentHash, ErrorCode, ResourceName};

use super::outage;
use super::process::{Process, Processes};
use super::report::Report;
use crate::activity::{Activity, Moved};
use crate::clock;
use crate::control::api::{
    Event, EventsRequest, GetDone, GetRequest, LocalPath, PageRequest, Password, SearchRequest, ShareDone,
    ShareRequest, SignupRequest,
};
use crate::control::{ApiError, ApiResult, Following};
use crate::options::LimitChanges;
use crate::percents::percents;
use crate::rate::Rate;

/// The size of the file that is made where none is given.
const FILE_BYTES: u64 = 256 << 20;
/// From this size on a file takes long enough for two holders to share the work.
const TWO_HOLDERS_BYTES: u64 = 64 << 20;
/// How much of it changes.
const EDITED_BYTES: u64 = 64 << 10;
/// How long subscribers may take for the update of a file that somebody gave.
const UPDATE_PATIENCE: Duration = Duration::from_secs(600);
/// The index's name.
pub(super) const INDEX: &str = "index";
const PEERS: [&str; 3] = ["alice", "bob", "carol"];

/// Runs all steps. Whoever calls this ends the processes and removes the folder, whatever happens.
pub(super) async fn run(
    path: Option<&Path>,
    folder: &Path,
    processes: &mut Processes,
    report: &mut Report<'_>,
) -> ApiResult<()> {
    let (index, peers) = start(folder, processes, report).await?;
    sign_up(&peers, report).await?;
    let path = match path {
        Some(path) => path.to_owned(),
        None => make_file(folder, report).await?,
    };
    let [alice, bob, carol] = &peers;
    let shared = share(alice, &path, report).await?;
    search(bob, &shared, report).await?;
    let first = get(bob, &shared, folder, "bob", report).await?;
    verify(first.path.as_path(), &shared, report).await?;
    limit([alice, bob], &first, report).await?;
    let second = get(carol, &shared, folder, "carol", report).await?;
    check_halves(&second)?;
    verify(second.path.as_path(), &shared, report).await?;
    who(carol, report).await?;
    let peers = [alice, bob, carol];
    let newest = update(peers, &path, &shared, folder, report).await?;
    outage::run(peers, &index, &newest, folder, processes, report).await?;
    stop(processes, report).await
}

/// Starts all; the index's address, and the peers.
async fn start(
    folder: &Path,
    processes: &mut Processes,
    report: &mut Report<'_>,
) -> ApiResult<(String, [Process; 3])> {
    let began = clock::monotonic();
    let index = processes.start(INDEX, &["index", "--listen", "127.0.0.1:0"]).await?;
    let [alice, bob, carol] = PEERS;
    let arguments = ["run", "--listen", "127.0.0.1:0", "--index", &index.address];
    let peers = [
        processes.start(alice, &arguments).await?,
        processes.start(bob, &arguments).await?,
        processes.start(carol, &arguments).await?,
    ];
    report.done(format!("started an index and 3 peers in {}", folder.display()), since(began))?;
    Ok((index.address, peers))
}

async fn sign_up(peers: &[Process; 3], report: &mut Report<'_>) -> ApiResult<()> {
    let began = clock::monotonic();
    for (peer, user) in peers.iter().zip(PEERS) {
        let user = user.parse().map_err(|_| internal("no user name"))?;
        let password = Password(random_password()?);
        peer.client.signup(&SignupRequest { user, password }).await?;
    }
    report.done("signed up alice, bob and carol, one on each peer", since(began))
}

async fn share(alice: &Process, path: &Path, report: &mut Report<'_>) -> ApiResult<ShareDone> {
    let file_name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| ApiError::usage(format!("{} has no name that others could use", path.display())))?;
    let name = ResourceName::normalized(file_name).map_err(|error| ApiError::usage(error.to_string()))?;
    let began = clock::monotonic();
    let shared = publish(alice, path, name).await?;
    let step = format!("alice shares {} where it lies: content {}", shared.name, short(&shared.content));
    report.moved(step, shared.size, since(began))?;
    Ok(shared)
}

pub(super) async fn publish(alice: &Process, path: &Path, name: ResourceName) -> ApiResult<ShareDone> {
    let request = ShareRequest { update: true, ..ShareRequest::new(path.to_owned(), name) };
    result(alice.client.share(&request).await?).await
}

/// The first word of the name, as a user would; a name without words is found by its owner.
pub(super) fn query_for(shared: &ShareDone) -> String {
    let mut words = shared.name.as_str().split(|letter: char| !letter.is_alphanumeric());
    let word = words.find(|word| !word.is_empty()).map(str::to_owned);
    word.unwrap_or_else(|| format!("owner:{}", shared.owner))
}

async fn search(bob: &Process, shared: &ShareDone, report: &mut Report<'_>) -> ApiResult<()> {
    let query = query_for(shared);
    let request = SearchRequest { query: query.clone(), page: PageRequest::default() };
    let began = clock::monotonic();
    let page = bob.client.search(&request).await?;
    let found = page.items.iter().find(|item| item.owner == shared.owner && item.name == shared.name);
    let found = found.ok_or_else(|| internal("the search did not find it"))?;
    let step = format!(
        "bob searches {query:?} and finds {}/{}, {} holder online",
        found.owner, found.name, found.online
    );
    report.done(step, since(began))
}

pub(super) async fn get(
    peer: &Process,
    shared: &ShareDone,
    folder: &Path,
    who: &str,
    report: &mut Report<'_>,
) -> ApiResult<GetDone> {
    let target = folder.join("received").join(who).join(shared.name.as_str());
    let request = GetRequest {
        path: Some(LocalPath::from(target)),
        parents: true,
        ..GetRequest::new(shared.owner.clone(), shared.name.clone())
    };
    let began = clock::monotonic();
    let done = result(peer.client.get(&request).await?).await?;
    report.moved(format!("{who} downloads it{}", from(&done)), done.size, since(began))?;
    Ok(done)
}

/// From whom, and how much from each; an empty file is from nobody.
fn from(done: &GetDone) -> String {
    let mut sources: Vec<_> =
        done.sources.iter().map(|source| (source.user.as_str(), source.bytes)).collect();
    sources.sort_unstable();
    let bytes: Vec<u64> = sources.iter().map(|&(_, bytes)| bytes).collect();
    let shares: Vec<_> =
        sources.iter().zip(percents(&bytes)).map(|((user, _), share)| format!("{user} {share} %")).collect();
    if shares.is_empty() { String::new() } else { format!(", from {}", shares.join(" and ")) }
}

/// Lets two holders give no more than a third each of what one of them has given, as if each had a line of its own; not of what
/// is small. Both on the cores of one machine, who is let run first would decide who gives how much.
async fn limit(holders: [&Process; 2], given: &GetDone, report: &mut Report<'_>) -> ApiResult<()> {
    if given.size < TWO_HOLDERS_BYTES {
        return Ok(());
    }
    let began = clock::monotonic();
    let third = (given.size as f64 / given.seconds / 3.0) as u64;
    let upload =
        Rate::new(third.clamp(Rate::MIN, Rate::MAX)).map_err(|error| internal(&error.to_string()))?;
    for holder in holders {
        holder.client.limit(&LimitChanges { upload: Some(upload), ..LimitChanges::default() }).await?;
    }
    let step = format!("alice and bob give {}/s each from now on, at most", HumanBytes(third));
    report.done(step, since(began))
}

/// Two holders that are as good as each other each give a fair part of what is not small.
fn check_halves(done: &GetDone) -> ApiResult<()> {
    let fair = done.sources.iter().filter(|source| source.bytes >= done.size / 4).count();
    if done.size < TWO_HOLDERS_BYTES || fair == 2 {
        return Ok(());
    }
    Err(internal(&format!("of two holders one gave less than a quarter{}", from(done))))
}

/// Reads the installed file and hashes it, independently of the node.
async fn verify(path: &Path, shared: &ShareDone, report: &mut Report<'_>) -> ApiResult<()> {
    let began = clock::monotonic();
    let failed = |error: std::io::Error| ApiError::io(format_args!("read {}", path.display()), &error);
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path).map_err(failed)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        };
        yield_now().await;
    }
    if hasher.finalize().as_bytes() != shared.content.as_bytes() {
        return Err(internal("the installed file is not what alice shared"));
    }
    report.moved("the installed file has the hash that alice's record names", shared.size, since(began))
}

async fn who(carol: &Process, report: &mut Report<'_>) -> ApiResult<()> {
    let began = clock::monotonic();
    let page = carol.client.who(&PageRequest::default()).await?;
    let online: Vec<_> = page.users.iter().map(|user| user.user.to_string()).collect();
    report.done(format!("online: {}", online.join(", ")), since(began))
}

/// The next version, of which a little is another: those who downloaded the one before get it by themselves, and of it what
/// changed.
async fn update(
    [alice, bob, carol]: [&Process; 3],
    path: &Path,
    shared: &ShareDone,
    folder: &Path,
    report: &mut Report<'_>,
) -> ApiResult<ShareDone> {
    let began = clock::monotonic();
    // A file that was given stays as it is.
    let edited = folder.join("edited").join(shared.name.as_str());
    edit(path, &edited).await?;
    let next = publish(alice, &edited, shared.name.clone()).await?;
    report.moved(
        format!("alice changes 64 KiB of it and shares it again: version {}", next.version),
        next.size,
        since(began),
    )?;
    let began = clock::monotonic();
    for (peer, who) in [(bob, "bob"), (carol, "carol")] {
        let moved = updated(peer, &next).await?;
        let target = folder.join("received").join(who).join(shared.name.as_str());
        let step =
            format!("{who} has the update: {} came, the rest was there", HumanBytes(moved.bytes_received));
        report.moved(step, next.size, since(began))?;
        verify(&target, &next, report).await?;
    }
    Ok(next)
}

/// A copy of a file with 64 KiB in the middle that are others, or as many as it has.
async fn edit(path: &Path, edited: &Path) -> ApiResult<()> {
    let (from, to) = (path.to_owned(), edited.to_owned());
    let editing = tokio::task::spawn_blocking(move || -> std::io::Result<()> {
        to.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        // Not with the mode of a file that nobody may write.
        let mut file = File::create(&to)?;
        let size = std::io::copy(&mut File::open(&from)?, &mut file)?;
        let length = if size == 0 { EDITED_BYTES } else { EDITED_BYTES.min(size) };
        file.seek(SeekFrom::Start((size.saturating_sub(length)) / 2))?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        blake3::Hasher::new().update(b"p2p-node demo, edited").finalize_xof().fill(&mut bytes);
        file.write_all(&bytes)
    });
    let edited = editing.await.map_err(|error| internal(&error.to_string()))?;
    edited.map_err(|error| ApiError::io(format_args!("edit a copy of {}", path.display()), &error))
}

/// Waits until a peer has a version, as its log of activity says.
async fn updated(peer: &Process, next: &ShareDone) -> ApiResult<Moved> {
    let request = EventsRequest { limit: None, since: None, follow: true };
    let mut events = peer.client.events(&request).await?;
    let wait = async {
        while let Some(event) = events.next().await? {
            if let Activity::Updated { what, moved, .. } = event.activity
                && what.version == next.version
            {
                return Ok(moved);
            }
        }
        Err(internal("the log of activity ended"))
    };
    let waited = tokio::time::timeout(UPDATE_PATIENCE, wait).await;
    waited.unwrap_or_else(|_| Err(internal("a subscriber did not get the update in time")))
}

async fn stop(processes: &mut Processes, report: &mut Report<'_>) -> ApiResult<()> {
    let began = clock::monotonic();
    processes.stop().await?;
    report.done("stopped all four", since(began))
}

/// A file of pseudo-random content, which no transfer can compress.
async fn make_file(folder: &Path, report: &mut Report<'_>) -> ApiResult<PathBuf> {
    let began = clock::monotonic();
    let path = folder.join("holiday film.bin");
    let failed = |error: std::io::Error| ApiError::io(format_args!("write {}", path.display()), &error);
    let mut file = BufWriter::new(File::create(&path).map_err(failed)?);
    let mut content = blake3::Hasher::new().update(b"p2p-node demo").finalize_xof();
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..FILE_BYTES >> 20 {
        content.fill(&mut buffer);
        file.write_all(&buffer).map_err(failed)?;
        // So that an interruption comes through.
        yield_now().await;
    }
    file.into_inner().map_err(|error| failed(error.into_error()))?;
    report.moved("made a file for alice", FILE_BYTES, since(began))?;
    Ok(path)
}

/// The result of a long operation; its progress is not shown.
async fn result<T: serde::de::DeserializeOwned>(mut events: Following<T>) -> ApiResult<T> {
    loop {
        match events.next().await? {
            Event::Progress(_) => {}
            Event::Result(result) => return Ok(result),
            Event::Error(error) => return Err(error),
        }
    }
}

fn random_password() -> ApiResult<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| internal(&error.to_string()))?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}

fn short(content: &ContentHash) -> String {
    content.to_string().chars().take(16).collect()
}

pub(super) fn since(began: Instant) -> Duration {
    clock::monotonic().saturating_duration_since(began)
}

pub(super) fn internal(text: &str) -> ApiError {
    ApiError::new(ErrorCode::Internal, text)
}
