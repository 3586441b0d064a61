//! Who is told what is new. Pure.
//!
//! What is a node's own it tells all its neighbours. What came from others it tells on to [`TOLD_ON`] of them, to fewer the more have told
//! it the same by then (but to three), and to none of those. A simulation of 300 nodes that started one after the other, each with 8
//! neighbours of its own choice and up to 8 that chose it, which waits up to a second before it tells on, has each node hear everything 5.6
//! times, and 4 in 10,000 miss something until the next comparison; with two fewer for each, but two in any case, 4.8 times and 35; with
//! that, and where the first ones to choose a node keep their places, 5.0 times and 64.

use std::collections::HashMap;

use certs::NodeId;
use wire::message::News;
use wire::{Digest, limits};

use super::gossip::Spread;

/// So many neighbours are told on what came from one of them. The index is told by as many nodes.
pub(super) const TOLD_ON: usize = 8;
/// So many fewer for each further one who told the same.
const FEWER: usize = 1;
/// But so many in any case: tellers are counted before it is known who is honest, and one account may have many nodes.
const LEAST_TOLD: usize = 3;
/// What was heard lately, and is remembered: as much again of what was heard before that.
const REMEMBERED: usize = 4096;
/// Who told it: more change nothing but whom it is not told again.
const TELLERS: usize = 16;

/// Who told what lately, by the hash of what it is: a head, a word of presence, a list of members, where the
/// index is.
#[derive(Debug, Default)]
pub(super) struct Heard {
    young: HashMap<Digest, Vec<NodeId>>,
    old: HashMap<Digest, Vec<NodeId>>,
}

impl Heard {
    /// A node told this.
    pub(super) fn note(&mut self, news: &News, from: NodeId) {
        for said in said(news) {
            if self.young.len() >= REMEMBERED && !self.young.contains_key(&said) {
                self.old = std::mem::take(&mut self.young);
            }
            let before = self.old.remove(&said).unwrap_or_default();
            let tellers = self.young.entry(said).or_insert(before);
            if tellers.len() < TELLERS && !tellers.contains(&from) {
                tellers.push(from);
            }
        }
    }

    fn tellers(&self, said: &Digest) -> &[NodeId] {
        self.young.get(said).or_else(|| self.old.get(said)).map_or(&[], Vec::as_slice)
    }
}

/// What it is about, one by one.
fn said(news: &News) -> impl Iterator<Item = Digest> {
    let heads = news.heads.iter().map(|head| Digest::of(&head.head));
    let words = news.presence.iter().map(|word| Digest::of(&word.presence));
    let members = news.members.iter().map(|members| Digest::of(&members.head));
    let index = news.index.iter().map(|place| Digest::of(&place.presence));
    heads.chain(words).chain(members).chain(index)
}

/// Who is there to be told.
#[derive(Debug)]
pub(super) struct There {
    /// The neighbours, in the order in which they are chosen.
    pub(super) neighbours: Vec<NodeId>,
    /// The index, and whether it is told on what came from others.
    pub(super) index: Option<(NodeId, bool)>,
}

impl There {
    /// Who is told something, by who told it; own news (`from` is `None`) all.
    fn chosen(&self, from: Option<NodeId>, tellers: &[NodeId]) -> Vec<NodeId> {
        let index = self.index.filter(|(_, chosen)| *chosen || from.is_none()).map(|(index, _)| index);
        let Some(from) = from else { return self.neighbours.iter().copied().chain(index).collect() };
        let others = tellers.iter().filter(|teller| **teller != from).count();
        let knows = |node: &NodeId| *node == from || tellers.contains(node);
        let neighbours = self.neighbours.iter().copied().filter(|node| !knows(node));
        let most = TOLD_ON.saturating_sub(FEWER * others).max(LEAST_TOLD);
        neighbours.take(most).chain(index.filter(|index| !knows(index))).collect()
    }
}

/// What each is told, in parts that fit into a message.
pub(super) fn deal(told: &[Spread], there: &There, heard: &Heard) -> HashMap<NodeId, Vec<News>> {
    let mut parts: HashMap<NodeId, Vec<News>> = HashMap::new();
    for Spread { from, news } in told {
        let mut give = |one: News| {
            let said = said(&one).next().map_or(&[][..], |said| heard.tellers(&said));
            for node in there.chosen(*from, said) {
                add(parts.entry(node).or_default(), &one);
            }
        };
        for head in &news.heads {
            give(News { heads: vec![head.clone()], ..News::default() });
        }
        for word in &news.presence {
            give(News { presence: vec![word.clone()], ..News::default() });
        }
        if let Some(members) = &news.members {
            give(News { members: Some(members.clone()), ..News::default() });
        }
        if let Some(index) = &news.index {
            give(News { index: Some(index.clone()), ..News::default() });
        }
    }
    parts
}

