//! The folder of one node: where its files are, and the lock that keeps a second daemon out.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use certs::keystore::KeystoreError;
use etcetera::BaseStrategy;

use crate::control::{ApiError, LocalCode};

/// The folder's name under the user's data folder, where no `--home` names another.
const APPLICATION: &str = "p2p-node";

/// The names of the files in a home.
pub(crate) mod file {
    /// The node's secret key.
    pub(crate) const IDENTITY_KEY: &str = "identity.key";
    /// The node's membership, and the newest index certificate that it has seen.
    pub(crate) const MEMBERSHIP: &str = "membership.cbor";
    /// The root key of a network, at its first index.
    pub(crate) const NETWORK_KEY: &str = "network.key";
    /// The index certificate, at an index.
    pub(crate) const INDEX_CERTIFICATE: &str = "index.cert";
    /// The node's database.
    pub(crate) const NODE_DATABASE: &str = "node.db";
    /// The registry, at an index.
    pub(crate) const INDEX_DATABASE: &str = "index.db";
}

/// The folder of one node. It need not exist: only [`Home::create`] makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home(PathBuf);

impl Home {
    /// At a path, or at `p2p-node` in the user's data folder (XDG base directories) where none is given.
    ///
    /// # Errors
    /// Where the path is relative and the current folder is gone, or the user has no home folder.
    pub fn resolve(path: Option<&Path>) -> Result<Self, HomeError> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => default_path()?,
        };
        match std::path::absolute(&path) {
            Ok(absolute) => Ok(Self(absolute)),
            Err(source) => Err(HomeError::Io { action: "resolve", path, source }),
        }
    }

    /// Makes the folder, for this user alone; one that exists stays as it is.
    ///
    /// # Errors
    /// What the system said.
    pub fn create(&self) -> Result<(), HomeError> {
        private_folder(&self.0).map_err(|source| HomeError::Io {
            action: "make",
            path: self.0.clone(),
            source,
        })
    }

    /// Takes the lock, which a daemon holds for as long as it runs. The system drops it when the process ends, however
    /// that happens.
    ///
    /// # Errors
    /// [`HomeError::Locked`] where another daemon has it.
    pub fn lock(&self) -> Result<HomeLock, HomeError> {
        let path = self.lock_file();
        let failed = |action| {
            let path = path.clone();
            move |source| HomeError::Io { action, path, source }
        };
        let file = lock_options().open(&path).map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => Ok(HomeLock { home: self.clone(), _file: file }),
            Err(TryLockError::WouldBlock) => Err(HomeError::Locked { home: self.0.clone() }),
            Err(TryLockError::Error(source)) => Err(failed("lock")(source)),
        }
    }

    /// Whether a daemon holds the lock now.
    pub fn is_locked(&self) -> bool {
        let held = |file: File| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        File::open(self.lock_file()).is_ok_and(held)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// This node's secret key.
    pub fn identity_key(&self) -> PathBuf {
        self.0.join(file::IDENTITY_KEY)
    }

    /// This node's membership, and the newest index certificate that it has seen.
    pub fn membership(&self) -> PathBuf {
        self.0.join(file::MEMBERSHIP)
    }

    /// The root key of a network, at its first index.
    pub fn network_key(&self) -> PathBuf {
        self.0.join(file::NETWORK_KEY)
    }

    /// Whether it is an index's: whether it has a network's root key, or an index certificate where that was moved away.
    pub(crate) fn is_index(&self) -> bool {
        self.network_key().exists() || self.index_certificate().exists()
    }

    /// The index certificate, at an index.
    pub fn index_certificate(&self) -> PathBuf {
        self.0.join(file::INDEX_CERTIFICATE)
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    /// The socket of the control API, or a link to it where this path is too long for a socket.
    pub fn control_socket(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    /// Where downloads go that name no other target.
    pub fn downloads(&self) -> PathBuf {
        self.0.join("downloads")
    }

    /// The file that the running daemon has locked.
    pub fn lock_file(&self) -> PathBuf {
        self.0.join("lock")
    }
}

/// The lock of a home; dropping it lets another daemon in.
#[derive(Debug)]
pub struct HomeLock {
    home: Home,
    _file: File,
}

impl HomeLock {
    /// Whose lock it is.
    pub fn home(&self) -> &Home {
        &self.home
    }
}

/// Why a home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The user has no home folder, and none was named.
    #[error("there is no home folder for this user")]
    NoHomeFolder,
    /// Another daemon runs there.
    #[error("a daemon runs on {} already", home.display())]
    Locked {
        /// The folder.
        home: PathBuf,
    },
    /// What the system said.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl From<HomeError> for ApiError {
    fn from(error: HomeError) -> Self {
        match &error {
            HomeError::NoHomeFolder => {
                Self::usage(error.to_string()).with_hint("name a folder with --home, or set P2P_NODE_HOME")
            }
            HomeError::Locked { .. } => Self::new(LocalCode::AlreadyRunning, error.to_string()),
            HomeError::Io { action, path, source } => {
                Self::io(format_args!("{action} {}", path.display()), source)
            }
        }
    }
}

impl From<KeystoreError> for ApiError {
    fn from(error: KeystoreError) -> Self {
        match &error {
            KeystoreError::Io { action, path, source } => {
                Self::io(format_args!("{action} {}", path.display()), source)
            }
            KeystoreError::Randomness(_) => Self::new(LocalCode::Io, error.to_string()),
            KeystoreError::OpenPermissions { path, mode } => {
                let text = format!("{} is open to other users (mode {mode:03o})", path.display());
                Self::new(LocalCode::BadHome, text).with_hint(format!("chmod 600 {}", path.display()))
            }
            KeystoreError::NotAKey { .. } => Self::new(LocalCode::BadHome, error.to_string()).with_hint(
                "put its backup in its place; without one, --home names another folder for a new node",
            ),
        }
    }
}

/// Makes a folder and those above it, new ones for this user alone.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    // A recursive builder takes a file for the folder that it should make.
    if fs::metadata(path)?.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

fn default_path() -> Result<PathBuf, HomeError> {
    let strategy = etcetera::base_strategy::choose_base_strategy().map_err(|_| HomeError::NoHomeFolder)?;
    Ok(strategy.data_dir().join(APPLICATION))
}

fn lock_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_home_is_private_and_an_old_one_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b");
        let home = Home::resolve(Some(&path)).expect("a home");
        home.create().expect("made");
        home.create().expect("there already");
        assert_eq!(fs::metadata(&path).expect("exists").permissions().mode() & 0o777, 0o700);
        fs::write(folder.path().join("file"), "").expect("written");
        let file = Home::resolve(Some(&folder.path().join("file"))).expect("a path");
        assert!(matches!(file.create(), Err(HomeError::Io { .. })));
    }

    #[test]
    fn relative_paths_are_resolved_against_the_current_folder() {
        let home = Home::resolve(Some(Path::new("x"))).expect("a home");
        assert_eq!(home.path(), std::env::current_dir().expect("a folder").join("x"));
    }

    #[test]
    fn one_lock_a_home() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::resolve(Some(folder.path())).expect("a home");
        assert!(!home.is_locked());
        let lock = home.lock().expect("free");
        assert!(home.is_locked());
        let refused = home.lock().expect_err("taken");
        assert!(matches!(refused, HomeError::Locked { .. }));
        assert_eq!(ApiError::from(refused).code, LocalCode::AlreadyRunning.into());
        drop(lock);
        assert!(!home.is_locked());
        home.lock().expect("free again");
    }
}
