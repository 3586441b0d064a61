//! The command line against a daemon whose operations are a fake: arguments, control API, documents, exit codes.

mod admin;
mod commands;
mod daemon;
mod demo;
mod fake;
mod interrupts;
mod lists;
mod process;
mod refusals;
mod server;
mod versions;
