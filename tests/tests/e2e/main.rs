//! End-to-end tests of whole networks: what users do, and what goes wrong.
//!
//! | topic | file |
//! | --- | --- |
//! | signing up, logging in and out, who is online | `accounts` |
//! | sharing, listing, searching, taking back | `sharing` |
//! | downloading: sizes, targets, several holders | `downloads` |
//! | downloads that give what they have | `partial` |
//! | rates, places for uploads | `limits` |
//! | receivers that read nothing, disks that do not answer | `fairness` |
//! | downloads that stop in the middle, and go on | `interrupted` |
//! | downloads without a command that follows; paused, resumed, cancelled; waiting | `transfers` |
//! | files that are gone, changed or corrupted at the holder | `holders` |
//! | how far downloads are: on a terminal, in a pipe, as documents | `progress` |
//! | folders, whole and in part | `folders` |
//! | newer versions of what was downloaded before | `updates` |
//! | what was edited here when an update comes | `edits` |
//! | changes so large that the user is asked first | `held_back` |
//! | programs that run after updates | `hooks` |
//! | many subscribers of one file | `crowd` |
//! | two machines of one owner that publish at once | `rivals` |
//! | what is on a machine already is copied there, and does not move | `reuse` |
//! | shares that publish their next version by themselves | `watching` |
//! | the log of activity: what is in it, over restarts; followed | `events` |
//! | disks that are full, read-only, forbidden or broken | `disk` |
//! | real programs: started, asked, interrupted, killed | `programs` |
//! | strangers: bytes that are no protocol, requests of those who may not ask | `hostile` |
//! | requests sent before what they need is answered | `early` |
//! | members that ask for more than their part, or for what they may not have | `greedy` |
//! | records that break the rules, or name what their publisher never had | `records` |
//! | holders that lie | `liars` |
//! | names, paths, things that are no files | `input` |
//! | versions got by their number, published by two machines at once | `versions` |
//! | old versions that are kept, what they cost, `gc` | `keep` |
//! | the index as a peer; many things at once | `index_node` |
//! | the index stops, returns, or is somebody else | `index_away` |
//! | the operator of an index: a lost database, the certificate, a move | `admin` |
//! | the network without its index | `fallback`, of `five` users |
//! | all start again at once, a month passes, memberships end, the index moves, without the index | `alone` |
//! | a network that falls apart and comes together; one that loses its index and half of its nodes | `partition`, `half` |
//! | lies that are told and put while the index is away | `poison` |
//! | the index is back, with its database or without | `comes_back` |
//! | programs that are killed at random moments, over many versions | `chaos` |

mod accounts;
mod admin;
mod alone;
mod blocks;
mod chaos;
mod comes_back;
mod crowd;
mod disk;
mod downloads;
mod early;
mod edits;
mod events;
mod fairness;
mod fallback;
mod five;
mod folders;
mod greedy;
mod half;
mod held_back;
mod holders;
mod hooks;
mod hostile;
mod index_away;
mod index_node;
mod input;
mod interrupted;
mod keep;
mod liars;
mod limits;
mod partial;
mod partition;
mod poison;
mod programs;
mod progress;
mod records;
mod repeated;
mod reuse;
mod rivals;
mod sharing;
mod subscriptions;
mod transfers;
mod updates;
mod versions;
mod watching;
