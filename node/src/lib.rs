//! A peer-to-peer file-sharing node: the daemon, its control API, the command line, and the node as a library.
//!
//! | concept | file |
//! | --- | --- |
//! | the command line, one file a command | `cli/` |
//! | the control API: documents, server, client | `control/` |
//! | the daemon: a node, its home's lock, its socket | `daemon` |
//! | the demonstration | `demo` |
//! | the folder of one node, its files and its lock | `home` |
//! | the configuration file; what a daemon is started with | `config/`, `options` |
//! | a node as a library | `node` |
//! | what its user asks of it: share, get, list, ... | `ops/` |
//! | its identity, the connection to the index, other peers | `peer/` |
//! | moving content | `transfer/` |
//! | what was downloaded stays up to date | `subscription/` |
//! | the time when the index is away: whom to ask, the copy of what all share | `fallback/` |
//! | sockets, QUIC, `hello`, streams | `net/` |
//! | programs that are run when something happened | `hooks/` |
//! | its database, and every touch of users' files | `store/` |
//! | what happened, as the log of activity keeps it | `activity` |
//! | sets of ranges; rates; percents; clocks; tasks; what blocks; buffers; errors of this machine | `ranges`, `rate`, `percents`, `clock`, `tasks`, `off_thread`, `buffers`, `local` |

pub mod activity;
mod buffers;
pub mod cli;
mod clock;
pub mod config;
pub mod control;
pub mod daemon;
pub mod demo;
mod fallback;
pub mod home;
pub mod hooks;
mod kad;
mod local;
mod net;
pub mod node;
mod off_thread;
mod ops;
pub mod options;
mod peer;
mod percents;
pub mod ranges;
pub mod rate;
mod rng;
pub mod store;
mod subscription;
mod tasks;
pub mod transfer;
mod watch;

pub use clock::WallClock;
pub use net::{BindError, OsSockets, Sockets};
pub use node::{Node, NodeOptions, StartError};
pub use peer::CredentialsError;
