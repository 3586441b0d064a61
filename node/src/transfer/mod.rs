//! Moving contents between nodes.

pub mod schedule;
