//! A peer-to-peer file-sharing node: the daemon, its control API and the command line.
//!
//! | concept | file |
//! | --- | --- |
//! | the folder of one node, its files and its lock | `home` |
//! | the configuration file | `config/` |
//! | what a daemon is started with | `options` |
//! | the daemon | `daemon` |
//! | the control API: documents, server, client | `control/` |
//! | the command line, one file a command | `cli/` |
//! | the demonstration | `demo` |

pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod demo;
pub mod home;
pub mod options;
pub mod ranges;
pub mod store;
pub mod transfer;
