//! Nodes as programs: started, asked by the command line, killed, started again on the same home.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::node::password_of;
use crate::wait::{PATIENCE, in_time, wait_until};

/// A running daemon. It is killed when dropped.
#[derive(Debug)]
pub struct TestProcess {
    home: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
    /// The second word of its `ready` line.
    ready: String,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl TestProcess {
    /// Starts `p2p-node <arguments>` on a home and waits until it is ready.
    pub async fn start(home: &Path, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut this = Self { home: home.to_owned(), arguments, child: None, ready: String::new() };
        this.start_again().await;
        this
    }

    /// An index on a free port of this address, with more flags.
    pub async fn index(home: &Path, ip: std::net::Ipv4Addr, flags: &[&str]) -> Self {
        let mut this = Self::start(home, &[&["index", "--listen", &format!("{ip}:0")], flags].concat()).await;
        // From now on it is where its peers look for it.
        this.keep_address();
        this
    }

    /// A peer of that index, on a free port of this address, with more flags.
    pub async fn peer(home: &Path, ip: std::net::Ipv4Addr, index: &str, flags: &[&str]) -> Self {
        let listen = format!("{ip}:0");
        Self::start(home, &[&["run", "--listen", &listen, "--index", index], flags].concat()).await
    }

    /// Starts it again with the same arguments, after a kill or a stop.
    pub async fn start_again(&mut self) {
        let (child, ready) = launch(&self.home, &self.arguments).await;
        self.child = Some(child);
        let log = self.log();
        self.ready = ready.unwrap_or_else(|| panic!("{}: not ready\n{log}", self.home.display()));
    }

    /// Listens where it does now from its next start on, as a program that is told no address does.
    pub fn keep_address(&mut self) {
        let place = self.arguments.iter().position(|argument| argument == "--listen").expect("told one");
        self.arguments[place + 1] = self.address().to_string();
    }

    /// What follows `ready` in its line: `<id>@<ip>:<port>`.
    pub fn ready(&self) -> &str {
        &self.ready
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        let (_, address) = self.ready.split_once('@').expect("id@address");
        address.parse().expect("an address")
    }

    /// Its home.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// What it logged, over all its lives.
    pub fn log(&self) -> String {
        std::fs::read_to_string(log_file(&self.home)).unwrap_or_default()
    }

    /// `kill -9`.
    pub async fn kill_9(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("killed");
        blocking(move || child.wait()).await.expect("reaped");
    }

    /// `p2p-node stop`, and waits for its end.
    pub async fn stop(&mut self) {
        self.ask(&["stop"]).await;
        let mut child = self.child.take().expect("it runs");
        let status = in_time("the daemon's end", blocking(move || child.wait())).await.expect("reaped");
        assert!(status.success(), "{status}");
    }

    /// Runs a command on its home with `--json`.
    pub async fn command(&self, arguments: &[&str]) -> Ended {
        self.command_with(arguments, "").await
    }

    /// The same, with this on standard input.
    pub async fn command_with(&self, arguments: &[&str], input: &str) -> Ended {
        run(&self.home, arguments, input).await
    }

    /// The document of a command that must go well.
    pub async fn ask(&self, arguments: &[&str]) -> Value {
        let ended = self.command(arguments).await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}\n{}", self.log());
        ended.json()
    }

    /// Makes an account.
    pub async fn signup(&self, user: &str) {
        let line = format!("{}\n", password_of(user).0);
        let ended = self.command_with(&["signup", user, "--password-stdin"], &line).await;
        assert_eq!(ended.code, Some(0), "{ended:?}\n{}", self.log());
    }

    /// Starts a daemon on its home that must not become ready; how it ended.
    pub async fn second_daemon(&self) -> Ended {
        let arguments: Vec<_> = self.arguments.iter().map(String::as_str).collect();
        fails_to_start(&self.home, &arguments).await
    }

    /// Waits until it stands so with the index.
    pub async fn wait_for_state(&self, wanted: &str) {
        wait_until(PATIENCE, &format!("{} is {wanted}", self.home.display()), async || {
            let index = self.ask(&["status"]).await["index"].clone();
            if index["state"] == wanted { Ok(()) } else { Err(index) }
        })
        .await;
    }

    /// Waits until its first transfer has so many bytes.
    pub async fn wait_for_transfer(&self, bytes: u64) {
        wait_until(PATIENCE, &format!("{bytes} bytes are done"), async || {
            let transfer = self.ask(&["status"]).await["transfers"][0].clone();
            if transfer["bytes_done"].as_u64() >= Some(bytes) { Ok(()) } else { Err(transfer) }
        })
        .await;
    }

