//! The control API: how the command line, or any local program, tells the daemon what to do.
//!
//! HTTP on a Unix socket that only its owner may open; each operation is `POST /v1/<operation>` with a JSON body.
//!
//! | concept | file |
//! | --- | --- |
//! | requests and answers, which `--json` prints | `api/` |
//! | errors and their codes | `error`, `code` |
//! | what the daemon implements | `backend` |
//! | the daemon's side | `server` |
//! | the side of whoever asks | `client` |
//! | where the socket is, and who may open it | `socket` |

pub mod api;
pub mod backend;
pub mod client;
mod code;
pub mod error;
pub mod server;
pub mod socket;

pub use backend::{Backend, EVENTS_QUEUED, Events, Lines};
pub use client::{Client, Following, Listed};
pub use code::{Code, LocalCode};
pub use error::{ApiError, ApiResult};
