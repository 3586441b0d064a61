//! Nodes that speak the protocol by hand.
//!
//! | concept | file |
//! | --- | --- |
//! | a key and a socket: dials, sends any bytes | `stranger` |
//! | a stranger with a membership: signs, registers, holds | `member` |
//! | a member that serves content, and lies | `liar` |
//! | frames of Zstandard that it sends | `frames` |
//! | a member that tells what it likes of catalogues and presence | `gossip` |
//! | messages of Kademlia, of whomever | `kad` |
//! | whoever listens where the index is looked for, and refuses | `impostor` |

mod frames;
mod gossip;
mod impostor;
mod kad;
mod liar;
mod member;
mod stranger;

pub use frames::Frame;
pub use gossip::{Gossip, Telling, head_in, head_of, tell_as_stranger, word_of};
pub use impostor::Impostor;
pub use kad::KadPeer;
pub use liar::{Liar, Lie};
pub use member::{Member, manifest_of};
pub use stranger::{Stranger, ask, frame_of, raw};
