//! The documents of the control API. What `--json` prints are these, field for field.
//!
//! | concept | file |
//! | --- | --- |
//! | what is asked | `request` |
//! | what is answered about the network: listings, who is online | `listing` |
//! | what is answered about this node: status, shares | `status` |
//! | what is being moved | `transfer` |
//! | how much is given and taken | `limits` |
//! | what operations end with, and their progress | `outcome` |
//! | times, local paths and ids as text | `text` |

mod limits;
mod listing;
mod outcome;
mod request;
mod status;
mod text;
mod transfer;

pub use limits::Limits;
pub use listing::{NodeOnline, Resource, ResourcePage, Source, UserOnline, WhoPage};
pub use outcome::{
    Enrolled, Event, GetDone, JobDone, JobState, JobsDone, LoggedOut, Outcome, Progress, ShareDone,
    ShareNote, SourceBytes, Stage, Started, Unshared,
};
pub use request::{
    GetRequest, JobRequest, Links, ListRequest, LoginRequest, PageRequest, Password, SearchRequest,
    ShareRequest, SignupRequest, UnshareRequest,
};
pub use status::{
    IndexState, IndexStatus, Share, ShareProblem, ShareState, ShareSummary, SharesPage, SmallBuffers, Status,
};
pub use text::{LocalPath, Moment};
pub(crate) use text::{as_text, content_hex, optional_text};
pub use transfer::{Direction, Transfer, TransferDetail, TransferPeer, TransferState, Transfers};
