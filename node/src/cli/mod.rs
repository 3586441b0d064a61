//! The command line.
//!
//! | concept | file |
//! | --- | --- |
//! | the commands and the options that all of them have | `args` |
//! | each command, its arguments and examples | the file of its name |
//! | how a command ends: exit codes, error output | `exit`, `failure` |
//! | what it writes to and reads from | `console` |
//! | text of peers on a terminal | `sanitize` |
//! | lists that come page by page | `pages`, `table` |
//! | waiting for a long operation, Ctrl-C; for downloads, one or several | `follow`; `several` |
//! | how far they are: as text, on a terminal, as documents | `board`, `progress`, `screen`, `documents` |
//! | an event of the log of activity as a sentence | `sentence` |
//! | `OWNER/NAME`, the number of a download | `resource` |
//! | what `index` and `run` share | `daemon` |

mod admin;
mod args;
mod board;
mod cancel;
mod config;
mod console;
mod daemon;
mod demo;
mod documents;
mod events;
mod exit;
mod failure;
mod follow;
mod gc;
mod get;
mod id;
mod index;
mod limit;
mod list;
mod logging;
mod login;
mod logout;
mod pages;
mod password;
mod pause;
mod progress;
mod resource;
mod resume;
mod run;
mod sanitize;
mod screen;
mod search;
mod sentence;
mod several;
mod share;
mod shares;
mod signup;
mod status;
mod stop;
mod subscribe;
mod subscriptions;
mod table;
mod transfers;
mod unshare;
mod unsubscribe;
mod versions;
mod who;

use std::ffi::OsString;
use std::num::NonZero;
use std::process::ExitCode;

use args::{Cli, Command};
pub use console::{Console, Interrupt, Terminals};
pub use exit::Exit;
use failure::Failure;

use crate::config::Config;
use crate::control::{ApiError, Client};
use crate::home::Home;

/// The whole program: arguments, streams and signals of this process.
pub fn main() -> ExitCode {
    let mut console = Console::system();
    let exit = match args::parse(std::env::args_os(), &mut console) {
        Ok(cli) => match runtime(&cli) {
            Ok(runtime) => {
                let exit = runtime.block_on(execute(cli, &mut console));
                // What a daemon left in the blocking pool must not hold the process.
                runtime.shutdown_background();
                exit
            }
            Err(error) => failure::report(Err(error.into()), &mut console),
        },
        Err(exit) => exit,
    };
    exit.into()
}

/// One command on given streams, inside a runtime: what tests and other programs call. The arguments begin with the
/// program's name.
pub async fn run(arguments: impl IntoIterator<Item = OsString>, console: &mut Console) -> Exit {
    match args::parse(arguments, console) {
        Ok(cli) => execute(cli, console).await,
        Err(exit) => exit,
    }
}

/// What drives connections. A command needs one thread, and starts quicker so.
fn runtime(cli: &Cli) -> Result<tokio::runtime::Runtime, ApiError> {
    let threads = match &cli.command {
        Command::Index(args) => Some(args.transport.threads(&daemon_config(cli), cores())),
        Command::Run(args) => Some(args.transport.threads(&daemon_config(cli), peer_threads())),
        Command::Demo(_) => Some(cores().get()),
        _ => None,
    };
    let mut builder = match threads {
        Some(threads) => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
        None => tokio::runtime::Builder::new_current_thread(),
    };
    builder.enable_all().build().map_err(|error| ApiError::io("start", &error))
}

/// A daemon's configuration; what is wrong with it the daemon says itself.
fn daemon_config(cli: &Cli) -> Config {
    let home = Home::resolve(cli.global.home.as_deref()).ok();
    home.and_then(|home| daemon::config(&cli.global, &home).ok()).unwrap_or_default()
}

fn cores() -> NonZero<usize> {
    std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)
}

/// A quarter of the cores, at least one: on two cores one thread moves a file a quarter to a third faster than two.
fn peer_threads() -> NonZero<usize> {
    NonZero::new(cores().get() / 4).unwrap_or(NonZero::<usize>::MIN)
}

async fn execute(cli: Cli, console: &mut Console) -> Exit {
    let result = dispatch(cli, console).await;
    failure::report(result, console)
}

async fn dispatch(cli: Cli, console: &mut Console) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    let home = Home::resolve(global.home.as_deref()).map_err(ApiError::from)?;
    match command {
        Command::Index(args) => return index::run(args, &global, home, console).await,
        Command::Run(args) => return run::run(args, &global, home, console).await,
        Command::Demo(args) => return demo::run(args, &global, console).await,
        _ => logging::start_command(&global, console)?,
    }
    let client = Client::new(home);
    match command {
        Command::Admin(args) => admin::run(args, &client, console).await,
        Command::Stop(_) => stop::run(&client, console).await,
        Command::Id(_) => id::run(&global, client.home(), console),
        Command::Config(args) => config::run(args, &global, client.home(), console),
        Command::Status(_) => status::run(&client, console).await,
        Command::Signup(args) => signup::run(args, &client, console).await,
        Command::Login(args) => login::run(args, &client, console).await,
        Command::Logout(_) => logout::run(&client, console).await,
        Command::Who(_) => who::run(&client, console).await,
        Command::Share(args) => share::run(args, &client, console).await,
        Command::Shares(_) => shares::run(&client, console).await,
        Command::Unshare(args) => unshare::run(args, &client, console).await,
        Command::List(args) => list::run(args, &client, console).await,
        Command::Search(args) => search::run(args, &client, console).await,
        Command::Versions(args) => versions::run(args, &client, console).await,
        Command::Get(args) => get::run(args, &client, console).await,
        Command::Subscribe(args) => subscribe::run(args, &client, console).await,
        Command::Subscriptions(args) => subscriptions::run(args, &client, console).await,
        Command::Unsubscribe(args) => unsubscribe::run(args, &client, console).await,
        Command::Events(args) => events::run(args, &client, console).await,
        Command::Gc(args) => gc::run(args, &client, console).await,
        Command::Transfers(args) => transfers::run(args, &client, console).await,
        Command::Pause(args) => pause::run(args, &client, console).await,
        Command::Resume(args) => resume::run(args, &client, console).await,
        Command::Cancel(args) => cancel::run(args, &client, console).await,
        Command::Limit(args) => limit::run(args, &client, console).await,
        Command::Index(_) | Command::Run(_) | Command::Demo(_) => unreachable!("returned above"),
    }
}
