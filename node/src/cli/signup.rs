//! `signup`: a new account.

use certs::UserName;
use clap::Args;

use super::password::PasswordArgs;
use super::{Console, Failure};
use crate::control::Client;
use crate::control::api::SignupRequest;

const EXAMPLES: &str = "\
Examples:
  p2p-node signup alice                           asks for a password, twice
  p2p-node signup alice --password-stdin < password.txt";

/// Make an account at the index, and enrol this node for it.
///
/// The password has 8 to 1024 bytes. It is needed to enrol more nodes with `p2p-node login`; this node keeps none.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SignupArgs {
    /// Its name: 1 to 32 characters of a-z, 0-9, '.', '_' and '-', the first a letter or a digit
    user: UserName,

    #[command(flatten)]
    password: PasswordArgs,
}

pub(super) async fn run(args: SignupArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    client.reach().await?;
    let password = args.password.choose(console)?;
    let enrolled = client.signup(&SignupRequest { user: args.user, password }).await?;
    Ok(console.result(&enrolled, |enrolled| {
        vec![format!("signed up as {}; this node is enrolled: {}", enrolled.user, enrolled.node)]
    })?)
}
