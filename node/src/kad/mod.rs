//! What of this network lies in Kademlia, and who takes part in it.
//!
//! | concept | file |
//! | --- | --- |
//! | which values and providers are believed | `validator` |
//! | whose nodes are members, as far as this node knows | `roster` |

mod roster;
mod validator;

pub(crate) use roster::Roster;
pub(crate) use validator::{KadValidator, Trust};
