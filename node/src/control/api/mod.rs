//! The documents of the control API. What `--json` prints are these, field for field.
//!
//! | concept | file |
//! | --- | --- |
//! | what is asked | `request` |
//! | what is answered about the network: listings, who is online | `listing` |
//! | what is answered about this node: status, shares, transfers | `status` |
//! | what operations end with, and their progress | `outcome` |
//! | times, local paths and ids as text | `text` |

mod listing;
mod outcome;
mod request;
mod status;
mod text;

pub use listing::{NodeOnline, Resource, ResourcePage, Source, UserOnline, WhoPage};
pub use outcome::{
    Enrolled, Event, GetDone, JobDone, JobState, LoggedOut, Outcome, Progress, ShareDone, ShareNote,
    SourceBytes, Stage, Unshared,
};
pub use request::{
    GetRequest, JobRequest, Links, ListRequest, LoginRequest, PageRequest, Password, SearchRequest,
    ShareRequest, SignupRequest, UnshareRequest,
};
pub use status::{
    Direction, IndexState, IndexStatus, Share, ShareProblem, ShareState, ShareSummary, SharesPage, Status,
    Transfer, TransferState,
};
pub use text::{LocalPath, Moment};
pub(crate) use text::{as_text, content_hex, optional_text};
