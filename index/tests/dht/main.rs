//! Kademlia among real nodes in one process.

mod harness;
mod network;
mod peers;
mod poison;
mod quic;
mod withheld;
