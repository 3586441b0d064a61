//! Time: silence, pauses, deadlines.

use std::time::Duration;

use super::holder::Holder;
use super::scheduler::Scheduler;
use super::{Action, DropReason, HolderId, RequestId};

impl Scheduler {
    /// What is to be done now, in this order. To be called after each event, and when
    /// [`next_deadline`](Self::next_deadline) passes; O(holders).
    #[must_use]
    pub fn tick(&mut self, now: Duration) -> Vec<Action> {
        self.end_pauses(now);
        self.drop_silent(now);
        self.demote_silent(now);
        self.unburden_demoted(now);
        std::mem::take(&mut self.actions)
    }

    /// When to call [`tick`](Self::tick) and [`next_request`](Self::next_request) even if nothing happens before:
    /// `Duration::ZERO` is at once, `None` is never.
    pub fn next_deadline(&self) -> Option<Duration> {
        if !self.actions.is_empty() {
            return Some(Duration::ZERO);
        }
        let of_holder = |holder: &Holder| {
            let silence = (!holder.open.is_empty())
                .then(|| if holder.demoted { self.drop_at(holder) } else { self.demote_at(holder) });
            [holder.paused_until, silence]
        };
        self.holders.values().flat_map(of_holder).chain([self.look_again]).flatten().min()
    }

    /// A request is not sent yet, since the connection carries as many as it may, other downloads' among them: its time
    /// begins when it is sent. To be told from time to time until then. Others may take over meanwhile, but its holder
    /// is not out for that.
    pub fn request_waits(&mut self, now: Duration, request: RequestId) {
        if let Some(asked) = self.requests.get_mut(&request) {
            asked.at = now;
        }
    }

    /// A request was sent before it was asked for here: when its first byte comes says nothing of the way there and back,
    /// and what it brings at first nothing of its holder's rate.
    pub fn request_was_sent_before(&mut self, request: RequestId) {
        if let Some(asked) = self.requests.get_mut(&request) {
            (asked.measures_latency, asked.sent_before) = (false, true);
        }
    }

    /// What came of a request is not taken for now, because of a limit of our own: that is no silence of its holder, and
    /// no reason to doubt it. To be told from time to time until more is taken.
    pub fn request_held(&mut self, now: Duration, request: RequestId) {
        if self.requests.contains_key(&request)
            && let Some(holder) = self.holders.get_mut(&request.holder)
        {
            self.changed |= holder.heard(now);
        }
    }

    fn end_pauses(&mut self, now: Duration) {
        for holder in self.holders.values_mut() {
            if holder.paused_until.is_some_and(|until| until <= now) {
                holder.paused_until = None;
                self.changed = true;
            }
        }
    }

    fn drop_silent(&mut self, now: Duration) {
        for id in self.holders_where(|holder| !holder.open.is_empty() && self.drop_at(holder) <= now) {
            self.drop_holder(now, id, DropReason::Silent);
        }
    }

    fn demote_silent(&mut self, now: Duration) {
        let silent = |holder: &Holder| !holder.open.is_empty() && self.demote_at(holder) <= now;
        for id in self.holders_where(silent) {
            if let Some(holder) = self.holders.get_mut(&id) {
                self.changed |= !holder.demoted;
                holder.demoted = true;
            }
        }
    }

    /// Gives to others what demoted holders were asked for besides their oldest request; that one too, if something of
    /// it is shared, so that somebody else can share it.
    fn unburden_demoted(&mut self, now: Duration) {
        if !self.holders.values().any(Holder::is_usable) {
            return;
        }
        for id in self.holders_where(|holder| holder.demoted) {
            let open = self.holders.get(&id).map_or(Vec::new(), |holder| holder.open.clone());
            for (place, request) in open.into_iter().enumerate() {
                if place > 0 || self.tracker.shares(request) {
                    self.cancel(now, request);
                }
            }
        }
    }

    fn holders_where(&self, is: impl Fn(&Holder) -> bool) -> Vec<HolderId> {
        self.holders.iter().filter(|(_, holder)| is(holder)).map(|(&id, _)| id).collect()
    }

    fn demote_at(&self, holder: &Holder) -> Duration {
        holder.quiet_since + self.config.demote_after
    }

    /// A holder that was silent before it was asked anew has some time to answer.
    fn drop_at(&self, holder: &Holder) -> Duration {
        let asked = holder.open.first().and_then(|request| self.requests.get(request));
        let answer_by = asked.map_or(Duration::ZERO, |asked| asked.at + self.config.demote_after);
        answer_by.max(holder.quiet_since + self.config.drop_after)
    }
}
