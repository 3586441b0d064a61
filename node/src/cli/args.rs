//! The commands, and the options that all of them have.

use std::ffi::OsString;
use std::num::NonZero;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, Parser, Subcommand};

use super::{Console, Exit, Failure, failure};
use super::{
    admin, cancel, config, demo, events, gc, get, id, index, limit, list, login, logout, pause, resume, run,
    search, share, shares, signup, status, stop, subscribe, subscriptions, transfers, unshare, unsubscribe,
    versions, who,
};
use crate::config::{Config, PeerAddress};
use crate::control::ApiError;
use crate::options::{Congestion, FallbackOptions, TransportOptions};

const EXAMPLES: &str = "\
Examples:
  p2p-node index                                  a new network: this machine is its index
  p2p-node run --index <network-id>@<host>:4820   a peer of that network
  p2p-node signup alice                           an account, and this node enrolled for it
  p2p-node share ~/film.mkv
  p2p-node search film
  p2p-node get bob/film.mkv

Exit codes:
  0 done   1 failed   2 usage   3 not found   4 not allowed
  5 index or holder unreachable   6 no daemon   7 download paused";

/// Shares files between peers, directly and from all who have them at once.
///
/// One daemon runs on each machine: `p2p-node index` on one machine of a network, `p2p-node run` on all others. The
/// other commands talk to the daemon of this machine.
#[derive(Debug, Parser)]
#[command(name = "p2p-node", version, after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// The folder of this node: keys, configuration, databases, downloads
    ///
    /// Without it `p2p-node` in the user's data folder, as in ~/.local/share/p2p-node.
    #[arg(long, global = true, value_name = "DIR", env = "P2P_NODE_HOME", hide_env_values = true)]
    pub(super) home: Option<PathBuf>,

    /// The configuration file, instead of config.toml in the home
    #[arg(long, global = true, value_name = "FILE", env = "P2P_NODE_CONFIG", hide_env_values = true)]
    pub(super) config: Option<PathBuf>,

    /// Print one JSON document, also where the command fails
    #[arg(long, global = true)]
    pub(super) json: bool,

    /// Log more; more often for more
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(super) verbose: u8,

    /// Print the result and errors alone
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
}

/// What `index` and `run` take about their connections.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct TransportArgs {
    /// How much is sent at once on a path [default: adaptive]
    #[arg(long, value_enum, env = "P2P_NODE_CONGESTION", hide_env_values = true)]
    pub(super) congestion: Option<Congestion>,

    /// The largest UDP payload that is sent, in bytes, from 1200 to 65000, where the route takes it [default: 65000]
    #[arg(long, value_name = "BYTES", env = "P2P_NODE_MTU", hide_env_values = true,
        value_parser = clap::value_parser!(u16).range(1200..=65_000))]
    pub(super) mtu: Option<u16>,

    /// Threads that drive connections, from 1 to 64 [default: of a peer a quarter of the cores, of an index all]
    ///
    /// One moves a file fastest, since nothing is handed from thread to thread; more serve more nodes at once. Hashing and
    /// disks have threads of their own.
    #[arg(long, value_name = "NUMBER", env = "P2P_NODE_THREADS", hide_env_values = true,
        value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(super) threads: Option<u8>,
}

impl TransportArgs {
    /// How many threads drive connections, where nothing says so `default`.
    pub(super) fn threads(self, config: &Config, default: NonZero<usize>) -> usize {
        self.threads.or(config.transport.threads).map_or(default.get(), usize::from)
    }

    pub(super) fn options(self, config: &Config) -> TransportOptions {
        let file = config.transport.options();
        TransportOptions {
            congestion: self.congestion.unwrap_or(file.congestion),
            mtu: self.mtu.unwrap_or(file.mtu),
            ..file
        }
    }
}

/// What `index` and `run` take about the time when the index is away.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct FallbackArgs {
    /// Keep a copy of what all members share, and go on from it while the index is away [default]
    #[arg(long, overrides_with = "no_dht")]
    dht: bool,

    /// Do without that: while the index is away nothing can be listed, shared or begun
    #[arg(long, overrides_with = "dht")]
    no_dht: bool,

    /// A member that is known beforehand, for a start while the index is away; may be given several times
    #[arg(
        long = "peer",
        value_name = "[NODE-ID@]HOST:PORT",
        env = "P2P_NODE_PEER",
        hide_env_values = true,
        value_delimiter = ','
    )]
    peers: Vec<PeerAddress>,
}

impl FallbackArgs {
    /// Whether it is wanted, where a flag says so.
    pub(super) fn enabled(&self) -> Option<bool> {
        (self.dht || self.no_dht).then_some(!self.no_dht)
    }

    /// The known members, where flags name some.
    pub(super) fn peers(&self) -> Option<Vec<PeerAddress>> {
        (!self.peers.is_empty()).then(|| self.peers.clone())
    }

