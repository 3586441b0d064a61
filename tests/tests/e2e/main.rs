//! End-to-end tests of whole networks: what users do, and what goes wrong.
//!
//! | topic | file |
//! | --- | --- |
//! | signing up, logging in and out, who is online | `accounts` |
//! | sharing, listing, searching, taking back | `sharing` |
//! | downloading: sizes, targets, several holders | `downloads` |
//! | downloads that stop in the middle, and go on | `interrupted` |
//! | files that are gone, changed or corrupted at the holder | `holders` |
//! | disks that are full, read-only, forbidden or broken | `disk` |
//! | real programs: started, asked, interrupted, killed | `programs` |
//! | the index stops, returns, or is somebody else | `index_away` |

mod accounts;
mod disk;
mod downloads;
mod holders;
mod index_away;
mod interrupted;
mod programs;
mod sharing;
