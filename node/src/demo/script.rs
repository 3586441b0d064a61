//! The steps of the demonstration.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wire::{ContentHash, ErrorCode, ResourceName};

use super::process::Process;
use super::report::Report;
use crate::clock;
use crate::control::api::{
    Event, GetDone, GetRequest, LocalPath, PageRequest, Password, SearchRequest, ShareDone, ShareRequest,
    SignupRequest,
};
use crate::control::{ApiError, ApiResult, Following};

/// The size of the file that is made where none is given.
const FILE_BYTES: u64 = 256 << 20;
const PEERS: [&str; 3] = ["alice", "bob", "carol"];

/// Runs all steps; whatever happens, the processes end and the folder goes.
pub(super) async fn run(path: Option<&Path>, report: &mut Report<'_>) -> ApiResult<()> {
    let folder = tempfile::Builder::new()
        .prefix("p2p-node-demo-")
        .tempdir()
        .map_err(|error| ApiError::io("make a temporary folder", &error))?;
    let (index, peers) = start(folder.path(), report).await?;
    sign_up(&peers, report).await?;
    let path = match path {
        Some(path) => path.to_owned(),
        None => make_file(folder.path(), report)?,
    };
    let [alice, bob, carol] = &peers;
    let shared = share(alice, &path, report).await?;
    search(bob, &shared, report).await?;
    let first = get(bob, &shared, folder.path(), "bob", report).await?;
    verify(&first, &shared, report)?;
    let second = get(carol, &shared, folder.path(), "carol", report).await?;
    verify(&second, &shared, report)?;
    who(carol, report).await?;
    stop(index, peers, report).await
}

async fn start(folder: &Path, report: &mut Report<'_>) -> ApiResult<(Process, [Process; 3])> {
    let began = clock::monotonic();
    let index = Process::start(folder, "index", &["index", "--listen", "127.0.0.1:0"]).await?;
    let [alice, bob, carol] = PEERS;
    let arguments = ["run", "--listen", "127.0.0.1:0", "--index", &index.address];
    let peers = [
        Process::start(folder, alice, &arguments).await?,
        Process::start(folder, bob, &arguments).await?,
        Process::start(folder, carol, &arguments).await?,
    ];
    report.done(format!("started an index and 3 peers in {}", folder.display()), since(began))?;
    Ok((index, peers))
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
    let request = ShareRequest { path: LocalPath::from(path.to_owned()), name, update: false };
    let began = clock::monotonic();
    let shared = result(alice.client.share(&request).await?).await?;
    let step = format!("alice shares {} where it lies: content {}", shared.name, short(&shared.content));
    report.moved(step, shared.size, since(began))?;
    Ok(shared)
}

/// By the first word of the name, as a user would.
async fn search(bob: &Process, shared: &ShareDone, report: &mut Report<'_>) -> ApiResult<()> {
    let name = shared.name.as_str();
    let word =
        name.split(|letter: char| !letter.is_alphanumeric()).find(|word| !word.is_empty()).unwrap_or(name);
    let request = SearchRequest { query: word.to_owned(), page: PageRequest::default() };
    let began = clock::monotonic();
    let page = bob.client.search(&request).await?;
    let found = page.items.iter().find(|item| item.owner == shared.owner && item.name == shared.name);
    let found = found.ok_or_else(|| internal("the search did not find it"))?;
    let step = format!(
        "bob searches {word:?} and finds {}/{}, {} holder online",
        found.owner, found.name, found.online
    );
    report.done(step, since(began))
}

async fn get(
    peer: &Process,
    shared: &ShareDone,
    folder: &Path,
    who: &str,
    report: &mut Report<'_>,
) -> ApiResult<GetDone> {
    let target = folder.join("received").join(who).join(shared.name.as_str());
    let request = GetRequest {
        owner: shared.owner.clone(),
        name: shared.name.clone(),
        path: Some(LocalPath::from(target)),
        once: true,
        share: true,
        force: false,
    };
    let began = clock::monotonic();
    let done = result(peer.client.get(&request).await?).await?;
    let mut from: Vec<_> =
        done.sources.iter().map(|source| (source.user.to_string(), source.bytes)).collect();
    from.sort();
    let shares = from.iter().map(|(user, bytes)| format!("{user} {} %", bytes * 100 / done.size.max(1)));
    let step = format!("{who} downloads it, from {}", shares.collect::<Vec<_>>().join(" and "));
    report.moved(step, done.size, since(began))?;
    Ok(done)
}

/// Reads the installed file and hashes it, independently of the node.
fn verify(done: &GetDone, shared: &ShareDone, report: &mut Report<'_>) -> ApiResult<()> {
    let began = clock::monotonic();
    let path = done.path.as_path();
    let failed = |error: std::io::Error| ApiError::io(format_args!("read {}", path.display()), &error);
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path).map_err(failed)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        };
    }
    if hasher.finalize().as_bytes() != shared.content.as_bytes() {
        return Err(internal("the installed file is not what alice shared"));
    }
    report.moved("the installed file has the hash that alice's record names", done.size, since(began))
}

async fn who(carol: &Process, report: &mut Report<'_>) -> ApiResult<()> {
    let began = clock::monotonic();
    let page = carol.client.who(&PageRequest::default()).await?;
    let online: Vec<_> = page.users.iter().map(|user| user.user.to_string()).collect();
    report.done(format!("online: {}", online.join(", ")), since(began))
}

async fn stop(index: Process, peers: [Process; 3], report: &mut Report<'_>) -> ApiResult<()> {
    let began = clock::monotonic();
    for process in peers.into_iter().chain([index]) {
        process.stop().await?;
    }
    report.done("stopped all four", since(began))
}

/// A file of pseudo-random content, which no transfer can compress.
fn make_file(folder: &Path, report: &mut Report<'_>) -> ApiResult<PathBuf> {
    let began = clock::monotonic();
    let path = folder.join("holiday film.bin");
    let failed = |error: std::io::Error| ApiError::io(format_args!("write {}", path.display()), &error);
    let mut file = BufWriter::new(File::create(&path).map_err(failed)?);
    let mut content = blake3::Hasher::new().update(b"p2p-node demo").finalize_xof();
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..FILE_BYTES >> 20 {
        content.fill(&mut buffer);
        file.write_all(&buffer).map_err(failed)?;
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

fn since(began: Instant) -> Duration {
    clock::monotonic().saturating_duration_since(began)
}

fn internal(text: &str) -> ApiError {
    ApiError::new(ErrorCode::Internal, text)
}
