//! The documents of the control API. What `--json` prints are these, field for field.
//!
//! | concept | file |
//! | --- | --- |
//! | what is asked | `request` |
//! | what the operator of an index asks and is told | `admin` |
//! | what is answered about the network: listings, who is online | `listing` |
//! | what is answered about this node: status, shares | `status` |
//! | what is being moved | `transfer` |
//! | what stays up to date | `subscription` |
//! | how much is given and taken | `limits` |
//! | how far long operations are | `progress` |
//! | the log of activity; its events are those of `crate::activity` | `events` |
//! | what operations end with | `outcome` |
//! | times, local paths and ids as text | `text` |

mod admin;
mod events;
mod limits;
mod listing;
mod outcome;
mod progress;
mod request;
mod status;
mod subscription;
mod text;
mod transfer;

pub use crate::activity::LoggedEvent;
pub use admin::{Certified, PasswdDone, PasswdRequest, RecoveryStatus, RestoredFrom};
pub use events::{EventsRequest, Line};
pub use limits::{JobLimit, Limits};
pub use listing::{
    NodeOnline, Resource, ResourcePage, ResourceVersion, Source, UserOnline, VersionsPage, WhoPage,
};
pub use outcome::{
    ConflictCopy, Enrolled, GcDone, GetDone, JobDone, JobState, JobsDone, Kept, LoggedOut, Outcome,
    ShareDone, ShareNote, SourceBytes, Started, Unshared,
};
pub use progress::{Event, FilesProgress, Progress, Stage};
pub use request::{
    GcRequest, GetRequest, JobLimitRequest, JobRequest, Links, ListRequest, LoginRequest, PageRequest,
    Password, SearchRequest, ShareRequest, SignupRequest, UnshareRequest, VersionsRequest,
};
pub use status::{
    DhtMode, DhtStatus, FallbackStatus, IndexState, IndexStatus, Share, ShareProblem, ShareState,
    ShareSummary, SharesPage, SmallBuffers, Status, WatchStatus,
};
pub use subscription::{
    SubscribeRequest, SubscriptionItem, SubscriptionRequest, SubscriptionState, SubscriptionsDone,
    SubscriptionsPage, UnsubscribeRequest, Unsubscribed, UnsubscribedItem,
};
pub use text::{LocalPath, Moment};
pub(crate) use text::{as_text, content_hex, optional_text};
pub use transfer::{Direction, Transfer, TransferDetail, TransferPeer, TransferState, Transfers};
