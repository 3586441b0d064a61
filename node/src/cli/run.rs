//! `run`: the daemon of a peer.

use std::net::SocketAddr;

use clap::Args;

use super::args::{FallbackArgs, Global, TransportArgs};
use super::daemon::Given;
use super::{Console, Failure, daemon};
use crate::config::{Config, IndexAddress};
use crate::home::Home;
use crate::options::{DaemonOptions, Role};

const EXAMPLES: &str = "\
Examples:
  p2p-node run --index <network-id>@index.example:4820
  p2p-node run                                    with the index from config.toml
  p2p-node run --listen 0.0.0.0:4821
  p2p-node run --peer 192.0.2.7:4821              while the index is away, for a node that knows nobody yet

A config.toml in the home with this line alone is enough:
  index = \"<network-id>@index.example:4820\"
Once it answers, it prints one line:
  ready <node-id>@<ip>:<port>";

/// Run this machine's peer.
///
/// It runs until `p2p-node stop`, Ctrl-C or SIGTERM, and starts also while the index is away.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArgs {
    /// Where to listen (UDP) [default: the port of last time, or a free one]
    #[arg(long, value_name = "IP:PORT", env = "P2P_NODE_LISTEN", hide_env_values = true)]
    listen: Option<SocketAddr>,

    /// The network, and where its index is: what `p2p-node index` printed
    #[arg(long, value_name = "NETWORK-ID@HOST:PORT", env = "P2P_NODE_INDEX", hide_env_values = true)]
    index: Option<IndexAddress>,

    #[command(flatten)]
    pub(super) transport: TransportArgs,

    #[command(flatten)]
    pub(super) fallback: FallbackArgs,
}

pub(super) async fn run(
    args: RunArgs,
    global: &Global,
    home: Home,
    console: &mut Console,
) -> Result<(), Failure> {
    let config = daemon::config(global, &home)?;
    daemon::run(options(args, &config, home), &config, global, console).await
}

fn options(args: RunArgs, config: &Config, home: Home) -> DaemonOptions {
    let RunArgs { listen, index, transport, fallback } = args;
    let role = Role::Peer { index: index.or_else(|| config.index.clone()) };
    daemon::options(Given { listen, transport, fallback }, role, config, home)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Dht;
    use crate::options::{Congestion, FallbackOptions, LimitOptions, TransportOptions, UpdateOptions};

    #[test]
    fn a_file_with_the_index_alone_is_enough_and_flags_go_before_it() {
        let at = |host: &str| IndexAddress {
            network: certs::SecretKey::from_seed([1; 32]).public(),
            host: host.to_owned(),
            port: 4820,
        };
        let limits = "upload=10MB".parse().expect("a limit");
        let dht = Dht { enabled: Some(false) };
        let keep = 3.try_into().expect("few");
        let config = Config {
            index: Some(at("file")),
            limits,
            watch: Some(true),
            keep: Some(keep),
            dht,
            ..Config::default()
        };
        let limits = LimitOptions::default().with(&limits);
        let home = || Home::resolve(Some("/x".as_ref())).expect("a home");
        let transport = TransportArgs::default();
        let found = options(
            RunArgs { listen: None, index: None, transport, fallback: FallbackArgs::default() },
            &config,
            home(),
        );
        let role = Role::Peer { index: Some(at("file")) };
        let transport = TransportOptions::default();
        let hook_timeout = crate::hooks::TimeLimit::default();
        let fallback = FallbackOptions { enabled: false, peers: Vec::new() };
        let watched = DaemonOptions {
            home: home(),
            listen: None,
            role,
            transport,
            limits,
            updates: UpdateOptions::default(),
            watch: true,
            keep,
            hook_timeout,
            fallback,
        };
        assert_eq!(found, watched);
        let listen = "127.0.0.1:1".parse().ok();
        let transport = TransportArgs { congestion: Some(Congestion::Bbr), mtu: None, threads: None };
        let found = options(
            RunArgs { listen, index: Some(at("flag")), transport, fallback: FallbackArgs::default() },
            &config,
            home(),
        );
        let role = Role::Peer { index: Some(at("flag")) };
        let transport = TransportOptions { congestion: Congestion::Bbr, ..TransportOptions::default() };
        assert_eq!(found, DaemonOptions { listen, role, transport, ..watched });
    }
}