    /// Its number in the system.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Whether it has a file open.
    pub fn has_open(&self, path: &Path) -> bool {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.id())).expect("Linux");
        let mut links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links.any(|link| link == path)
    }

    /// A command on its home, for people.
    pub fn plain(&self, arguments: &[&str]) -> Command {
        let mut command = program(&self.home);
        command.args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Begins a command on its home with `--json`.
    pub fn begin(&self, arguments: &[&str]) -> Child {
        command(&self.home, arguments).spawn().expect("started")
    }
}

impl Drop for TestProcess {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Ended {
    /// The one document on its standard output. What a download says of its progress comes before it.
    pub fn json(&self) -> Value {
        let mut documents = self.documents();
        let last = documents.pop().unwrap_or_else(|| panic!("no document: {self:?}"));
        assert!(documents.iter().all(|document| document["event"] == "progress"), "{self:?}");
        last
    }

    /// The documents on its standard output, one a line.
    pub fn documents(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        self.out.lines().map(parse).collect()
    }

    /// The code of its error, checked to come with a message.
    pub fn error_code(&self) -> String {
        let document = self.json();
        let error = &document["error"];
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{self:?}");
        error["code"].as_str().unwrap_or_else(|| panic!("no code: {self:?}")).to_owned()
    }

    /// The hint of its error.
    pub fn hint(&self) -> String {
        self.json()["error"]["hint"].as_str().unwrap_or_default().to_owned()
    }
}

/// Runs a command on a home with `--json`, daemon or not.
pub async fn run(home: &Path, arguments: &[&str], input: &str) -> Ended {
    let mut child = command(home, arguments).spawn().expect("started");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    in_time(
        "a command",
        blocking(move || {
            // Who ends before it has read all closes the pipe.
            let _ = stdin.write_all(input.as_bytes());
            drop(stdin);
            ended(child)
        }),
    )
    .await
}

/// Starts a daemon that must not become ready; how it ended.
pub async fn fails_to_start(home: &Path, arguments: &[&str]) -> Ended {
    run(home, arguments, "").await
}

/// Sends SIGINT to a command that was begun, and waits for its end.
pub async fn interrupt(child: Child) -> Ended {
    kill_process(Pid::from_child(&child), Signal::INT).expect("signalled");
    in_time("an interrupted command", blocking(move || ended(child))).await
}

/// Waits for the end of a command that was begun.
pub async fn finish(child: Child) -> Ended {
    in_time("a command", blocking(move || ended(child))).await
}

fn ended(child: Child) -> Ended {
    let output = child.wait_with_output().expect("ended");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The daemon, and the second word of its ready line, if it got so far.
async fn launch(home: &Path, arguments: &[String]) -> (Child, Option<String>) {
    std::fs::create_dir_all(home).expect("a home");
    let log = std::fs::File::options().create(true).append(true).open(log_file(home)).expect("a log");
    let mut daemon = program(home);
    daemon
        .args(arguments)
        .env("P2P_NODE_LOG", "info")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    let mut child = daemon.spawn().expect("started");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let line = in_time(
        "the ready line",
        blocking(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).map(|_| line)
        }),
    )
    .await
    .expect("read");
    let ready = line.trim_end().strip_prefix("ready ").map(str::to_owned);
    (child, ready)
}

/// Beside the home, which tests copy and look into.
fn log_file(home: &Path) -> PathBuf {
    home.with_extension("log")
}

fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = program(home);
    command.args(arguments).arg("--json");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn program(home: &Path) -> Command {
    let mut command = Command::new(binary());
    for variable in ["HOME", "CONFIG", "INDEX", "LISTEN", "SIGNUP", "LOG", "PEER"] {
        command.env_remove(format!("P2P_NODE_{variable}"));
    }
    command.arg("--home").arg(home);
    command
}

/// The program, beside the folder of the tests' programs. `cargo test --workspace` builds it; where it is missing or older
/// than its sources, as when this package alone is tested, it is built here.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().expect("this program");
        let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps");
        let binary = profile.join("p2p-node");
        if modified(&binary) < newest_source() {
            build(profile);
        }
        assert!(binary.exists(), "{} was not built", binary.display());
        binary
    })
}

fn build(profile: &Path) {
    eprintln!("p2p-node is missing or old: building it (cargo build -p p2p-node)");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "-p", "p2p-node", "--target-dir"]).arg(profile.parent().expect("target"));
    if profile.file_name() == Some(OsStr::new("release")) {
        command.arg("--release");
    }
    let status = command.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo starts");
    assert!(status.success(), "cargo build -p p2p-node: {status}");
}

fn newest_source() -> Option<SystemTime> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    ["certs", "index", "node", "wire"].iter().filter_map(|name| newest_in(&root.join(name).join("src"))).max()
}

fn newest_in(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    entries
        .filter_map(|entry| match entry.path() {
            path if path.is_dir() => newest_in(&path),
            path => modified(&path),
        })
        .max()
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|found| found.modified()).ok()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}