    pub(super) fn options(self, config: &Config) -> FallbackOptions {
        let default = FallbackOptions::default();
        FallbackOptions {
            enabled: self.enabled().or(config.dht.enabled).unwrap_or(default.enabled),
            peers: self.peers().or_else(|| config.peers.clone()).unwrap_or(default.peers),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Index(index::IndexArgs),
    Run(run::RunArgs),
    Stop(stop::StopArgs),
    Id(id::IdArgs),
    Status(status::StatusArgs),
    Signup(signup::SignupArgs),
    Login(login::LoginArgs),
    Logout(logout::LogoutArgs),
    Who(who::WhoArgs),
    Share(share::ShareArgs),
    Shares(shares::SharesArgs),
    Unshare(unshare::UnshareArgs),
    List(list::ListArgs),
    Search(search::SearchArgs),
    Versions(versions::VersionsArgs),
    Get(get::GetArgs),
    Subscribe(subscribe::SubscribeArgs),
    Subscriptions(subscriptions::SubscriptionsArgs),
    Unsubscribe(unsubscribe::UnsubscribeArgs),
    Transfers(transfers::TransfersArgs),
    Pause(pause::PauseArgs),
    Resume(resume::ResumeArgs),
    Cancel(cancel::CancelArgs),
    Events(events::EventsArgs),
    Gc(gc::GcArgs),
    Limit(limit::LimitArgs),
    Config(config::ConfigArgs),
    Admin(admin::AdminArgs),
    Demo(demo::DemoArgs),
}

/// Reads the arguments; what is no command (help, a mistake) is answered at once.
pub(super) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    console: &mut Console,
) -> Result<Cli, Exit> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let options = arguments.iter().take_while(|argument| *argument != "--");
    let json = options.clone().any(|argument| argument == "--json");
    match Cli::try_parse_from(&arguments) {
        Ok(cli) => {
            console.configure(cli.global.json, cli.global.quiet);
            Ok(cli)
        }
        Err(error) => {
            console.configure(json, false);
            Err(failure::report(answer(&error, console), console))
        }
    }
}

fn answer(error: &clap::Error, console: &mut Console) -> Result<(), Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(console.help(&error.render())?),
        _ if console.json() => Err(usage(error).into()),
        _ => {
            console.mistake(&error.render());
            Err(Failure::Reported(Exit::Usage))
        }
    }
}

/// A mistake in the arguments as one document: clap's first paragraph.
fn usage(error: &clap::Error) -> ApiError {
    let text = error.render().to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    let message = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "no command was given".to_owned(),
        _ => words.join(" ").trim_start_matches("error: ").to_owned(),
    };
    ApiError::usage(message).with_hint("`p2p-node help COMMAND` shows how it is used")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn of_two_flags_about_the_fallback_the_last_counts() {
        let parsed = |flags: &[&str]| {
            let arguments = ["p2p-node", "run"].iter().chain(flags);
            let Command::Run(run) = Cli::try_parse_from(arguments).expect("good").command else {
                panic!("another command")
            };
            run.fallback.options(&Config::default())
        };
        assert_eq!(parsed(&[]), FallbackOptions::default());
        assert!(!parsed(&["--no-dht"]).enabled && !parsed(&["--dht", "--no-dht"]).enabled);
        assert!(parsed(&["--no-dht", "--dht"]).enabled);
        let peers = parsed(&["--peer", "10.0.0.7:1,10.0.0.8:1", "--peer", "peer.example:2"]).peers;
        assert_eq!(peers.len(), 3);
    }

    #[test]
    fn every_command_has_its_help_and_examples() {
        let mut cli = Cli::command();
        cli.build();
        let names = [
            "index",
            "run",
            "stop",
            "id",
            "status",
            "signup",
            "login",
            "logout",
            "who",
            "share",
            "shares",
            "unshare",
            "list",
            "search",
            "versions",
            "get",
            "subscribe",
            "subscriptions",
            "unsubscribe",
            "transfers",
            "pause",
            "resume",
            "cancel",
            "events",
            "gc",
            "limit",
            "config",
            "admin",
            "demo",
        ];
        for name in names {
            let command = cli.find_subcommand_mut(name).expect(name);
            assert!(command.get_about().is_some(), "{name} says what it does");
            let help = command.render_long_help().to_string();
            let examples = help.split("Examples:\n").nth(1).expect(name);
            assert!(examples.contains(&format!("p2p-node {name}")), "{name}");
            for option in ["--home", "--config", "--json", "--verbose", "--quiet"] {
                assert!(help.contains(option), "{name} {option}");
            }
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{name} {}", argument.get_id());
            }
        }
        assert_eq!(cli.get_subcommands().filter(|command| command.get_name() != "help").count(), names.len());
    }
}
