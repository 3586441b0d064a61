//! End-to-end tests of whole networks: what users do, and what goes wrong.
//!
//! | topic | file |
//! | --- | --- |
//! | signing up, logging in and out, who is online | `accounts` |
//! | sharing, listing, searching, taking back | `sharing` |
//! | downloading: sizes, targets, several holders | `downloads` |

mod accounts;
mod downloads;
mod sharing;
