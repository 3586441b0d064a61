//! Nodes that speak the protocol by hand.
//!
//! | concept | file |
//! | --- | --- |
//! | a key and a socket: dials, sends any bytes | `stranger` |
//! | a stranger with a membership: signs, registers, holds | `member` |
//! | a member that serves content, and lies | `liar` |
//! | whoever listens where the index is looked for, and refuses | `impostor` |

mod impostor;
mod liar;
mod member;
mod stranger;

pub use impostor::Impostor;
pub use liar::{Liar, Lie};
pub use member::{Member, manifest_of};
pub use stranger::{Stranger, ask, frame_of, raw};
