//! Subscriptions: a resource that was downloaded stays up to date.
//!
//! | concept | file |
//! | --- | --- |
//! | which subscription is followed, updated, left alone, and when: pure | `engine` |
//! | an owner's mass change, which waits for the user: pure | `guard` |
//!
//! What they decide is done in `ops/updates`; what is durable of them is in `store/subscriptions`.

pub(crate) mod engine;
pub(crate) mod guard;
