//! Where the index is, by its own word, whoever hands it on: for those who do not find it where they were told to look.

use certs::{Signed, UnixMillis};
use wire::message::Address;
use wire::{IndexPlace, Presence, VerifiedPlace, limits};

use super::refusal::{Refusal, Refused};
use super::{Replica, lock};

impl Replica {
    /// At the index: says where it is, at most 8 addresses, and since when it runs. `None` without an address, and anywhere
    /// else.
    pub fn say_place(&self, mut addresses: Vec<Address>, since: UnixMillis) -> Option<IndexPlace> {
        let key = self.inner.issuer.as_ref().filter(|_| !addresses.is_empty())?;
        addresses.truncate(limits::ADDRESSES);
        let mut place = lock(&self.inner.place);
        let time = self.time_after(place.as_ref().map(|last| last.presence.time));
        let presence = Presence::issue(key, self.inner.network, time, since, addresses);
        let said = VerifiedPlace { presence, certificate: self.certificate() };
        Some(place.insert(said).bundle())
    }

    /// Where the index says that it is; `None` where nobody has said so of the one that counts here.
    pub fn index_place(&self) -> Option<VerifiedPlace> {
        let newest = self.certificate().epoch;
        lock(&self.inner.place).clone().filter(|place| place.certificate.epoch >= newest)
    }

    /// Takes the index's word, unless a later one is here; whether it was new. The index knows where it is.
    pub(super) fn take_place(&self, place: &IndexPlace) -> Result<bool, Refused> {
        let forged = |text: String| Refused::new(Refusal::Forged, text);
        let now = self.now();
        let word = Signed::<Presence>::parse(&place.presence).map_err(|error| forged(error.to_string()))?;
        if word.is_early(now) {
            return Err(Refused::new(Refusal::Untimely, "the word of the index is from the future"));
        }
        let verified = place.verify(&self.inner.network, now).map_err(|error| forged(error.text))?;
        if verified.certificate.epoch < self.certificate().epoch {
            return Err(Refused::new(Refusal::OldSequence, "the word of an index that is none any more"));
        }
        let mut known = lock(&self.inner.place);
        let is_known = known.as_ref().is_some_and(|known| known.rank() >= verified.rank());
        if is_known || self.inner.issuer.is_some() {
            return Ok(false);
        }
        self.set_certificate(verified.certificate.clone());
        *known = Some(verified);
        Ok(true)
    }
}
