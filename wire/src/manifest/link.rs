//! Where a symbolic link in a folder may point to: nowhere but into the folder.

use crate::limits;
use crate::name::{NameError, ResourceName};

/// Why a link is not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing, or over 4,096 bytes.
    #[error("a target has 1 to {} bytes", limits::PATH_BYTES)]
    Length,
    /// It begins with a slash.
    #[error("the target is an absolute path")]
    Absolute,
    /// It goes up further than the link lies deep, or goes up after it went down.
    #[error("the target may lead out of the folder")]
    Outside,
    /// A part that is no name.
    #[error("the target has a part that is no name: {0}")]
    Name(#[from] NameError),
}

/// Checks the target of the link at `path`, which is relative to the folder: `..` at most as often as the link lies in
/// folders, and only in front; then names, all joined by `/`.
///
/// Such a link leads nowhere but into the folder, whatever other links there are: the folders that it goes up through are
/// real ones, since nothing lies in a link, and every link that it goes down through is such a link, too.
///
/// # Errors
/// See [`TargetError`].
pub fn check_target(path: &str, target: &str) -> Result<(), TargetError> {
    if target.is_empty() || target.len() > limits::PATH_BYTES {
        return Err(TargetError::Length);
    }
    if target.starts_with('/') {
        return Err(TargetError::Absolute);
    }
    let depth = path.bytes().filter(|&byte| byte == b'/').count();
    let up = target.split('/').take_while(|part| *part == "..").count();
    if up > depth || target.split('/').skip(up).any(|part| part == "..") {
        return Err(TargetError::Outside);
    }
    for part in target.split('/').skip(up) {
        part.parse::<ResourceName>()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn into_the_folder() {
        for (path, target) in [
            ("l", "a"),
            ("l", "a/b.c"),
            ("l", "l"),
            ("a/l", "../b"),
            ("a/l", ".."),
            ("a/b/l", "../.."),
            ("a/b/l", "../../x/y"),
        ] {
            assert_eq!(check_target(path, target), Ok(()), "{path} to {target}");
        }
    }

    #[test]
    fn not_out_of_it() {
        let long = "a/".repeat(2048) + "a";
        for (path, target, error) in [
            ("l", "", TargetError::Length),
            ("l", &long, TargetError::Length),
            ("l", "/etc/passwd", TargetError::Absolute),
            ("l", "..", TargetError::Outside),
            ("a/l", "../../b", TargetError::Outside),
            ("a/l", "b/../../../c", TargetError::Outside),
            // Through a link `b` to the folder itself this would lead out.
            ("l", "b/..", TargetError::Outside),
            ("l", "a//b", TargetError::Name(NameError::Empty)),
            ("l", "a/", TargetError::Name(NameError::Empty)),
            ("l", "./a", TargetError::Name(NameError::Dots)),
            ("l", "a\0b", TargetError::Name(NameError::Character('\0'))),
        ] {
            assert_eq!(check_target(path, target), Err(error), "{path} to {target}");
        }
    }
}
