//! `signup`: a new account.

use certs::UserName;
use clap::Args;
use wire::ErrorCode;

use super::password::PasswordArgs;
use super::{Console, Failure};
use crate::control::api::SignupRequest;
use crate::control::{ApiError, Client};

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
    let request = SignupRequest { user: args.user, password };
    let enrolled = client.signup(&request).await.map_err(with_the_way_out)?;
    Ok(console.result(&enrolled, |enrolled| {
        vec![format!("signed up as {}; this node is enrolled: {}", enrolled.user, enrolled.node)]
    })?)
}

/// A home that had an account makes no new one: `--forget` is for those that exist.
fn with_the_way_out(error: ApiError) -> ApiError {
    if error.code != ErrorCode::OtherAccount.into() {
        return error;
    }
    error.with_hint(
        "a new account needs a home that had none (--home DIR); for an account that exists: `p2p-node logout` if somebody \
         is logged in, then `p2p-node login USER --forget`",
    )
}
