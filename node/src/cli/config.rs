//! `config`: the settings in effect, and where each comes from.

use std::ffi::OsStr;
use std::net::SocketAddr;

use clap::Args;
use serde::Serialize;

use super::args::{FallbackArgs, Global, TransportArgs};
use super::table::{Column, Table};
use super::{Console, Failure, daemon, logging};
use crate::config::{Config, IndexAddress, PeerAddress, Signup, Transport};
use crate::home::Home;
use crate::hooks::TimeLimit;
use crate::options::{
    DaemonOptions, FallbackOptions, KeepVersions, LimitOptions, TransportOptions, UpdateOptions,
};

const EXAMPLES: &str = "\
Examples:
  p2p-node config
  p2p-node config --json | jq -r '.settings[] | select(.from != \"default\") | .key'
  P2P_NODE_LISTEN=0.0.0.0:4821 p2p-node config    what a daemon would do that is started so

A flag goes before its environment variable, that before config.toml, that before the default.";

/// Show the settings with which a daemon would start here, and where each comes from.
///
/// It reads the same flags, variables and files as `run` and `index`; no daemon is needed, and one that runs keeps what
/// it was started with.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConfigArgs {
    /// As for `run` and `index`
    #[arg(long, value_name = "IP:PORT", env = "P2P_NODE_LISTEN", hide_env_values = true)]
    listen: Option<SocketAddr>,

    /// As for `run`
    #[arg(long, value_name = "NETWORK-ID@HOST:PORT", env = "P2P_NODE_INDEX", hide_env_values = true)]
    index: Option<IndexAddress>,

    /// As for `index`
    #[arg(long, value_enum, env = "P2P_NODE_SIGNUP", hide_env_values = true)]
    signup: Option<Signup>,

    #[command(flatten)]
    transport: TransportArgs,

    #[command(flatten)]
    fallback: FallbackArgs,
}

/// Where a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum From {
    Flag,
    Environment,
    File,
    Default,
}

/// One setting; `value` is null where there is none.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Setting {
    key: &'static str,
    value: Option<String>,
    from: From,
}

#[derive(Debug, Serialize)]
struct Settings {
    settings: Vec<Setting>,
}

pub(super) fn run(
    args: ConfigArgs,
    global: &Global,
    home: &Home,
    console: &mut Console,
) -> Result<(), Failure> {
    let config = daemon::config(global, home)?;
    let is_set = |variable: &str| std::env::var_os(variable).is_some_and(|value| value != OsStr::new(""));
    let settings = settings(args, global, home, &config, is_set);
    Ok(console.result(&settings, lines)?)
}

fn settings(
    args: ConfigArgs,
    global: &Global,
    home: &Home,
    config: &Config,
    is_set: impl Fn(&str) -> bool,
) -> Settings {
    let weigh = Weigh { is_set };
    let path = |path: std::path::PathBuf| path.display().to_string();
    let listen = if home.is_index() { DaemonOptions::INDEX_LISTEN.to_string() } else { "[::]:0".to_owned() };
    let log = match logging::daemon_flag(global) {
        Some(filter) => Setting { key: "log", value: Some(filter.to_owned()), from: From::Flag },
        None => {
            let default = Some(logging::DAEMON_DEFAULT.to_owned());
            weigh.of("log", logging::VARIABLE, logging::variable(), config.log.clone(), default)
        }
    };
    let home_given = global.home.as_ref().map(|_| path(home.path().to_owned()));
    let (given, file) = (global.config.clone().map(path), Some(path(home.config())));
    let (peers, in_file) = (args.fallback.peers().map(list), config.peers.clone().map(list));
    let (dht, dht_in_file) = (text(args.fallback.enabled()), text(config.dht.enabled));
    let (signup, open) = (text(args.signup), text(Some(Signup::default())));
    let mut settings = vec![
        weigh.of("home", "P2P_NODE_HOME", home_given, None, Some(path(home.path().to_owned()))),
        weigh.of("config", "P2P_NODE_CONFIG", given, None, file),
        weigh.of("index", "P2P_NODE_INDEX", text(args.index), text(config.index.clone()), None),
        weigh.of("listen", "P2P_NODE_LISTEN", text(args.listen), text(config.listen), Some(listen)),
        weigh.of("signup", "P2P_NODE_SIGNUP", signup, text(config.signup), open),
        log,
        weigh.in_file("watch", text(config.watch), false),
        weigh.in_file("keep", text(config.keep), KeepVersions::default()),
        weigh.in_file("hook_timeout_s", text(config.hook_timeout_s), TimeLimit::default()),
        weigh.of("peers", "P2P_NODE_PEER", peers, in_file, None),
        weigh.of("dht.enabled", "", dht, dht_in_file, text(Some(FallbackOptions::default().enabled))),
    ];
    settings.extend(transport(&args.transport, &config.transport, home.is_index(), &weigh));
    settings
        .extend(table("limits.", config.limits.values().into_iter().zip(LimitOptions::default().values())));
    settings.extend(table(
        "updates.",
        config.updates.values().into_iter().zip(UpdateOptions::default().values()),
    ));
    Settings { settings }
}

/// Says of a setting what holds, and where that comes from.
struct Weigh<F> {
    /// Whether an environment variable is set.
    is_set: F,
}

