//! Files that hold secrets or statements: written whole or not at all, readable by their owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, spki::der::pem::LineEnding};
use zeroize::Zeroizing;

use crate::key::SecretKey;

/// The largest key file that is read, in bytes; one of ours has about 120.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// The system would not read or write it.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than its owner may read or write it.
    #[error("{} is open to other users (mode {mode:03o}); to mend it: chmod 600 {}", path.display(), path.display())]
    OpenPermissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a PKCS#8 PEM file of an Ed25519 key.
    #[error("{} holds no Ed25519 key in PKCS#8 PEM form", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// The system gave no randomness for a new key.
    #[error("no randomness for a new key: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// Reads the key of a file, or makes a new key and its file where there is none.
///
/// Two processes that do this at once end with the same key.
///
/// # Errors
/// See [`KeystoreError`]; a file that exists is never replaced.
pub fn load_or_create_key(path: &Path) -> Result<SecretKey, KeystoreError> {
    match load_key(path) {
        Err(KeystoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            create_key(path, &SecretKey::generate()?)?;
            load_key(path)
        }
        other => other,
    }
}

/// Reads the key of a file.
///
/// # Errors
/// See [`KeystoreError`].
pub fn load_key(path: &Path) -> Result<SecretKey, KeystoreError> {
    let failed = |action| move |source| KeystoreError::Io { action, path: path.to_owned(), source };
    let file = File::open(path).map_err(failed("open"))?;
    check_mode(&file, path)?;
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_KEY_FILE_BYTES).read_to_string(&mut text).map_err(failed("read"))?;
    SigningKey::from_pkcs8_pem(&text)
        .map(|key| SecretKey::from_seed(key.to_bytes()))
        .map_err(|_| KeystoreError::NotAKey { path: path.to_owned() })
}

/// Writes a key to a new file, as PKCS#8 PEM (RFC 8410).
///
/// # Errors
/// See [`KeystoreError`]; where the file exists already, it stays and this is no error.
fn create_key(path: &Path, key: &SecretKey) -> Result<(), KeystoreError> {
    let failed = |source| KeystoreError::Io { action: "write", path: path.to_owned(), source };
    let text = SigningKey::from_bytes(&key.seed())
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|_| failed(io::Error::other("the key cannot be encoded")))?;
    let temporary = write_beside(path, text.as_bytes()).map_err(failed)?;
    let linked = fs::hard_link(&temporary, path);
    let _ = fs::remove_file(&temporary);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
        _ => sync_folder(path).map_err(failed),
    }
}

/// Replaces a file by new content in one step: after a crash it has the old content or the new, and only its owner
/// may read it.
///
/// # Errors
/// What the system said; the old file is then as it was.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = write_beside(path, content)?;
    fs::rename(&temporary, path).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })?;
    sync_folder(path)
}

/// A new file in the same folder with that content, synced.
fn write_beside(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}.tmp", u64::from_le_bytes(random)));
    let temporary = path.with_file_name(name);
    let written = private_file(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    match written {
        Ok(()) => Ok(temporary),
        Err(error) => {
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(unix)]
fn private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(unix)]
fn check_mode(file: &File, path: &Path) -> Result<(), KeystoreError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file.metadata().map_err(|source| KeystoreError::Io {
        action: "look at",
        path: path.to_owned(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeystoreError::OpenPermissions { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &File, _: &Path) -> Result<(), KeystoreError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_then_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("identity.key");
        let first = load_or_create_key(&path).expect("made");
        let second = load_or_create_key(&path).expect("read");
        assert_eq!(first.public(), second.public());
        let mode = fs::metadata(&path).expect("exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left");
    }

    #[test]
    fn an_existing_key_is_never_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("identity.key");
        let first = SecretKey::from_seed([1; 32]);
        create_key(&path, &first).expect("written");
        create_key(&path, &SecretKey::from_seed([2; 32])).expect("left alone");
        assert_eq!(load_key(&path).expect("read").public(), first.public());
    }

    #[test]
    fn open_permissions_and_other_content_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("identity.key");
        load_or_create_key(&path).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
        assert!(matches!(load_or_create_key(&path), Err(KeystoreError::OpenPermissions { mode: 0o640, .. })));
        write_private(&path, b"something else").expect("written");
        assert!(matches!(load_or_create_key(&path), Err(KeystoreError::NotAKey { .. })));
        assert_eq!(fs::read(&path).expect("still there"), b"something else");
    }

    #[test]
    fn a_private_file_is_replaced_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("membership.cbor");
        write_private(&path, b"one").expect("written");
        write_private(&path, b"two").expect("written");
        assert_eq!(fs::read(&path).expect("read"), b"two");
        assert!(write_private(&folder.path().join("none/x"), b"x").is_err());
    }
}
