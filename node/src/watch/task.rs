//! The task that keeps what is watched published.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tracing::warn;
use wire::ResourceName;

use super::debounce::{Debounce, Ended, Step};
use super::notices::{Notices, Waiting};
use super::routes::Routes;
use super::watches::{Unwatched, Watches};
use super::{Touched, look, publish};
use crate::clock;
use crate::control::api::WatchStatus;
use crate::off_thread::off_thread;
use crate::peer::{LinkState, Shared};
use crate::store::{Look, Watched};

/// What is looked at at once.
const PAGE: u32 = 512;

/// Publishes whatever is watched when it changes, until the node stops.
pub(crate) async fn keep_watched(shared: Arc<Shared>) {
    let mut link = shared.link.subscribe();
    let mut task = Task::new(shared);
    let mut could_publish = false;
    loop {
        let may_publish = task.may_publish(&link.borrow_and_update());
        if may_publish && !could_publish {
            task.debounce.try_again();
        }
        could_publish = may_publish;
        let until = match task.debounce.next(clock::timer(), may_publish) {
            Step::Publish(name) => {
                task.publish(name);
                continue;
            }
            Step::Rescan => {
                task.rescan(None).await;
                continue;
            }
            Step::RescanUnwatched => {
                task.rescan_unwatched().await;
                continue;
            }
            Step::Wait(until) => until,
        };
        let (notices, told) = (task.notices.clone(), task.shared.clone());
        tokio::select! {
            () = tokio::time::sleep_until(until.into()) => {}
            () = notices.news() => task.take_notices().await,
            () = told.watching.told.notified() => task.take_touched().await,
            Ok(()) = link.changed() => {}
            Some(ended) = task.running.next() => task.end(ended).await,
        }
    }
}

/// All that the watch knows.
struct Task {
    shared: Arc<Shared>,
    debounce: Debounce<ResourceName>,
    routes: Routes,
    notices: Arc<Notices>,
    /// `None` while they are at work.
    watches: Option<Watches>,
    running: FuturesUnordered<BoxFuture<'static, Finished>>,
}

/// Something that was done.
enum Finished {
    Published(ResourceName, Ended),
    Looked(Vec<(ResourceName, Look)>, Next),
}

/// What follows a look at some of what is watched.
#[derive(Debug, Clone)]
enum Next {
    Nothing,
    /// A look at what comes after this one.
    After(ResourceName),
    /// That was everything.
    AllSeen,
    /// That was all that is not watched.
    UnwatchedSeen,
}

impl Task {
    fn new(shared: Arc<Shared>) -> Self {
        let (routes, notices) = (Routes::default(), Arc::new(Notices::default()));
        let watches = Some(Watches::new(notices.clone()));
        let debounce = Debounce::new(shared.watching.timing, clock::timer());
        Self { shared, debounce, routes, notices, watches, running: FuturesUnordered::new() }
    }

    fn may_publish(&self, link: &LinkState) -> bool {
        matches!(link, LinkState::Online { .. }) && self.shared.membership().is_some()
    }

    fn publish(&self, name: ResourceName) {
        let (shared, quiet) = (self.shared.clone(), self.shared.watching.timing.quiet);
        self.running.push(Box::pin(async move {
            let ended = publish::publish(&shared, &name, quiet).await;
            Finished::Published(name, ended)
        }));
    }

    /// Begins to look at some of what is watched.
    fn look(&self, watched: Vec<Watched>, next: Next) {
        let (shared, quiet) = (self.shared.clone(), self.shared.watching.timing.quiet);
        self.running
            .push(Box::pin(async move { Finished::Looked(look::look(&shared, watched, quiet).await, next) }));
    }

    async fn end(&mut self, finished: Finished) {
        let now = clock::timer();
        match finished {
            Finished::Published(name, ended) => self.debounce.ended(&name, ended, now),
            Finished::Looked(looks, next) => {
                self.take_looks(looks, now);
                match next {
                    Next::Nothing => {}
                    Next::After(name) => self.rescan(Some(name)).await,
                    Next::AllSeen => self.debounce.rescanned(now, random()),
                    Next::UnwatchedSeen => self.debounce.rescanned_unwatched(now),
                }
            }
        }
    }

    fn take_looks(&mut self, looks: Vec<(ResourceName, Look)>, now: Instant) {
        for (name, look) in looks {
            match look {
                Look::Same | Look::Missing => {}
                Look::Changed => self.debounce.found_changed(name, now),
                Look::BeingWritten => self.debounce.changed(name, now),
            }
        }
    }

    /// Looks at the next part of everything: first it is watched, so that nothing is missed between.
    async fn rescan(&mut self, after: Option<ResourceName>) {
        if after.is_none() {
            self.watch_again(|_| true).await;
        }
        let watched = match self.shared.store.watched(after.clone(), PAGE).await {
            Ok(watched) => watched,
            Err(error) => {
                warn!(%error, "cannot look up what is watched");
                return self.debounce.rescanned(clock::timer(), random());
            }
        };
        let is_last = watched.len() < PAGE as usize;
        let last = watched.last().filter(|_| !is_last).map(|watched| watched.name.clone());
        let mut known = self.routes.between(after.as_ref(), last.as_ref());
        known.retain(|name| watched.binary_search_by(|watched| watched.name.cmp(name)).is_err());
        for name in known {
            self.routes.remove(&name);
            self.debounce.forget(&name);
        }
        self.watch(&watched).await;
        self.look(watched, last.map_or(Next::AllSeen, Next::After));
    }

