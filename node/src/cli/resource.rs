//! `OWNER/NAME`, as the user types it.

use std::fmt;
use std::str::FromStr;

use certs::{UserName, UserNameError};
use wire::{NameError, ResourceName};

use crate::control::api::JobRequest;

/// Whose resource, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResourceArg {
    pub(super) owner: UserName,
    pub(super) name: ResourceName,
}

/// A resource of this user, or `OWNER/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnResourceArg {
    pub(super) owner: Option<UserName>,
    pub(super) name: ResourceName,
}

/// A download: its number, or `OWNER/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum JobArg {
    Id(u64),
    Resource(ResourceArg),
}

/// Why a text names no download.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum JobArgError {
    #[error("a download is given by its number or as OWNER/NAME; this is neither")]
    Neither,
    #[error("no download has so large a number")]
    Number,
    #[error(transparent)]
    Resource(#[from] ResourceArgError),
}

/// Why a text names no resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResourceArgError {
    #[error("a resource is given as OWNER/NAME; there is no '/'")]
    NoOwner,
    #[error("what is before the '/' is no user name: {0}")]
    Owner(#[from] UserNameError),
    #[error("what is after the first '/' is no name: {0}")]
    Name(#[from] NameError),
}

impl FromStr for ResourceArg {
    type Err = ResourceArgError;

    fn from_str(text: &str) -> Result<Self, ResourceArgError> {
        let (owner, name) = text.split_once('/').ok_or(ResourceArgError::NoOwner)?;
        Ok(Self { owner: owner.parse()?, name: ResourceName::normalized(name)? })
    }
}

impl fmt::Display for ResourceArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl FromStr for OwnResourceArg {
    type Err = ResourceArgError;

    fn from_str(text: &str) -> Result<Self, ResourceArgError> {
        if text.contains('/') {
            let ResourceArg { owner, name } = text.parse()?;
            return Ok(Self { owner: Some(owner), name });
        }
        Ok(Self { owner: None, name: ResourceName::normalized(text)? })
    }
}

impl JobArg {
    /// What the daemon is asked for.
    pub(super) fn request(self) -> JobRequest {
        match self {
            Self::Id(id) => JobRequest::Id { id },
            Self::Resource(ResourceArg { owner, name }) => JobRequest::Resource { owner, name, path: None },
        }
    }
}

impl FromStr for JobArg {
    type Err = JobArgError;

    fn from_str(text: &str) -> Result<Self, JobArgError> {
        if text.contains('/') {
            return Ok(Self::Resource(text.parse()?));
        }
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(JobArgError::Neither);
        }
        text.parse().map(Self::Id).map_err(|_| JobArgError::Number)
    }
}

/// A name that the user chose, in its normal form.
pub(super) fn parse_name(text: &str) -> Result<ResourceName, NameError> {
    ResourceName::normalized(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_slash_divides() {
        let resource: ResourceArg = "alice/u\u{308}bung.txt".parse().expect("good");
        assert_eq!(resource.to_string(), "alice/übung.txt");
        let parse = |text: &str| text.parse::<ResourceArg>().expect_err(text);
        assert_eq!(parse("film.mkv"), ResourceArgError::NoOwner);
        assert!(matches!(parse("/film"), ResourceArgError::Owner(_)));
        assert!(matches!(parse("Alice/film"), ResourceArgError::Owner(_)));
        assert!(matches!(parse("alice/"), ResourceArgError::Name(NameError::Empty)));
        assert!(matches!(parse("alice/a/b"), ResourceArgError::Name(NameError::Character('/'))));
        assert!(matches!(parse("alice/.."), ResourceArgError::Name(NameError::Dots)));
        assert!(matches!(parse(&format!("a/{}", "x".repeat(300))), ResourceArgError::Name(_)));
    }

    #[test]
    fn a_download_has_a_number_and_a_resource() {
        let parse = |text: &str| text.parse::<JobArg>();
        assert_eq!(parse("17"), Ok(JobArg::Id(17)));
        assert!(matches!(parse("17/17"), Ok(JobArg::Resource(_))));
        assert!(matches!(parse("Alice/x"), Err(JobArgError::Resource(_))));
        assert_eq!(parse("99999999999999999999"), Err(JobArgError::Number));
        for text in ["", "film.mkv", "+1", "-1", "1.5"] {
            assert_eq!(parse(text), Err(JobArgError::Neither), "{text}");
        }
    }

    #[test]
    fn ones_own_needs_no_owner() {
        let own: OwnResourceArg = "film.mkv".parse().expect("good");
        assert_eq!(own.owner, None);
        let full: OwnResourceArg = "alice/film.mkv".parse().expect("good");
        assert_eq!(full.owner.expect("given").as_str(), "alice");
        assert!("a\u{7}".parse::<OwnResourceArg>().is_err());
    }
}
