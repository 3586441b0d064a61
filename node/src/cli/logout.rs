//! `logout`: this node is nobody's.

use clap::Args;

use super::{Console, Failure};
use crate::control::Client;

const EXAMPLES: &str = "\
Examples:
  p2p-node logout
  p2p-node login alice                            the same account again: what it shares is served again
  p2p-node logout && p2p-node login bob --forget  another account: alice's shares and downloads are given up";

/// End this node's enrolment.
///
/// Files, shares and downloads stay. Shares are served again once the same account has logged in here; downloads stay
/// paused until their `get` is repeated.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LogoutArgs {}

pub(super) async fn run(client: &Client, console: &mut Console) -> Result<(), Failure> {
    let logged_out = client.logout(&()).await?;
    Ok(console.result(&logged_out, |logged_out| vec![format!("logged out: {}", logged_out.user)])?)
}
