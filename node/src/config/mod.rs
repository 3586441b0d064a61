//! The configuration file, `config.toml` in the home or the file that `--config` names.
//!
//! A flag goes before its environment variable, that before this file, and this before the default.

mod dht;
mod index_address;
mod peer_address;
mod transport;

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use dht::Dht;
pub use index_address::{IndexAddress, IndexAddressError};
pub use peer_address::{PeerAddress, PeerAddressError};
pub use transport::Transport;

use crate::control::{ApiError, LocalCode};
use crate::hooks::TimeLimit;
use crate::options::{KeepVersions, LimitChanges, UpdateChanges};

/// The largest file that is read, in bytes; ours have a few lines.
const MAX_BYTES: u64 = 1 << 20;

/// What a configuration file may say; every key is optional.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which network, and where its index is: `index = "<network-id>@<host>:<port>"`.
    pub index: Option<IndexAddress>,
    /// Where to listen (UDP): `listen = "0.0.0.0:4820"`.
    pub listen: Option<SocketAddr>,
    /// At an index, whether it takes new accounts: `signup = "closed"`.
    pub signup: Option<Signup>,
    /// What the daemon logs, in the syntax of tracing's filters: `log = "debug"`.
    pub log: Option<String>,
    /// Whether what is shared for the first time is watched, unless its user says otherwise: `watch = true`.
    pub watch: Option<bool>,
    /// How many old versions are kept of each file that is shared or downloaded for the first time, unless its user says
    /// otherwise, 0 to 1,000: `keep = 3`.
    pub keep: Option<KeepVersions>,
    /// How long a program that is run after an update may take, in seconds, 1 to 3,600: `hook_timeout_s = 10`.
    pub hook_timeout_s: Option<TimeLimit>,
    /// Members that are known beforehand, for a start while the index is away: `peers = ["<host>:<port>"]`.
    pub peers: Option<Vec<PeerAddress>>,
    /// What is done while the index is away: the table `[dht]`.
    #[serde(default)]
    pub dht: Dht,
    /// How connections behave: the table `[transport]`.
    #[serde(default)]
    pub transport: Transport,
    /// How much is given and taken: the table `[limits]`.
    #[serde(default)]
    pub limits: LimitChanges,
    /// Which updates wait for the user: the table `[updates]`.
    #[serde(default)]
    pub updates: UpdateChanges,
}

impl Config {
    /// Every key.
    pub const KEYS: &[&str] = &[
        "index",
        "listen",
        "signup",
        "log",
        "watch",
        "keep",
        "hook_timeout_s",
        "peers",
        "dht.enabled",
        "transport.congestion",
        "transport.stream_window_mib",
        "transport.socket_buffer_mib",
        "transport.mtu",
        "transport.threads",
        "limits.upload",
        "limits.download",
        "limits.upload_per_peer",
        "limits.download_per_peer",
        "limits.upload_slots",
        "updates.largest_growth",
        "updates.growth_factor",
        "updates.free_space",
        "updates.deleted_share",
    ];

    /// Reads a file; `None` where there is no file.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn read(path: &Path) -> Result<Option<Self>, ConfigError> {
        let failed = |source| ConfigError::Io { path: path.to_owned(), source };
        let text = match read_bounded(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let parsed = toml::from_str(&text);
        parsed.map(Some).map_err(|error| {
            let line = error.span().map(|span| Line::at(&text, &span));
            ConfigError::Content { path: path.to_owned(), line, message: one_line(error.message()) }
        })
    }
}

/// Whether an index takes new accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Signup {
    /// Anybody may make one.
    #[default]
    Open,
    /// Nobody.
    Closed,
}

impl fmt::Display for Signup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Closed => "closed",
        })
    }
}

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// What the system said.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file that `--config` names does not exist.
    #[error("there is no configuration file {}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Not TOML, an unknown key, or a value that the key cannot have.
    #[error("{}{}: {message}", path.display(), line.as_ref().map(Line::to_string).unwrap_or_default())]
    Content {
        /// The file.
        path: PathBuf,
        /// Where in it.
        line: Option<Line>,
        /// What is wrong.
        message: String,
    },
}

impl From<ConfigError> for ApiError {
    fn from(error: ConfigError) -> Self {
        let message = error.to_string();
        match error {
            ConfigError::Io { path, source } => {
                Self::io(format_args!("read the configuration {}", path.display()), &source)
            }
            ConfigError::Missing { .. } => Self::new(LocalCode::BadConfig, message),
            ConfigError::Content { .. } => Self::new(LocalCode::BadConfig, message)
                .with_hint(format!("the keys are: {}", Config::KEYS.join(", "))),
        }
    }
}

/// A line of a file, as an error names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// From 1 upwards.
    pub number: usize,
    /// What is left of `=` in it, if anything.
    pub key: Option<String>,
}

