//! The Unix socket of the control API: `control.sock` in the home.
//!
//! The system bounds the length of a socket's path. Where the home's is longer, the socket lies in a folder of this
//! user's in the runtime folder or the folder for temporary files, and `control.sock` is a symbolic link to it: whoever
//! looks for it needs to know the home alone, not the daemon's environment.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::code::LocalCode;
use super::error::{ApiError, ApiResult};
use crate::home::{Home, HomeLock};

/// The longest path of a socket in bytes: `sun_path` of the system, less its final NUL.
const PATH_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Connections that wait to be accepted: the commands of one user.
const BACKLOG: i32 = 128;

/// Binds the socket of a home, for this user alone. A file that a daemon left behind is replaced: the lock says that
/// none runs.
///
/// # Errors
/// What the system said; also where the folder that a long path falls back to is open to others.
pub fn bind(lock: &HomeLock) -> io::Result<(UnixListener, SocketFile)> {
    let candidates = [std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from), Some(std::env::temp_dir())];
    bind_in(lock.home(), candidates.into_iter().flatten())
}

/// Connects to the daemon of a home.
///
/// # Errors
/// `no-daemon` where none listens.
pub async fn connect(home: &Home) -> ApiResult<UnixStream> {
    let stream = match locate(home) {
        Ok(path) => UnixStream::connect(path).await,
        Err(error) => Err(error),
    };
    stream.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => no_daemon(home),
        _ => ApiError::io(format_args!("reach the daemon of {}", home.path().display()), &error),
    })
}

/// The files of a bound socket; dropping it removes them. To be dropped before the home's lock.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    link: Option<PathBuf>,
}

impl SocketFile {
    /// Where the socket lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        for path in self.link.iter().chain([&self.path]) {
            let _ = fs::remove_file(path);
        }
    }
}

fn no_daemon(home: &Home) -> ApiError {
    let error = ApiError::new(LocalCode::NoDaemon, format!("no daemon runs on {}", home.path().display()));
    if home.is_index() { error.with_hint("start it with `p2p-node index`") } else { error }
}

fn fits(path: &Path) -> bool {
    path.as_os_str().len() <= PATH_BYTES
}

fn locate(home: &Home) -> io::Result<PathBuf> {
    let path = home.control_socket();
    if fits(&path) { Ok(path) } else { fs::read_link(path) }
}

fn bind_in(home: &Home, candidates: impl Iterator<Item = PathBuf>) -> io::Result<(UnixListener, SocketFile)> {
    let in_home = home.control_socket();
    let (path, link) =
        if fits(&in_home) { (in_home, None) } else { (fallback(home, candidates)?, Some(in_home)) };
    for stale in link.iter().chain([&path]) {
        remove_stale(stale)?;
    }
    let listener = listen(&path)?;
    let file = SocketFile { path, link };
    if let Some(link) = &file.link {
        symlink(&file.path, link)?;
    }
    Ok((listener, file))
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    use socket2::{Domain, SockAddr, Socket, Type};
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Linux gives the file the mode of the socket, so that there is no moment at which others may connect.
    #[cfg(target_os = "linux")]
    rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(0o600))?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    UnixListener::from_std(std::os::fd::OwnedFd::from(socket).into())
}

/// Where the socket of a home lies whose own path is too long: the first candidate in which that works.
fn fallback(home: &Home, candidates: impl Iterator<Item = PathBuf>) -> io::Result<PathBuf> {
    let mut problem =
        io::Error::new(io::ErrorKind::InvalidFilename, "no folder is short enough for a socket");
    let hash = blake3::hash(home.path().as_os_str().as_encoded_bytes()).to_hex();
    for folder in candidates.filter(|folder| folder.is_absolute()) {
        let folder = folder.join(format!("p2p-node-{}", rustix::process::geteuid().as_raw()));
        let path = folder.join(format!("{hash}.sock"));
        match own_folder(&folder) {
            Ok(()) if fits(&path) => return Ok(path),
            Ok(()) => {}
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

/// Makes a folder in a place where others may write, or checks that the one there is this user's alone.
fn own_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let metadata = fs::symlink_metadata(path)?;
    let ours = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
    if ours && metadata.mode() & 0o077 == 0 {
        return Ok(());
    }
    let text = format!("{} is not a folder that only this user may open", path.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home_of(folder: &Path) -> Home {
        let home = Home::resolve(Some(folder)).expect("a home");
        home.create().expect("made");
        home
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("exists").mode() & 0o777
    }

    #[tokio::test]
    async fn a_socket_is_private_and_gone_after_its_daemon() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = home_of(folder.path());
        assert_eq!(connect(&home).await.expect_err("no daemon").code, LocalCode::NoDaemon.into());
        let lock = home.lock().expect("free");
        fs::write(home.control_socket(), "left behind").expect("written");
        let (listener, file) = bind(&lock).expect("bound");
        assert_eq!(mode(file.path()), 0o600);
        connect(&home).await.expect("connected");
        drop(listener);
        assert_eq!(connect(&home).await.expect_err("refused").code, LocalCode::NoDaemon.into());
        drop(file);
        assert!(!home.control_socket().exists());
    }

    #[tokio::test]
    async fn a_long_home_has_its_socket_elsewhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tempfile::tempdir().expect("a folder");
        let home = home_of(&folder.path().join("x".repeat(PATH_BYTES)));
        assert_eq!(connect(&home).await.expect_err("no daemon").code, LocalCode::NoDaemon.into());
        let candidates = || [PathBuf::from("relative"), runtime.path().join("none"), runtime.path().into()];
        let (_listener, file) = bind_in(&home, candidates().into_iter()).expect("bound");
        assert!(file.path().starts_with(runtime.path()));
        assert_eq!(mode(file.path().parent().expect("a folder")), 0o700);
        connect(&home).await.expect("found through the link");
        drop(file);
        assert!(fs::symlink_metadata(home.control_socket()).is_err(), "the link is gone");
    }

    #[test]
    fn a_folder_open_to_others_is_refused() {
        let runtime = tempfile::tempdir().expect("a folder");
        let home = home_of(&runtime.path().join("x".repeat(PATH_BYTES)));
        let name = format!("p2p-node-{}", rustix::process::geteuid().as_raw());
        let shared = runtime.path().join(name);
        fs::create_dir(&shared).expect("made");
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o755)).expect("opened");
        let refused = fallback(&home, [runtime.path().into()].into_iter()).expect_err("refused");
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        fs::remove_dir(&shared).expect("removed");
        symlink("/tmp", &shared).expect("linked");
        fallback(&home, [runtime.path().into()].into_iter()).expect_err("a link is refused");
    }
}
