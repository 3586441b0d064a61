//! The fake behind a real socket, in a home of its own, and commands run against it.

use std::ffi::OsString;
use std::io::{self, Cursor, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use p2p_node::cli::{self, Console, Exit, Terminals};
use p2p_node::control::{server, socket};
use p2p_node::home::Home;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::fake::Fake;

/// Longer than anything here takes; only a fault reaches it.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Daemon {
    pub(crate) fake: Arc<Fake>,
    pub(crate) home: Home,
    /// Interrupts the running command.
    pub(crate) interrupt: Arc<Notify>,
    _folder: TempDir,
    _server: JoinSet<()>,
}

/// How a command ended, and what it wrote.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// The documents that it wrote, one a line.
    pub(crate) fn documents(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect("a document")).collect()
    }
}

impl Daemon {
    pub(crate) fn start() -> Self {
        let daemon = Self::absent();
        let lock = daemon.home.lock().expect("free");
        let (listener, file) = socket::bind(&lock).expect("bound");
        let (fake, mut server) = (daemon.fake.clone(), JoinSet::new());
        server.spawn(async move {
            let stopping = fake.stopping.clone();
            server::serve(listener, fake, stopping.notified()).await;
            drop(file);
            drop(lock);
        });
        Self { _server: server, ..daemon }
    }

    /// A home on which none runs.
    pub(crate) fn absent() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::resolve(Some(folder.path())).expect("a home");
        Self {
            fake: Arc::default(),
            home,
            interrupt: Arc::default(),
            _folder: folder,
            _server: JoinSet::new(),
        }
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(arguments, "").await
    }

    /// With this on standard input.
    pub(crate) async fn run_with(&self, arguments: &[&str], input: &str) -> Ended {
        let (out, err) = (Written::default(), Written::default());
        let interrupt = self.interrupt.clone();
        let mut console = Console::new(
            Box::new(out.clone()),
            Box::new(err.clone()),
            Box::new(Cursor::new(input.as_bytes().to_vec())),
            Terminals::default(),
            Box::new(move || {
                let interrupt = interrupt.clone();
                Box::pin(async move { interrupt.notified().await })
            }),
        );
        let command = cli::run(with_home(self.home.path(), arguments), &mut console);
        let exit = tokio::time::timeout(DEADLINE, command).await.expect("ends in time");
        Ended { exit, out: out.text(), err: err.text() }
    }

    /// With `--json`: how it ended, and the one document. What a download says of its progress comes before it.
    pub(crate) async fn document(&self, arguments: &[&str]) -> (Exit, Value) {
        let ended = self.run(&[arguments, &["--json"]].concat()).await;
        assert_eq!(ended.err, "", "{arguments:?}");
        assert!(ended.out.ends_with('\n'), "{}", ended.out);
        let mut documents = ended.documents();
        let last = documents.pop().expect("a document");
        assert!(documents.iter().all(|document| document["event"] == "progress"), "{}", ended.out);
        (ended.exit, last)
    }

    /// What the backend was asked last.
    pub(crate) fn asked(&self) -> String {
        self.fake.asked.lock().expect("not poisoned").last().cloned().unwrap_or_default()
    }
}

fn with_home(home: &Path, arguments: &[&str]) -> Vec<OsString> {
    let mut all = vec!["p2p-node".into(), "--home".into(), home.into()];
    all.extend(arguments.iter().map(OsString::from));
    all
}

#[derive(Debug, Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("text")
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