impl Line {
    fn at(text: &str, span: &Range<usize>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let number = before.matches('\n').count() + 1;
        let line = text.lines().nth(number - 1).unwrap_or_default();
        let key = line.split_once('=').map(|(key, _)| key.trim().to_owned()).filter(|key| !key.is_empty());
        Self { number, key }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ", line {}", self.number)?;
        self.key.as_ref().map_or(Ok(()), |key| write!(f, ", key `{key}`"))
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    let read = fs::File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_BYTES { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{LimitOptions, UpdateOptions};

    const ID: &str = "cutufxgvntv2oyygg2v7cp3yr4v2n2d7jmsudgmcasxvklnxzaaq";

    fn read(text: &[u8]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.toml");
        fs::write(&path, text).expect("written");
        Config::read(&path).map(|config| config.expect("exists"))
    }

    fn problem(text: &str) -> String {
        read(text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn everything_and_nothing() {
        let id = certs::SecretKey::from_seed([1; 32]).public();
        let text = format!(
            "index = \"{id}@index.example:4820\"\nlisten = \"[::]:0\"\nsignup = \"closed\"\nlog = \"debug\"\n"
        );
        let config = read(text.as_bytes()).expect("good");
        assert_eq!(config.index.expect("set").network, id);
        assert_eq!(config.listen.expect("set").port(), 0);
        assert_eq!(config.signup, Some(Signup::Closed));
        assert_eq!(read(b"# nothing\n").expect("good"), Config::default());
        assert_eq!(Config::read(Path::new("/nowhere/config.toml")).expect("none"), None);
    }

    #[test]
    fn errors_name_file_line_and_key() {
        let unknown = problem("# a\nlistne = \"0.0.0.0:1\"\n");
        assert!(unknown.contains("config.toml, line 2, key `listne`"), "{unknown}");
        for key in Config::KEYS {
            let first = key.split('.').next().expect("one part");
            assert!(unknown.contains(first), "{first} in {unknown}");
        }
        let listen = problem("listen = \"4820\"\n");
        assert!(listen.contains("line 1, key `listen`"), "{listen}");
        let index = problem(&format!("log = \"info\"\nindex = \"{ID}\"\n"));
        assert!(index.contains("line 2, key `index`") && index.contains("host"), "{index}");
        let timeout = problem("hook_timeout_s = 0\n");
        assert!(
            timeout.contains("line 1, key `hook_timeout_s`: ") && timeout.contains("from 1 to 3600"),
            "{timeout}"
        );
        let keep = problem("keep = 1001\n");
        assert!(keep.contains("line 1, key `keep`: ") && keep.contains("from 0 to 1000"), "{keep}");
        assert!(problem("keep = -1").contains("from 0 to 1000"));
        assert!(problem("signup = \"maybe\"").contains("key `signup`"));
        assert!(problem("listen = \n").contains("line 1"));
        let window = problem("[transport]\nstream_window_mib = 65\n");
        assert!(
            window.contains("line 2, key `stream_window_mib`: ") && window.contains("from 1 to 64"),
            "{window}"
        );
        let rate = problem("[limits]\nupload = \"10 parsecs\"\n");
        assert!(rate.contains("line 2, key `upload`: ") && rate.contains("10MB"), "{rate}");
        let slots = problem("[limits]\nupload_slots = 0\n");
        assert!(
            slots.contains("line 2, key `upload_slots`: ") && slots.contains("from 1 to 4096"),
            "{slots}"
        );
    }

    #[test]
    fn known_peers_have_a_port_and_perhaps_an_id() {
        let id = certs::SecretKey::from_seed([1; 32]).public();
        let text = format!("peers = [\"10.0.0.7:4821\", \"{id}@peer.example:1\"]\n[dht]\nenabled = false\n");
        let config = read(text.as_bytes()).expect("good");
        let peers: Vec<_> = config.peers.expect("some").iter().map(ToString::to_string).collect();
        assert_eq!(peers, ["10.0.0.7:4821".to_owned(), format!("{id}@peer.example:1")]);
        assert_eq!(config.dht.enabled, Some(false));
        let wrong = problem("peers = [\"10.0.0.7\"]\n");
        assert!(wrong.contains("line 1, key `peers`: ") && wrong.contains("<host>:<port>"), "{wrong}");
    }

    #[test]
    fn limits_are_texts_or_numbers() {
        let text = b"[limits]\nupload = \"10MB\"\ndownload = 0\nupload_per_peer = 4096\nupload_slots = 7\n";
        let limits = LimitOptions::default().with(&read(text).expect("good").limits);
        assert_eq!(limits.values(), ["10MB/s", "none", "4KiB/s", "none", "7"]);
        let keys = LimitOptions::KEYS.map(|key| format!("limits.{key}"));
        assert!(Config::KEYS.iter().filter(|key| key.starts_with("limits.")).eq(&keys));
    }

    #[test]
    fn what_waits_for_the_user_can_be_said() {
        let text = b"[updates]\nlargest_growth = \"10 GiB\"\nfree_space = 0\ndeleted_share = \"20%\"\n";
        let updates = UpdateOptions::default().with(&read(text).expect("good").updates);
        assert_eq!(updates.values(), ["10GiB", "10", "0B", "20%"]);
        let keys = UpdateOptions::KEYS.map(|key| format!("updates.{key}"));
        assert!(Config::KEYS.iter().filter(|key| key.starts_with("updates.")).eq(&keys));
        for (line, hint) in [
            ("largest_growth = \"much\"", "10GiB"),
            ("growth_factor = 0", "from 1 to 1000000"),
            ("free_space = -1", "10GiB"),
            ("deleted_share = 101", "0% to 100%"),
        ] {
            let wrong = problem(&format!("[updates]\n{line}\n"));
            let key = line.split(' ').next().expect("a word");
            assert!(wrong.contains(&format!("line 2, key `{key}`: ")) && wrong.contains(hint), "{wrong}");
        }
    }

    #[test]
    fn garbage_is_refused() {
        assert!(matches!(read(b"\xff\xfe\0"), Err(ConfigError::Io { .. })));
        assert!(matches!(read(b"]]]]"), Err(ConfigError::Content { .. })));
        let large = "#".repeat(2 << 20);
        assert!(matches!(read(large.as_bytes()), Err(ConfigError::Io { .. })));
    }
}
