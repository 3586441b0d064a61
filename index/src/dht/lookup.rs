//! The best of what a lookup finds. Pure: the driver feeds it with answers that have been checked.

use std::cmp::Ordering;

use super::store::stands_before;
use super::validate::Rank;

/// What a lookup found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The value, as the validator took it.
    pub value: Vec<u8>,
    /// Its rank.
    pub rank: Rank,
    /// How many other nodes answered exactly this. Zero: it is from this node's store alone.
    pub agreeing: usize,
    /// How many other nodes answered something valid, this or a lower one.
    pub answers: usize,
}

/// The best so far.
#[derive(Debug, Default)]
pub(super) struct Best {
    found: Option<Found>,
    answers: usize,
}

/// What an answer was beside the best before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// Higher, or the first.
    Better,
    /// The same value.
    Same,
    /// Lower.
    Lower,
    /// As high and different: the one that is now kept, and the other.
    Conflict {
        /// The value with the lower hash.
        kept: Vec<u8>,
        /// The other one.
        other: Vec<u8>,
    },
}

impl Best {
    /// Takes a valid answer; `remote` if another node gave it.
    pub(super) fn take(&mut self, value: Vec<u8>, rank: Rank, remote: bool) -> Judged {
        let voice = usize::from(remote);
        self.answers += voice;
        let Some(best) = &mut self.found else {
            self.found = Some(Found { value, rank, agreeing: voice, answers: 0 });
            return Judged::Better;
        };
        match rank.cmp(&best.rank) {
            Ordering::Less => Judged::Lower,
            Ordering::Equal if value == best.value => {
                best.agreeing += voice;
                Judged::Same
            }
            Ordering::Equal if !stands_before(&value, &best.value) => {
                Judged::Conflict { kept: best.value.clone(), other: value }
            }
            order => {
                let agreeing = voice;
                let other = std::mem::replace(best, Found { value, rank, agreeing, answers: 0 }).value;
                if order == Ordering::Greater {
                    return Judged::Better;
                }
                Judged::Conflict { kept: best.value.clone(), other }
            }
        }
    }

    pub(super) fn into_found(self) -> Option<Found> {
        let answers = self.answers;
        self.found.map(|found| Found { answers, ..found })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_highest_is_kept_and_agreement_starts_anew_with_it() {
        let mut best = Best::default();
        assert_eq!(best.take(vec![1], Rank(1), true), Judged::Better);
        assert_eq!(best.take(vec![1], Rank(1), true), Judged::Same);
        assert_eq!(best.found.as_ref().unwrap().agreeing, 2);
        assert_eq!(best.take(vec![2], Rank(2), true), Judged::Better);
        assert_eq!(best.found.as_ref().unwrap().agreeing, 1);
        assert_eq!(best.take(vec![1], Rank(1), true), Judged::Lower);
        let found = best.into_found().unwrap();
        assert_eq!(found, Found { value: vec![2], rank: Rank(2), agreeing: 1, answers: 4 });
    }

    #[test]
    fn what_this_node_has_itself_is_no_agreement() {
        let mut best = Best::default();
        best.take(vec![1], Rank(1), false);
        assert_eq!(best.found.as_ref().unwrap().agreeing, 0);
        best.take(vec![1], Rank(1), true);
        assert_eq!(best.into_found().map(|found| (found.agreeing, found.answers)), Some((1, 1)));
    }

    proptest! {
        /// In whatever order answers come, all nodes keep the same one.
        #[test]
        fn the_order_of_answers_does_not_matter(
            values in proptest::collection::vec((0_u128..3, 0_u8..3), 1..8).prop_shuffle(),
        ) {
            let keep = |values: &[(u128, u8)]| {
                let mut best = Best::default();
                for (rank, value) in values {
                    best.take(vec![*value], Rank(*rank), true);
                }
                best.into_found().map(|found| (found.rank, found.value))
            };
            let mut backwards = values.clone();
            backwards.reverse();
            let mut sorted = values.clone();
            sorted.sort_unstable();
            prop_assert_eq!(keep(&values), keep(&backwards));
            prop_assert_eq!(keep(&values), keep(&sorted));
        }
    }
}
