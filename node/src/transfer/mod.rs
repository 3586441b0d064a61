//! Moving content: what a holder serves, and how a download is run.
//!
//! | concept | file |
//! | --- | --- |
//! | which record is believed | `verify` |
//! | P and G as a holder | `holder`, from what: `stock`, `parts`; turns for disks that may hang: `disks` |
//! | a holder as a requester sees it: P, root, pages | `source` |
//! | which holder is asked for what (pure) | `schedule/` |
//! | holders being connected | `opening` |
//! | whose manifest is fetched; how long its pages may take | `manifest`; `pages` |
//! | what the index lists of a resource | `latest` |
//! | finding holders | `finder`, how often: `pace`, whom not: `known` |
//! | how fast, and how many uploads at once | `limits/`, `uploads` |
//! | driving the scheduler | `swarm`, what partial holders have by now: `refresh` |
//! | one request on one stream: read, verify, write | `fetch`, how much at once: `batch` |
//! | what of a content is wanted, what need not come | `goal` |
//! | what of it lies on this machine, and is copied | `reuse/` |
//! | the hashes of whole files | `whole` |
//! | one download from record to installed file | `download` |
//! | all downloads: start, attach, pause, cancel, resume | `jobs` |
//! | what this node gives to others | `uploads` |
//! | for those who watch a transfer: its nodes, its files, how fast it is and how long it takes | `peers`, `files`, `speed` |

mod batch;
mod coming;
pub(crate) mod disks;
mod download;
pub(crate) mod encoding;
mod fetch;
mod files;
mod finder;
mod front;
mod goal;
pub(crate) mod holder;
mod jobs;
mod known;
mod latest;
mod limits;
mod manifest;
mod opening;
mod outcome;
mod pace;
mod pages;
mod parts;
mod peers;
mod pieces;
mod refresh;
mod reuse;
pub mod schedule;
mod source;
mod speed;
mod stock;
mod swarm;
pub(crate) mod uploads;
mod verify;
mod whole;

pub(crate) use download::Download;
pub(crate) use fetch::batches_stock;
pub(crate) use jobs::{JobControl, JobView, Jobs};
pub(crate) use latest::{Latest, latest, locate};
pub(crate) use limits::TransferLimits;
pub(crate) use outcome::{Finished, JobError};
pub(crate) use parts::PartialHoldings;
pub(crate) use peers::peer;
pub(crate) use pieces::pieces_stock;
pub(crate) use reuse::held_root;
pub(crate) use speed::eta_ms;
pub(crate) use uploads::UploadView;
pub(crate) use verify::{VerifiedRecord, verify_bundle, verify_off_thread};
pub(crate) use whole::HashError;
