//! How an index does under load, asked over QUIC through the client library.
//!
//!     cargo bench -p p2p-node-tests --bench registry -- [--resources N] [--accounts N] [--peers N] [--writers N]
//!         [--idle N] [--regb PROGRAM] [--only registry,writers,search,list,mixed,idle]
//!
//! `--regb` names a program that measures SQLite alone over as many rows (`PROGRAM FOLDER ROWS`); it runs before, so that
//! both are of one run. Rates are of this machine, both sides of the connection on it: compare ratios.

mod arguments;
mod fleet;
mod idle;
mod names;
mod queries;
mod registrations;
mod report;

use std::process::Command;

use arguments::{Arguments, Part};
use fleet::Fleet;
use p2p_node_tests::Programs;

#[tokio::main]
async fn main() {
    if std::env::args().nth(1).as_deref() == Some(idle::RAW_SERVER) {
        return idle::raw_server().await;
    }
    let arguments = Arguments::parse();
    println!("{arguments:?}");
    if let Some(regb) = &arguments.regb {
        let folder = tempfile::tempdir().expect("a folder");
        let rows = arguments.resources.to_string();
        let status = Command::new(regb).arg(folder.path()).arg(rows).status().expect("regb starts");
        assert!(status.success(), "regb: {status}");
    }
    let mut programs = Programs::start().await;
    let fleet = Fleet::enrol(&programs, arguments.accounts).await;
    report::process("index, accounts only", &programs.index);
    registrations::load(&fleet, &arguments).await;
    report::database(&programs.index);
    report::process("index, loaded", &programs.index);
    for part in &arguments.only {
        match part {
            Part::Registry => {}
            Part::Writers => registrations::writers(&fleet, &arguments).await,
            Part::Search => queries::search(&fleet, &arguments).await,
            Part::List => queries::list(&fleet, &arguments).await,
            Part::Mixed => queries::mixed(&fleet, &arguments).await,
            Part::Idle => idle::measure(&mut programs, &fleet, &arguments).await,
        }
        report::process("index", &programs.index);
    }
}