    /// Looks at what the system does not watch for us, and tries to have it watched, unless it watches as many as it may.
    async fn rescan_unwatched(&mut self) {
        // What is watched from now on was not before.
        let mut names = self.unwatched();
        self.watch_again(|why| *why != Unwatched::Limit).await;
        names.append(&mut self.unwatched());
        self.look_at(names.into_iter().collect(), Next::UnwatchedSeen).await;
    }

    fn unwatched(&self) -> BTreeSet<ResourceName> {
        let roots = self.watches.iter().flat_map(|watches| watches.unwatched().keys());
        roots.flat_map(|root| self.routes.under(root)).collect()
    }

    /// What was published, or is watched otherwise. What is new is looked at once, since it may have changed before it was
    /// watched.
    async fn take_touched(&mut self) {
        let Touched { names, all } = self.shared.watching.take_touched();
        if all {
            self.debounce.missed(clock::timer());
        }
        self.look_at(names.into_iter().collect(), Next::Nothing).await;
    }

    async fn look_at(&mut self, names: Vec<ResourceName>, next: Next) {
        let mut found = Vec::new();
        for name in names {
            match self.shared.store.watched_as(name.clone()).await {
                Ok(Some(watched)) => found.push(watched),
                Ok(None) => {
                    self.routes.remove(&name);
                    self.debounce.forget(&name);
                }
                Err(error) => warn!(%name, %error, "cannot look up what is watched"),
            }
        }
        self.watch(&found).await;
        self.look(found, next);
    }

    /// Has these watched from now on.
    async fn watch(&mut self, watched: &[Watched]) {
        let rows = watched.to_vec();
        let places = off_thread(move || look::places(&rows)).await;
        for (watched, place) in watched.iter().zip(places) {
            self.routes.put(&watched.name, place);
        }
        let dirty = self.routes.take_dirty();
        let wanted = dirty.into_iter().map(|root| (self.routes.wanted(&root), root));
        let wanted: Vec<_> = wanted.collect();
        self.settle(wanted, false).await;
    }

    /// Has folders watched again at whose path there is another one now, and those that were not, for a reason that may
    /// have gone. What is shared in the former is looked at.
    async fn watch_again(&mut self, may_have_gone: impl Fn(&Unwatched) -> bool) {
        let Some(watches) = self.watches.take() else { return };
        let (watches, replaced) = off_thread(move || {
            let replaced = watches.replaced();
            (watches, replaced)
        })
        .await;
        let unwatched = watches.unwatched().iter().filter(|(_, why)| may_have_gone(why));
        let roots: Vec<_> = unwatched.map(|(root, _)| root.clone()).chain(replaced.iter().cloned()).collect();
        self.watches = Some(watches);
        let now = clock::timer();
        for name in replaced.iter().flat_map(|root| self.routes.under(root)) {
            self.debounce.changed(name, now);
        }
        let wanted = roots.into_iter().map(|root| (self.routes.wanted(&root), root)).collect();
        self.settle(wanted, true).await;
    }

    async fn settle(&mut self, wanted: Vec<(Option<bool>, Arc<Path>)>, again: bool) {
        let Some(mut watches) = self.watches.take() else { return };
        if !wanted.is_empty() {
            watches = off_thread(move || {
                for (wanted, root) in wanted {
                    watches.settle(&root, wanted, again);
                }
                watches
            })
            .await;
        }
        self.shared.watching.set_status(self.status(&watches));
        self.watches = Some(watches);
    }

    async fn take_notices(&mut self) {
        let Waiting { paths, missed, unwatchable } = self.notices.take();
        let now = clock::timer();
        if missed {
            self.debounce.missed(now);
        }
        let mut lost = Vec::new();
        for path in paths {
            for name in self.routes.of(&path) {
                self.debounce.changed(name.clone(), now);
            }
            if self.routes.is_root(&path) {
                lost.push(path);
            }
        }
        if let Some(watches) = &mut self.watches {
            unwatchable.iter().for_each(|path| watches.limit_reached(path));
        }
        if !lost.is_empty() || !unwatchable.is_empty() {
            // A watched folder itself was moved or removed, or only touched.
            self.watch_again(|_| false).await;
        }
    }

    /// What `status` says.
    fn status(&self, watches: &Watches) -> Option<WatchStatus> {
        let unwatched = watches.unwatched();
        let names: BTreeSet<_> = unwatched.keys().flat_map(|root| self.routes.under(root)).collect();
        let problem = unwatched.iter().max_by_key(|(_, why)| **why == Unwatched::Limit);
        let problem = problem.filter(|_| !names.is_empty());
        let hint = |why: &Unwatched| match why {
            Unwatched::Limit => {
                "; as root: sysctl -w fs.inotify.max_user_watches=1048576, then restart the daemon"
            }
            Unwatched::Failed(_) => "",
        };
        (self.routes.len() > 0).then(|| WatchStatus {
            count: self.routes.len() as u64,
            unwatched: names.len() as u64,
            problem: problem.map(|(root, why)| format!("{}: {why}{}", root.display(), hint(why))),
        })
    }
}

/// A random number from 0 to 1; without randomness, one half.
fn random() -> f64 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}