impl<F: Fn(&str) -> bool> Weigh<F> {
    /// `given`: by a flag, or by this variable.
    fn of(
        &self,
        key: &'static str,
        variable: &str,
        given: Option<String>,
        file: Option<String>,
        default: Option<String>,
    ) -> Setting {
        let from = match (&given, &file) {
            (Some(_), _) if (self.is_set)(variable) => From::Environment,
            (Some(_), _) => From::Flag,
            (None, Some(_)) => From::File,
            (None, None) => From::Default,
        };
        Setting { key, value: given.or(file).or(default), from }
    }

    /// Of one that stands in the file alone.
    fn in_file(&self, key: &'static str, file: Option<String>, default: impl ToString) -> Setting {
        self.of(key, "", None, file, Some(default.to_string()))
    }
}

fn transport(
    args: &TransportArgs,
    file: &Transport,
    is_index: bool,
    weigh: &Weigh<impl Fn(&str) -> bool>,
) -> Vec<Setting> {
    let default = TransportOptions::default();
    let threads = if is_index { super::cores() } else { super::peer_threads() };
    let (congestion, stream_mib, buffer_mib) =
        (text(Some(default.congestion)), text(file.stream_window_mib), text(file.socket_buffer_mib));
    vec![
        weigh.of(
            "transport.congestion",
            "P2P_NODE_CONGESTION",
            text(args.congestion),
            text(file.congestion),
            congestion,
        ),
        weigh.in_file("transport.stream_window_mib", stream_mib, default.stream_window_mib),
        weigh.in_file("transport.socket_buffer_mib", buffer_mib, default.socket_buffer_mib),
        weigh.of("transport.mtu", "P2P_NODE_MTU", text(args.mtu), text(file.mtu), text(Some(default.mtu))),
        weigh.of(
            "transport.threads",
            "P2P_NODE_THREADS",
            text(args.threads),
            text(file.threads),
            text(Some(threads)),
        ),
    ]
}

/// A table that stands in the file alone: of each key what that says, and what holds without it.
fn table(
    prefix: &str,
    values: impl Iterator<Item = (Option<String>, String)>,
) -> impl Iterator<Item = Setting> {
    let keys = Config::KEYS.iter().filter(move |key| key.starts_with(prefix));
    keys.zip(values).map(|(&key, (file, default))| {
        let from = if file.is_some() { From::File } else { From::Default };
        Setting { key, value: Some(file.unwrap_or(default)), from }
    })
}

fn list(peers: Vec<PeerAddress>) -> String {
    peers.iter().map(PeerAddress::to_string).collect::<Vec<_>>().join(", ")
}

fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

const COLUMNS: &[Column] = &[Column::Left("KEY"), Column::Left("FROM"), Column::Left("VALUE")];

fn lines(settings: &Settings) -> Vec<String> {
    Table::new(COLUMNS).lines(settings.settings.iter().map(|setting| {
        let from = match setting.from {
            From::Flag => "flag",
            From::Environment => "environment",
            From::File => "file",
            From::Default => "default",
        };
        let value = setting.value.clone().unwrap_or_else(|| "(none)".to_owned());
        vec![setting.key.to_owned(), from.to_owned(), value]
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_where_it_comes_from() {
        let home = Home::resolve(Some("/nowhere/home".as_ref())).expect("a home");
        let global = Global {
            home: Some("/nowhere/home".into()),
            config: None,
            json: false,
            verbose: 0,
            quiet: false,
        };
        let args = ConfigArgs {
            listen: "127.0.0.1:1".parse().ok(),
            index: None,
            signup: Some(Signup::Closed),
            transport: TransportArgs::default(),
            fallback: FallbackArgs::default(),
        };
        let config = Config {
            listen: "127.0.0.1:2".parse().ok(),
            log: Some("debug".to_owned()),
            watch: Some(true),
            limits: "download=10MB".parse().expect("a limit"),
            ..Config::default()
        };
        let found =
            settings(args, &global, &home, &config, |variable| variable == "P2P_NODE_SIGNUP").settings;
        let of =
            |key| found.iter().find(|setting| setting.key == key).map(|one| (one.value.as_deref(), one.from));
        assert_eq!(of("home"), Some((Some("/nowhere/home"), From::Flag)));
        assert_eq!(of("config"), Some((Some("/nowhere/home/config.toml"), From::Default)));
        assert_eq!(of("index"), Some((None, From::Default)));
        assert_eq!(of("listen"), Some((Some("127.0.0.1:1"), From::Flag)));
        assert_eq!(of("signup"), Some((Some("closed"), From::Environment)));
        assert_eq!(of("log"), Some((Some("debug"), From::File)));
        assert_eq!(of("watch"), Some((Some("true"), From::File)));
        assert_eq!(of("peers"), Some((None, From::Default)));
        assert_eq!(of("dht.enabled"), Some((Some("true"), From::Default)));
        assert_eq!(of("limits.upload"), Some((Some("none"), From::Default)));
        assert_eq!(of("limits.download"), Some((Some("10MB/s"), From::File)));
        assert_eq!(of("limits.upload_slots"), Some((Some("256"), From::Default)));
        for key in Config::KEYS {
            assert!(of(key).is_some(), "{key}");
        }
    }
}
