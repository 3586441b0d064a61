//! Names of files that the store makes beside users' files.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use certs::{UnixMillis, UserName};

/// The longest name of a file, in bytes, on all common file systems.
const NAME_BYTES: usize = 255;
const PART: &[u8] = b".part";

/// `.<name>.<16 hex digits>.part` beside the target, `<name>` shortened where it would be too long.
pub(super) fn temporary(target: &Path, tag: u64) -> PathBuf {
    let name = target.file_name().unwrap_or_default().as_bytes();
    let end = format!(".{tag:016x}").into_bytes();
    let room = NAME_BYTES - 1 - end.len() - PART.len();
    beside(target, [b".", shortened(name, room), &end, PART].concat())
}

/// Whether a name is one that [`temporary`] makes.
pub(super) fn is_temporary(name: &[u8]) -> bool {
    let tag = name.strip_prefix(b".").and_then(|rest| rest.strip_suffix(PART));
    tag.and_then(|rest| rest.rsplit(|&byte| byte == b'.').next())
        .is_some_and(|tag| tag.len() == 16 && tag.iter().all(u8::is_ascii_hexdigit))
}

/// `name.sync-conflict-<UTC date>-<UTC time>-<user>.ext` beside the target; from the second try on with a number.
pub(super) fn conflict(target: &Path, now: UnixMillis, user: &UserName, attempt: u32) -> PathBuf {
    let stem = target.file_stem().unwrap_or_default().as_bytes();
    let extension = target.extension().map(OsStr::as_bytes).unwrap_or_default();
    let mut middle = format!(".sync-conflict-{}-{user}", utc(now));
    if attempt > 0 {
        middle += &format!("-{attempt}");
    }
    let mut end = middle.into_bytes();
    // An extension that would leave little of the name is none.
    if !extension.is_empty() && extension.len() <= NAME_BYTES / 2 {
        end.push(b'.');
        end.extend_from_slice(extension);
    }
    let room = NAME_BYTES - end.len();
    beside(target, [shortened(stem, room), &end].concat())
}

/// Another name like this one: `-<number>` before the extension.
pub(super) fn numbered(path: &Path, number: u32) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().as_bytes();
    let mut end = format!("-{number}").into_bytes();
    if let Some(extension) = path.extension() {
        end.push(b'.');
        end.extend_from_slice(extension.as_bytes());
    }
    beside(path, [shortened(stem, NAME_BYTES.saturating_sub(end.len())), &end].concat())
}

fn beside(target: &Path, name: Vec<u8>) -> PathBuf {
    target.with_file_name(OsString::from_vec(name))
}

/// The first bytes, without half a character at the end where it is UTF-8.
fn shortened(name: &[u8], room: usize) -> &[u8] {
    if name.len() <= room {
        return name;
    }
    match std::str::from_utf8(name) {
        Ok(text) => &name[..text.floor_char_boundary(room)],
        Err(_) => &name[..room],
    }
}

/// `YYYYMMDD-HHMMSS`.
fn utc(now: UnixMillis) -> String {
    let time = i64::try_from(now.0).ok().and_then(|now| jiff::Timestamp::from_millisecond(now).ok());
    // Beyond the year 9999 the name is still unique enough: a number is added where it is taken.
    time.unwrap_or(jiff::Timestamp::MAX).strftime("%Y%m%d-%H%M%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: UnixMillis = UnixMillis(1_700_000_000_999);

    fn alice() -> UserName {
        "alice".parse().expect("a name")
    }

    fn name(path: &Path) -> &[u8] {
        path.file_name().expect("a name").as_bytes()
    }

    #[test]
    fn temporary_names() {
        assert_eq!(temporary(Path::new("/a/b.pdf"), 0xab), Path::new("/a/.b.pdf.00000000000000ab.part"));
        assert!(is_temporary(b".b.pdf.00000000000000ab.part"));
        for other in [&b"b.pdf"[..], b".part", b".x.00000000000000a.part", b"x.00000000000000ab.part"] {
            assert!(!is_temporary(other));
        }
        for long in ["x".repeat(255), "ü".repeat(127)] {
            let path = temporary(&Path::new("/a").join(&long), u64::MAX);
            assert!(name(&path).len() <= NAME_BYTES && name(&path).len() > NAME_BYTES - 2);
            assert!(path.to_str().is_some() && is_temporary(name(&path)));
        }
        let strange = PathBuf::from(OsString::from_vec(vec![0xff; 255]));
        assert_eq!(name(&temporary(&strange, 1)).len(), NAME_BYTES);
    }

    #[test]
    fn numbered_names() {
        assert_eq!(numbered(Path::new("/a/b.c.pdf"), 3), Path::new("/a/b.c-3.pdf"));
        assert_eq!(numbered(Path::new("b"), 1), Path::new("b-1"));
        assert!(name(&numbered(Path::new(&"x".repeat(255)), 7)).ends_with(b"x-7"));
    }

    #[test]
    fn conflict_names() {
        let of = |target: &str, attempt| conflict(Path::new(target), TIME, &alice(), attempt);
        assert_eq!(of("/a/b.pdf", 0), Path::new("/a/b.sync-conflict-20231114-221320-alice.pdf"));
        assert_eq!(of("/a/b.pdf", 2), Path::new("/a/b.sync-conflict-20231114-221320-alice-2.pdf"));
        assert_eq!(of("b", 0), Path::new("b.sync-conflict-20231114-221320-alice"));
        assert_eq!(of(".rc", 0), Path::new(".rc.sync-conflict-20231114-221320-alice"));
        for long in ["x".repeat(255), format!("{}.txt", "ü".repeat(125)), format!("x.{}", "y".repeat(253))] {
            let path = conflict(&Path::new("/a").join(long), TIME, &alice(), u32::MAX);
            assert!(name(&path).len() <= NAME_BYTES);
            assert!(path.to_str().is_some());
        }
        assert!(conflict(Path::new("b"), UnixMillis(u64::MAX), &alice(), 0).to_str().is_some());
    }
}
