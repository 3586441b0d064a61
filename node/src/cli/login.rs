//! `login`: one more node of an account.

use certs::UserName;
use clap::Args;

use super::password::PasswordArgs;
use super::{Console, Failure};
use crate::control::Client;
use crate::control::api::LoginRequest;

const EXAMPLES: &str = "\
Examples:
  p2p-node login alice                            asks for the password
  p2p-node login alice --password-stdin < password.txt
  p2p-node logout && p2p-node login bob --forget  this node was alice's";

/// Enrol this node for an account that exists.
///
/// It is needed once: from then on the node's key logs in.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LoginArgs {
    /// The account's name
    user: UserName,

    #[command(flatten)]
    password: PasswordArgs,

    /// Give up the shares and downloads of the account that was logged in here before (`logout` first); files stay
    #[arg(long)]
    forget: bool,
}

pub(super) async fn run(args: LoginArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    client.reach().await?;
    let password = args.password.read(console)?;
    let request = LoginRequest { user: args.user, password, forget: args.forget };
    let enrolled = client.login(&request).await?;
    Ok(console.result(&enrolled, |enrolled| {
        vec![format!("logged in as {}; this node is enrolled: {}", enrolled.user, enrolled.node)]
    })?)
}
