//! What the end-to-end tests stand on: whole networks on loopback, in one process or as real programs, links that lose and
//! delay, and peers that do not play by the rules.
//!
//! Everything here panics where it cannot do its work: it is for tests alone. Each cluster has a loopback address of its own
//! (127.0.0.0/8, so Linux), that a port which one test gives back is not taken by another.
//!
//! | concept | file |
//! | --- | --- |
//! | an index and its peers, in this process | `cluster`, `node` |
//! | the same as programs: started, killed, asked by the command line; on a terminal | `programs`, `process`; `terminal` |
//! | what a node is asked, with nothing special about it | `requests` |
//! | a long operation, and its events | `running` |
//! | files of known content; sizes that deserve a look | `fixtures` |
//! | many users, each with a node and a file | `fleet` |
//! | what a node's datagrams go through: counted, and cut off from some | `plug` |
//! | a UDP link between a node and everybody else | `link` |
//! | nodes that speak the protocol by hand, and break it | `hostile/` |
//! | waiting for something; loopback addresses; time; numbers of a seed | `wait`, `loopback`, `clock`, `random` |

pub mod clock;
pub mod cluster;
pub mod fixtures;
pub mod fleet;
pub mod hostile;
pub mod link;
mod loopback;
pub mod node;
pub mod plug;
pub mod process;
pub mod programs;
mod random;
mod requests;
pub mod running;
pub mod terminal;
mod wait;

pub use cluster::Cluster;
pub use fleet::Fleet;
pub use link::Link;
pub use node::TestNode;
pub use plug::{Plug, Side, Traffic};
pub use process::{Ended, TestProcess};
pub use programs::Programs;
pub use random::Random;
pub use running::Running;
pub use terminal::Terminal;
pub use wait::{PATIENCE, in_time, wait_until};