/// Adds something to the first part with room for it.
fn add(parts: &mut Vec<News>, one: &News) {
    let has_room = |part: &News| {
        part.heads.len() + one.heads.len() <= limits::STATEMENTS
            && part.presence.len() + one.presence.len() <= limits::STATEMENTS
    };
    let place = parts.iter().position(has_room).unwrap_or_else(|| {
        parts.push(News::default());
        parts.len() - 1
    });
    let part = &mut parts[place];
    part.heads.extend_from_slice(&one.heads);
    part.presence.extend_from_slice(&one.presence);
    if one.members.is_some() {
        part.members.clone_from(&one.members);
    }
    if one.index.is_some() {
        part.index.clone_from(&one.index);
    }
}

#[cfg(test)]
mod tests {
    use serde_bytes::ByteBuf;
    use wire::PresenceBundle;

    use super::*;

    fn node(seed: u8) -> NodeId {
        certs::SecretKey::from_seed([seed; 32]).public()
    }

    /// Words that no other call makes.
    fn words(from: Option<NodeId>, count: u8, kind: u8) -> Spread {
        let word = |byte| PresenceBundle { presence: ByteBuf::from([kind, byte]), enrolment: None };
        Spread { from, news: News { presence: (0..count).map(word).collect(), ..News::default() } }
    }

    fn there(neighbours: u8, index: Option<bool>) -> There {
        There { neighbours: (1..=neighbours).map(node).collect(), index: index.map(|told| (node(100), told)) }
    }

    fn counts(told: &[Spread], there: &There, heard: &Heard) -> HashMap<NodeId, usize> {
        let count = |news: Vec<News>| news.iter().map(|news| news.presence.len()).sum();
        deal(told, there, heard).into_iter().map(|(node, news)| (node, count(news))).collect()
    }

    #[test]
    fn nobody_is_told_what_it_has_told() {
        let told = [words(Some(node(1)), 2, 1), words(Some(node(2)), 3, 2), words(None, 1, 3)];
        let counts = counts(&told, &there(3, None), &Heard::default());
        assert_eq!([1, 2, 3].map(|seed| counts[&node(seed)]), [4, 3, 6]);
        let mut heard = Heard::default();
        heard.note(&told[0].news, node(3));
        assert_eq!(deal(&told[..1], &there(1, None), &heard), HashMap::new());
        assert_eq!(deal(&told[..1], &there(3, None), &heard).len(), 1, "the third has told it as well");
    }

    #[test]
    fn what_is_its_own_a_node_tells_all_and_what_came_from_others_some() {
        let (own, others) = (words(None, 1, 1), words(Some(node(1)), 1, 2));
        let (there, mut heard) = (there(16, Some(false)), Heard::default());
        let told = |spread: &Spread, heard: &Heard| deal(std::slice::from_ref(spread), &there, heard).len();
        assert_eq!([told(&own, &heard), told(&others, &heard)], [17, TOLD_ON]);
        for teller in 1..=6 {
            heard.note(&others.news, node(teller));
            heard.note(&others.news, node(teller));
            let fewer = FEWER * usize::from(teller - 1);
            assert_eq!(told(&others, &heard), TOLD_ON.saturating_sub(fewer).max(LEAST_TOLD), "{teller}");
        }
    }

    #[test]
    fn the_index_is_told_what_came_from_others_where_it_was_drawn() {
        let others = [words(Some(node(1)), 1, 2)];
        let told = |index| counts(&others, &there(3, Some(index)), &Heard::default());
        assert_eq!([true, false].map(|index| told(index).contains_key(&node(100))), [true, false]);
    }

    #[test]
    fn what_does_not_fit_into_one_message_goes_into_several() {
        let told = [words(None, 60, 1), words(None, 100, 2)];
        let dealt = deal(&told, &there(1, None), &Heard::default());
        let sizes: Vec<_> = dealt[&node(1)].iter().map(|news| news.presence.len()).collect();
        assert_eq!(sizes, [64, 64, 32]);
    }

    #[test]
    fn no_more_is_remembered_than_that() {
        let mut heard = Heard::default();
        for kind in 0..60 {
            heard.note(&words(None, 200, kind).news, node(1));
            heard.note(&words(None, 200, 0).news, node(kind));
        }
        assert!(heard.young.len() <= REMEMBERED && heard.old.len() <= REMEMBERED);
        let last = words(None, 1, 0);
        let said = said(&last.news).next().expect("one");
        assert_eq!(heard.tellers(&said).len(), TELLERS, "what is heard again stays");
    }
}
