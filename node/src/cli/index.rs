//! `index`: the daemon of a network's index node.

use std::net::SocketAddr;

use clap::Args;

use super::args::{FallbackArgs, Global, TransportArgs};
use super::daemon::Given;
use super::{Console, Failure, daemon};
use crate::config::{Config, Signup};
use crate::home::Home;
use crate::options::{DaemonOptions, Role};

const EXAMPLES: &str = "\
Examples:
  p2p-node index                                  on port 4820 of every address
  p2p-node index --listen 192.0.2.1:4820 --signup closed
  p2p-node --home /srv/p2p index

The first start makes a network. Once it answers, it prints one line:
  ready <network-id>@<ip>:<port>
The second word is what a peer needs: p2p-node run --index <network-id>@<ip>:<port>";

/// Run the index node of a network: accounts, who is online, what is shared.
///
/// It runs until `p2p-node stop`, Ctrl-C or SIGTERM. It does everything that a peer does, too.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct IndexArgs {
    /// Where to listen (UDP) [default: 0.0.0.0:4820]
    #[arg(long, value_name = "IP:PORT", env = "P2P_NODE_LISTEN", hide_env_values = true)]
    listen: Option<SocketAddr>,

    /// Whether anybody may make an account [default: open]
    #[arg(long, value_enum, env = "P2P_NODE_SIGNUP", hide_env_values = true)]
    signup: Option<Signup>,

    #[command(flatten)]
    pub(super) transport: TransportArgs,

    #[command(flatten)]
    pub(super) fallback: FallbackArgs,
}

pub(super) async fn run(
    args: IndexArgs,
    global: &Global,
    home: Home,
    console: &mut Console,
) -> Result<(), Failure> {
    let config = daemon::config(global, &home)?;
    daemon::run(options(args, &config, home), &config, global, console).await
}

fn options(args: IndexArgs, config: &Config, home: Home) -> DaemonOptions {
    let IndexArgs { listen, signup, transport, fallback } = args;
    let signup = signup.or(config.signup).unwrap_or_default();
    let role = Role::Index { signup_open: signup == Signup::Open };
    daemon::options(Given { listen, transport, fallback }, role, config, home)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_before_the_file_and_that_before_the_default() {
        let closed = Config { signup: Some(Signup::Closed), ..Config::default() };
        let signup_open = |signup, config: &Config| {
            let home = Home::resolve(Some("/x".as_ref())).expect("a home");
            options(
                IndexArgs {
                    listen: None,
                    signup,
                    transport: TransportArgs::default(),
                    fallback: FallbackArgs::default(),
                },
                config,
                home,
            )
            .role
        };
        let role = |signup_open| Role::Index { signup_open };
        assert_eq!(signup_open(None, &Config::default()), role(true));
        assert_eq!(signup_open(None, &closed), role(false));
        assert_eq!(signup_open(Some(Signup::Open), &closed), role(true));
    }
}
