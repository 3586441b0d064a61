//! The index service over real connections on loopback.

mod enrolment;
mod following;
mod identity;
mod load;
mod locating;
mod members;
mod online;
mod refusals;
mod sharing;
mod support;
mod versions;
