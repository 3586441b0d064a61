//! What of this network lies in Kademlia, and who takes part in it.
//!
//! | concept | file |
//! | --- | --- |
//! | putting, finding, providing, peers | `task` |
//! | when it is looked what there is to be put, and when that is due | `changes` |
//! | what is looked for: how often, and by how many | `sought` |
//! | which values and providers are believed | `validator` |
//! | whose nodes are members, as far as this node knows | `roster` |

mod changes;
mod roster;
mod sought;
mod task;
mod validator;

pub(crate) use roster::Roster;
pub(crate) use task::{Kad, begin};
pub(crate) use validator::{KadValidator, Trust};
