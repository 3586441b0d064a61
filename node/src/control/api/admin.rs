//! What the operator of an index asks and is told.

use certs::{NetworkId, NodeId, UserName};
use serde::{Deserialize, Serialize};

use super::{Moment, Password, as_text};

/// Another password for an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswdRequest {
    /// The account's name.
    pub user: UserName,
    /// The password that it gets.
    pub password: Password,
}

/// `admin passwd`: the account has that password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswdDone {
    /// The account's name.
    pub user: UserName,
}

/// `admin recovery status` and `admin recovery finish`: what came back after the index lost its database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryStatus {
    /// Whether the recovery goes on.
    pub recovering: bool,
    /// When the loss was found; `None` where the database was never lost.
    pub began: Option<Moment>,
    /// When the recovery was ended.
    pub ended: Option<Moment>,
    /// Accounts that the index knows.
    pub accounts: u64,
    /// Those of them that have no password.
    pub without_password: u64,
    /// Nodes that are enrolled.
    pub nodes: u64,
    /// Records that it knows, of what was taken back too.
    pub records: u64,
    /// From whom something came last that was not known.
    pub last: Option<RestoredFrom>,
    /// What is refused meanwhile: `signup`, and `login` but where `admin passwd` has set a password.
    pub refused: Vec<String>,
}

/// A node that brought something back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredFrom {
    /// The node.
    #[serde(with = "as_text")]
    pub node: NodeId,
    /// When.
    pub time: Moment,
}

/// `admin certify`: what the index of this home shows from its next start on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certified {
    /// The network.
    #[serde(with = "as_text")]
    pub network: NetworkId,
    /// The node that is its index.
    #[serde(with = "as_text")]
    pub node: NodeId,
    /// The number of the certificate; the highest counts.
    pub epoch: u64,
    /// The highest that this home knew before.
    pub previous_epoch: Option<u64>,
    /// When it ends.
    pub not_after: Moment,
    /// What indexes with lower numbers sign from then on is void; `None`: it stands.
    pub older_void_since: Option<Moment>,
}
