//! Which hook runs next. Knows nothing of processes.

use std::collections::VecDeque;

use super::{Hook, HookFacts};
use crate::activity::Named;
use crate::store::HookDueId;

/// Hooks that run at once.
pub(super) const RUNNING: usize = 2;
/// Resources whose hooks wait. More updates at a time are somebody's mistake.
pub(crate) const WAITING: usize = 1024;

/// A hook and what it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Queued {
    pub(super) hook: Hook,
    pub(super) facts: HookFacts,
    /// The note that it is to be run, if there is one.
    pub(super) due: Option<HookDueId>,
}

/// *Invariant: at most one entry of `running` for each resource, and one of `waiting` for each place of one.*
#[derive(Debug, Default)]
pub(super) struct Queue {
    running: Vec<Named>,
    waiting: VecDeque<Queued>,
}

impl Queue {
    /// Lets one wait, in the place of one for an older version of the same resource at the same place. Returned where there is no room.
    pub(super) fn add(&mut self, queued: Queued) -> Option<Queued> {
        let full = self.waiting.len() >= WAITING;
        let same = |one: &&mut Queued| {
            let (one, queued) = (&one.facts, &queued.facts);
            one.what.resource == queued.what.resource && one.path == queued.path
        };
        match self.waiting.iter_mut().find(same) {
            Some(older) if older.facts.what.version <= queued.facts.what.version => *older = queued,
            Some(_) => {}
            None if full => return Some(queued),
            None => self.waiting.push_back(queued),
        }
        None
    }

    /// The one that has waited longest of those that may run; it runs from now on.
    pub(super) fn next(&mut self) -> Option<Queued> {
        if self.running.len() >= RUNNING {
            return None;
        }
        let free = |queued: &Queued| !self.running.contains(&queued.facts.what.resource);
        let first = self.waiting.iter().position(free)?;
        let queued = self.waiting.remove(first)?;
        self.running.push(queued.facts.what.resource.clone());
        Some(queued)
    }

    /// The one of this resource runs no more.
    pub(super) fn ended(&mut self, resource: &Named) {
        self.running.retain(|running| running != resource);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::queued;
    use super::*;

    fn run(queue: &mut Queue) -> Vec<(String, u64)> {
        let mut started = Vec::new();
        while let Some(queued) = queue.next() {
            started.push((queued.facts.what.resource.name.to_string(), queued.facts.what.version));
        }
        started
    }

    fn one(name: &str, version: u64) -> (String, u64) {
        (name.to_owned(), version)
    }

    #[test]
    fn two_run_at_once_and_one_of_a_resource() {
        let mut queue = Queue::default();
        for (name, version) in [("a", 1), ("b", 1), ("c", 1)] {
            assert_eq!(queue.add(queued(name, version, &["x"])), None);
        }
        assert_eq!(run(&mut queue), [one("a", 1), one("b", 1)]);
        queue.add(queued("a", 2, &["x"]));
        queue.ended(&queued("b", 1, &["x"]).facts.what.resource);
        assert_eq!(run(&mut queue), [one("c", 1)], "a runs");
        queue.ended(&queued("c", 1, &["x"]).facts.what.resource);
        assert_eq!(run(&mut queue), [], "a still runs");
        queue.ended(&queued("a", 1, &["x"]).facts.what.resource);
        assert_eq!(run(&mut queue), [one("a", 2)]);
    }

    #[test]
    fn of_what_waits_the_newest_counts_in_the_place_of_the_first() {
        let mut queue = Queue::default();
        for (name, version) in [("a", 1), ("b", 1)] {
            queue.add(queued(name, version, &["x"]));
        }
        run(&mut queue);
        for (name, version) in [("a", 2), ("c", 1), ("a", 4), ("a", 3)] {
            queue.add(queued(name, version, &["x"]));
        }
        queue.ended(&queued("a", 1, &["x"]).facts.what.resource);
        queue.ended(&queued("b", 1, &["x"]).facts.what.resource);
        assert_eq!(run(&mut queue), [one("a", 4), one("c", 1)]);
    }

    #[test]
    fn each_place_of_a_resource_has_its_turn() {
        let mut queue = Queue::default();
        let at = |path: &str, version: u64| {
            let queued = queued("a", version, &["x"]);
            Queued { facts: HookFacts { path: path.into(), ..queued.facts }, ..queued }
        };
        for (path, version) in [("/one", 1), ("/other", 1), ("/other", 2)] {
            assert_eq!(queue.add(at(path, version)), None);
        }
        assert_eq!(queue.next(), Some(at("/one", 1)));
        assert_eq!(queue.next(), None, "one at a time");
        queue.ended(&at("/one", 1).facts.what.resource);
        assert_eq!(queue.next(), Some(at("/other", 2)));
    }

    #[test]
    fn no_more_wait_than_may() {
        let mut queue = Queue::default();
        for number in 0..WAITING {
            assert_eq!(queue.add(queued(&number.to_string(), 1, &["x"])), None);
        }
        let refused = queued("one more", 1, &["x"]);
        assert_eq!(queue.add(refused.clone()), Some(refused));
        assert_eq!(queue.add(queued("7", 2, &["x"])), None, "it takes nobody's place");
    }
}
