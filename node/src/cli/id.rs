//! `id`: who this node is, with or without a daemon.

use std::io::ErrorKind;
use std::path::Path;

use certs::keystore::{self, KeystoreError};
use certs::{IndexCertificate, NetworkId, NodeId, PublicKey, Signed};
use clap::Args;
use serde::Serialize;

use super::args::Global;
use super::{Console, Failure, daemon};
use crate::control::api::{as_text, optional_text};
use crate::control::{ApiError, LocalCode};
use crate::home::Home;

const EXAMPLES: &str = "\
Examples:
  p2p-node id
  p2p-node id --json                              with the network's id";

/// Print this node's id.
///
/// It is read from identity.key in the home; no daemon is needed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct IdArgs {}

#[derive(Serialize)]
struct Identity {
    #[serde(with = "as_text")]
    node: NodeId,
    #[serde(with = "optional_text")]
    network: Option<NetworkId>,
}

pub(super) fn run(global: &Global, home: &Home, console: &mut Console) -> Result<(), Failure> {
    let node = public_key(&home.identity_key())?.ok_or_else(|| no_identity(home))?;
    let network = match public_key(&home.network_key())? {
        Some(network) => Some(network),
        None => match network_of(&home.index_certificate()) {
            Some(network) => Some(network),
            None => daemon::config(global, home)?.index.map(|index| index.network),
        },
    };
    Ok(console.result(&Identity { node, network }, |identity| vec![identity.node.to_string()])?)
}

/// The network of an index certificate: at an index whose root key was moved away.
fn network_of(path: &Path) -> Option<NetworkId> {
    let bytes = std::fs::read(path).ok()?;
    Signed::<IndexCertificate>::parse(&bytes).ok().map(|certificate| certificate.network)
}

/// The public half of a key file; `None` where there is none.
fn public_key(path: &Path) -> Result<Option<PublicKey>, ApiError> {
    match keystore::load_key(path) {
        Ok(key) => Ok(Some(key.public())),
        Err(KeystoreError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn no_identity(home: &Home) -> ApiError {
    let text = format!("there is no node in {}", home.path().display());
    ApiError::new(LocalCode::NoSuchPath, text).with_hint("the first `p2p-node run` makes one")
}
