//! The operations of a node, as its user asks for them.
//!
//! | concept | file |
//! | --- | --- |
//! | publish a file | `share` |
//! | old versions that are kept; what nothing needs | `keep` |
//! | take a resource back | `unshare` |
//! | what the index knows of us, brought up to date | `announce` |
//! | start a download, or attach to one | `get` |
//! | pause, resume and cancel downloads | `jobs` |
//! | a download of what is there already | `there` |
//! | a newer version of what was downloaded before | `again` |
//! | running one download to its end | `drive` |
//! | how much is given and taken | `limit` |
//! | what stays up to date: asked for, kept so; who tells what is new | `subscriptions`, `updates`; `listen` |
//! | list, search, who | `query` |
//! | what the operator of an index asks for | `admin` |
//! | status, shares | `status` |
//! | what is being moved | `transfers` |
//! | the log of activity | `events` |
//! | how often progress is told | `seldom` |
//! | all of it as the control API calls it | `backend` |

mod admin;
mod again;
mod announce;
mod backend;
mod drive;
mod events;
mod get;
mod jobs;
mod keep;
mod limit;
mod listen;
mod query;
mod seldom;
mod share;
mod status;
mod subscriptions;
mod there;
mod transfers;
mod unshare;
mod updates;

pub(crate) use announce::keep_announced;
pub(crate) use drive::resume_all;
pub(crate) use keep::keep_missed;
pub(crate) use share::Asker;
pub(crate) use updates::{keep_subscribed, load_subscriptions, run_due_hooks};
