//! What is asked of the daemon.

use std::fmt;

use certs::UserName;
use serde::{Deserialize, Serialize};
use wire::ResourceName;

use super::LocalPath;
use crate::rate::Rate;

/// Which page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageRequest {
    /// How many items at most, 1 to [`wire::limits::PAGE_ITEMS`]; without it the daemon chooses.
    pub limit: Option<u32>,
    /// Where the page before ended; without it, from the beginning. Opaque.
    pub cursor: Option<String>,
}

/// Everything that is shared, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListRequest {
    /// This user's alone.
    pub owner: Option<UserName>,
    /// Only what somebody who is online has.
    pub online: bool,
    /// Which page.
    pub page: PageRequest,
}

/// What matches a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// In the query language of PROTOCOL.md.
    pub query: String,
    /// Which page.
    pub page: PageRequest,
}

/// The versions of a resource that the index knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionsRequest {
    /// Whose it is.
    pub owner: UserName,
    /// Its name.
    pub name: ResourceName,
    /// Which page.
    pub page: PageRequest,
}

/// A secret that no debug output shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// A new account, and this node enrolled for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignupRequest {
    /// The name it shall have.
    pub user: UserName,
    /// Its password.
    pub password: Password,
}

/// This node enrolled for an account that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// The account's name.
    pub user: UserName,
    /// Its password.
    pub password: Password,
    /// Give up the other account that this node was enrolled for, with its shares and jobs.
    pub forget: bool,
}

/// What becomes of symbolic links in a folder that is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Links {
    /// Those that lead nowhere but into the folder are shared as links
    #[default]
    Keep,
    /// All are left out
    Skip,
}

/// A file or folder to share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareRequest {
    /// Where it lies; absolute.
    pub path: LocalPath,
    /// Under which name.
    pub name: ResourceName,
    /// Also where the name is bound to another path.
    pub update: bool,
    /// On top of this version, which another machine of this user has published; refused with `superseded` where another one is
    /// the latest by now. Without it nothing is put on top of another machine's.
    #[serde(default)]
    pub onto: Option<u64>,
    /// Of a folder: what becomes of links in it. Default: as when this name was shared last; at first they are kept.
    #[serde(default)]
    pub links: Option<Links>,
    /// Of a folder: whether what `.gitignore` files in it name is left out. Default: as when this name was shared last; at
    /// first it is shared.
    #[serde(default)]
    pub gitignore: Option<bool>,
    /// Whether its next versions are published by themselves when it changes. Default: as when this name was shared last;
    /// at first as the daemon is configured.
    #[serde(default)]
    pub watch: Option<bool>,
    /// Of a file: keep a copy of this version, and so many old ones, at most 1,000. Default: as when this name was shared last;
    /// at first as the daemon is configured. 0 removes the copies.
    #[serde(default)]
    pub keep: Option<u32>,
}

impl ShareRequest {
    /// Under this name, which is bound to no other path, and as it was shared last.
    pub fn new(path: impl Into<LocalPath>, name: ResourceName) -> Self {
        Self {
            path: path.into(),
            name,
            update: false,
            onto: None,
            links: None,
            gitignore: None,
            watch: None,
            keep: None,
        }
    }
}

/// Remove what nothing needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GcRequest {
    /// Only say what that would be.
    pub dry_run: bool,
}

/// A resource to take back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnshareRequest {
    /// Whose it is; without it this node's user. Another's is refused with `not-owner`.
    pub owner: Option<UserName>,
    /// Its name.
    pub name: ResourceName,
}

/// A resource to download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetRequest {
    /// Whose it is.
    pub owner: UserName,
    /// Its name.
    pub name: ResourceName,
    /// Where to; absolute. A folder that exists, or a path that ends with `/`: into it, under the resource's name; but a
    /// folder that is an older version of the resource is itself brought to the newest one.
    /// Without it `<home>/downloads/<owner>/<name>`, or where a job of this resource already goes.
    pub path: Option<LocalPath>,
    /// This version alone, from 1 upwards: nothing newer takes its place, and it is not followed. Without it the latest.
    #[serde(default)]
    pub version: Option<u64>,
    /// Do not follow later versions.
    pub once: bool,
    /// Serve it to others from then on.
    pub share: bool,
    /// Replace an unequal file at the target, and edits of an older version that this node downloaded there, keeping them
    /// beside.
    pub force: bool,
    /// Wait for a holder where none is online, also at the start; without it that is `no-holder`.
    #[serde(default)]
    pub wait: bool,
    /// Make the folders above the target that are not there; without it that is `no-such-path`.
    #[serde(default)]
    pub parents: bool,
    /// How fast it may be, also where it runs already; without it as before, at first without a limit. It is kept with the
    /// download, over pauses and restarts.
    #[serde(default)]
    pub limit: Option<Rate>,
    /// Of a folder: only what matches one of these patterns, and the folders that it lies in; all of it without any. At most
    /// 256 of 4,096 bytes. `*` stands for any text, and a folder that matches means all that is in it. A part is not
    /// served to others.
    #[serde(default)]
    pub only: Vec<String>,
    /// Of a file that is followed and served: keep a copy of this version, and so many old ones, at most 1,000. Default: as
    /// before for this resource; at first as the daemon is configured. 0 removes the copies.
    #[serde(default)]
    pub keep: Option<u32>,
}

impl GetRequest {
    /// All of the latest version to the default place, which is followed and served from then on; it waits for nobody.
    pub fn new(owner: UserName, name: ResourceName) -> Self {
        Self {
            owner,
            name,
            path: None,
            version: None,
            once: false,
            share: true,
            force: false,
            wait: false,
            parents: false,
            limit: None,
            only: Vec::new(),
            keep: None,
        }
    }
}

/// Which download.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum JobRequest {
    /// The one with this number.
    Id {
        /// See [`Transfer::id`](super::Transfer::id).
        id: u64,
    },
    /// One of a resource.
    Resource {
        /// Whose resource it is.
        owner: UserName,
        /// Its name.
        name: ResourceName,
        /// Where to, as in [`GetRequest::path`]; without it the last one of the resource.
        #[serde(default)]
        path: Option<LocalPath>,
    },
}

/// The limit of one download, asked for or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobLimitRequest {
    /// Which download: one that is not done.
    pub job: JobRequest,
    /// How fast it may be from now on; without it that stays as it is.
    #[serde(default)]
    pub download: Option<Rate>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_is_named_in_one_way() {
        let read = |text: &str| serde_json::from_str::<JobRequest>(text);
        assert!(matches!(read(r#"{"id":7}"#), Ok(JobRequest::Id { id: 7 })));
        let named = read(r#"{"owner":"bob","name":"x"}"#).expect("a resource");
        assert!(matches!(named, JobRequest::Resource { path: None, .. }), "{named:?}");
        for text in [r#"{"id":7,"owner":"bob","name":"x"}"#, r#"{"id":-1}"#, r#"{"owner":"bob"}"#, "{}"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn passwords_do_not_show() {
        let request = SignupRequest {
            user: "alice".parse().expect("a name"),
            password: Password("correct horse".to_owned()),
        };
        assert!(!format!("{request:?}").contains("horse"));
    }
}
