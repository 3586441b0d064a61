//! `admin`: what the operator of an index does, on its machine.

use std::path::{Path, PathBuf};

use certs::UserName;
use clap::{Args, Subcommand};

use super::password::PasswordArgs;
use super::{Console, Failure};
use crate::clock;
use crate::control::api::{Certified, PasswdRequest, RecoveryStatus};
use crate::control::{ApiError, Client, LocalCode};
use crate::home::{Home, HomeError};
use crate::peer::{Certify, CertifyError};

const EXAMPLES: &str = "\
Examples:
  p2p-node admin recovery status                  after a loss of index.db: what is back
  p2p-node admin recovery finish
  p2p-node admin passwd alice                     asks for a password, twice
  p2p-node admin certify                          the index certificate for ten more years
  p2p-node admin certify --root network.key       this home takes over from the index

These work on the machine of the index alone.";

/// Do what the operator of an index does, on its machine.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AdminArgs {
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    Recovery(RecoveryArgs),
    Passwd(PasswdArgs),
    Certify(CertifyArgs),
}

/// After a loss of index.db: show what came back, or say that it is enough.
///
/// An index that is started with its keys but without its database is recovering. The nodes of its members bring accounts and
/// records back as they connect. Until the recovery is ended nobody makes an account, so that no name goes to another than its
/// owner, and nobody logs in by password but where `admin passwd` has set one.
#[derive(Debug, Args)]
struct RecoveryArgs {
    #[command(subcommand)]
    command: RecoveryCommand,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum RecoveryCommand {
    /// Show whether the index recovers, and what is back
    Status,
    /// End the recovery, without a restart: who has not come back by now may lose the account's name
    Finish,
}

/// Give an account another password.
///
/// The password has 8 to 1024 bytes. The account's nodes stay logged in.
#[derive(Debug, Args)]
struct PasswdArgs {
    /// The account's name
    user: UserName,

    #[command(flatten)]
    password: PasswordArgs,
}

/// Make a new index certificate for this home, in place of the one before.
///
/// It is signed with the network's root key, and its number is higher than those before, so that all peers go by it as soon
/// as they see it, and refuse the index of before. No daemon may run on the home meanwhile. To move an index: copy index.db
/// into a new home on the new machine (without it the new index recovers), certify it there with --root, start it, and give the
/// peers its address.
#[derive(Debug, Args)]
struct CertifyArgs {
    /// The root key [default: network.key in the home]; with it a home that is no index's becomes one
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,

    /// What the indexes of before sign from now on is void: their key is in wrong hands
    #[arg(long)]
    void_older: bool,
}

pub(super) async fn run(args: AdminArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    match args.command {
        AdminCommand::Recovery(args) => {
            check_home(client.home())?;
            let status = match args.command {
                RecoveryCommand::Status => client.recovery(&()).await,
                RecoveryCommand::Finish => client.finish_recovery(&()).await,
            };
            Ok(console.result(&status.map_err(start_index)?, recovery)?)
        }
        AdminCommand::Passwd(args) => {
            check_home(client.home())?;
            client.reach().await.map_err(start_index)?;
            let password = args.password.choose(console)?;
            let done = client.passwd(&PasswdRequest { user: args.user, password }).await?;
            Ok(console.result(&done, |done| vec![format!("{} has this password now", done.user)])?)
        }
        AdminCommand::Certify(args) => {
            let certified = certify(client.home(), &args)?;
            Ok(console.result(&certified, certificate)?)
        }
    }
}

/// Whether a home is an index's: before anything is asked, and where no daemon runs.
fn check_home(home: &Home) -> Result<(), ApiError> {
    match home.is_index() {
        true => Ok(()),
        false => Err(not_the_index(home.path())),
    }
}

fn not_the_index(home: &Path) -> ApiError {
    ApiError::new(LocalCode::NotTheIndex, format!("{} is no index's home", home.display()))
}

fn start_index(error: ApiError) -> ApiError {
    match error.code == LocalCode::NoDaemon.into() {
        true => error.with_hint("start it with `p2p-node index`"),
        false => error,
    }
}

fn recovery(status: &RecoveryStatus) -> Vec<String> {
    let when = |moment: &crate::control::api::Moment| moment.short();
    let mut lines = match (&status.began, &status.ended) {
        (Some(began), None) => vec![
            format!("recovering since {} (UTC), when index.db was found to be lost", when(began)),
            "refused meanwhile: signup, and login but where `p2p-node admin passwd` has set a password"
                .to_owned(),
        ],
        (Some(began), Some(ended)) => {
            vec![format!("not recovering: index.db was lost {}, ended {} (UTC)", when(began), when(ended))]
        }
        (None, _) => vec!["not recovering: index.db was never lost".to_owned()],
    };
    let RecoveryStatus { accounts, without_password, nodes, records, last, .. } = status;
    lines.push(format!(
        "{accounts} accounts ({without_password} without a password), {nodes} nodes, {records} records"
    ));
    if let Some(last) = last {
        lines.push(format!("last from {} at {} (UTC)", last.node, when(&last.time)));
    }
    lines
}

fn certify(home: &Home, args: &CertifyArgs) -> Result<Certified, ApiError> {
    match args.root {
        Some(_) => home.create()?,
        None if home.is_index() => {}
        None => return Err(refused(CertifyError::NotTheIndex(home.path().to_owned()))),
    }
    let _lock = home.lock().map_err(|error| match &error {
        HomeError::Locked { .. } => {
            ApiError::from(error).with_hint("`p2p-node stop` ends it; start it again when this is done")
        }
        _ => error.into(),
    })?;
    let certify = Certify {
        home: home.path(),
        root: args.root.as_deref(),
        void_older: args.void_older,
        now: clock::wall(),
    };
    let (certificate, previous_epoch) = certify.run().map_err(refused)?;
    Ok(Certified {
        network: certificate.network,
        node: certificate.node,
        epoch: certificate.epoch,
        previous_epoch,
        not_after: certificate.not_after.into(),
        older_void_since: certificate.older_void_since.map(Into::into),
    })
}

fn refused(error: CertifyError) -> ApiError {
    let text = error.to_string();
    match error {
        CertifyError::NotTheIndex(_) => ApiError::new(LocalCode::NotTheIndex, text)
            .with_hint("--root FILE makes it one, with the network.key of the network"),
        CertifyError::NoRoot(_) => ApiError::new(LocalCode::NoSuchPath, text)
            .with_hint("--root FILE names it: the network.key that was moved away, or its backup"),
        CertifyError::OtherNetwork { .. } => ApiError::new(LocalCode::BadHome, text)
            .with_hint("take the root key of its network, or a new home (--home DIR)"),
        CertifyError::Key(error) => error.into(),
        CertifyError::Home(_) => ApiError::new(LocalCode::BadHome, text),
    }
}

fn certificate(certified: &Certified) -> Vec<String> {
    let Certified { network, node, epoch, not_after, older_void_since, .. } = certified;
    let mut lines = vec![
        format!("index certificate {epoch} of the network {network}, good until {}", not_after.short()),
        format!("from the next `p2p-node index` on, its index is this home's node, {node}"),
    ];
    if let Some(since) = older_void_since {
        lines.push(format!("what indexes before it have signed since {} (UTC) is void", since.short()));
    }
    lines
}
