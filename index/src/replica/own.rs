//! What this node itself publishes and holds, and where it is.

use certs::{Enrolment, SecretKey, Signed, UnixMillis};
use serde_bytes::ByteBuf;
use wire::message::{Address, RecordBundle};
use wire::{
    ContentHash, Digest, ErrorBody, ErrorCode, Presence, PresenceBundle, Receipt, Record, ResourceName,
    limits, record_refusal,
};

use super::news::NotTaken;
use super::{Replica, lock};
use crate::registry::{Given, Publisher, Replicated, Word};

/// What this node publishes and holds here, to be compared with what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnDigests {
    /// [`wire::message::records_digest`] of the entries that this node publishes, tombstones included.
    pub records: Digest,
    /// [`wire::message::holdings_digest`] of what this node holds.
    pub holdings: Digest,
}

impl Replica {
    /// Enters this node, or its new membership. Comes before it publishes or holds anything here; once is enough, also over
    /// restarts.
    ///
    /// # Errors
    /// `bad-record` where the enrolment is not this node's; `not-member` where its user name is another account's here.
    pub async fn enrol(&self, enrolment: &Enrolment) -> Result<(), ErrorBody> {
        let membership = &enrolment.membership;
        if membership.node != self.inner.node || membership.network != self.inner.network {
            return Err(ErrorBody::new(ErrorCode::BadRecord, "the enrolment is not this node's"));
        }
        let known = lock(&self.inner.known).node(&self.inner.node).cloned();
        let same = |known: super::Node| {
            (known.account, known.serial, known.not_after)
                == (membership.account, membership.serial, membership.not_after)
        };
        if known.is_some_and(same) {
            return Ok(());
        }
        self.enter(&self.inner.node, enrolment).await.map_err(to_body)?;
        self.inner.hears.set_own(Some(membership.account));
        Ok(())
    }

    /// Takes records of this node, each with the index's receipt and certificate, or without. One that another one beats
    /// stays away, as at the index.
    ///
    /// # Errors
    /// `not-member` before [`Replica::enrol`]; `bad-record` for a record that is not this node's.
    ///
    /// # Cancel safety
    /// What has begun is finished all the same; batches of 128 come one after the other.
    pub async fn publish(&self, records: Vec<RecordBundle>) -> Result<(), ErrorBody> {
        let publisher = self.publisher().await?;
        for batch in records.chunks(limits::BATCH_RECORDS) {
            let records = batch.iter().map(|bundle| self.own_record(bundle)).collect::<Result<_, _>>()?;
            self.inner.registry.replicate(publisher, records, self.now()).await?;
        }
        self.inner.hears.own_changes();
        Ok(())
    }

    fn own_record(&self, bundle: &RecordBundle) -> Result<Replicated, ErrorBody> {
        let bad = |text: &str| ErrorBody::new(ErrorCode::BadRecord, text);
        let record = Signed::<Record>::parse(&bundle.record).map_err(|error| record_refusal(&error))?;
        if record.node != self.inner.node || record.network != self.inner.network {
            return Err(bad("the record is not this node's"));
        }
        let receipt = match (&bundle.receipt, &bundle.certificate) {
            (Some(receipt), Some(certificate)) => {
                let time = Signed::<Receipt>::parse(receipt).map_err(|error| bad(&error.to_string()))?.time;
                Some(Given { receipt: receipt.to_vec(), time, certificate: certificate[..].into() })
            }
            (None, _) => None,
            (Some(_), None) => return Err(bad("a receipt comes with its certificate")),
        };
        Ok(Replicated { record, receipt })
    }

    /// What this node publishes and holds here, under this account's user name.
    ///
    /// # Errors
    /// `not-member` before [`Replica::enrol`].
    pub async fn own_digests(&self) -> Result<OwnDigests, ErrorBody> {
        let own = self.own()?;
        let (records, holdings) = self.inner.registry.own_digests(own.row, own.user).await?;
        Ok(OwnDigests { records, holdings })
    }

    /// What this node publishes here, in the order of names, from the one after this one on: at most 128. Records that it
    /// lost itself, and that came back from others, are among them.
    ///
    /// # Errors
    /// `not-member` before [`Replica::enrol`].
    pub async fn own_records(&self, after: Option<ResourceName>) -> Result<Vec<RecordBundle>, ErrorBody> {
        let own = self.own()?;
        Ok(self.inner.registry.own_records(own.row, own.user, after).await?)
    }

    /// What this node holds whole, in place of all that was known of that.
    ///
    /// # Errors
    /// `not-member` before [`Replica::enrol`]; `quota` beyond 200,000.
    pub async fn set_held(&self, mut contents: Vec<ContentHash>) -> Result<(), ErrorBody> {
        let own = self.own()?;
        if contents.len() > limits::HOLDINGS_PER_NODE {
            return Err(ErrorBody::new(ErrorCode::Quota, "more than a node may hold"));
        }
        contents.sort_unstable();
        contents.dedup();
        self.inner.registry.set_held(own.row, contents).await?;
        self.inner.hears.own_changes();
        Ok(())
    }

    /// Adds contents that this node holds whole.
    ///
    /// # Errors
    /// `not-member` before [`Replica::enrol`].
    pub async fn hold(&self, contents: Vec<ContentHash>) -> Result<(), ErrorBody> {
        let own = self.own()?;
        self.inner.registry.hold_whole(own.row, contents).await?;
        self.inner.hears.own_changes();
        Ok(())
    }

    /// Takes contents away that this node no longer holds.
    ///
    /// # Errors
    /// `not-member` before [`Replica::enrol`].
    pub async fn unhold(&self, contents: Vec<ContentHash>) -> Result<(), ErrorBody> {
        let own = self.own()?;
        self.inner.registry.unhold(own.row, contents).await?;
        self.inner.hears.own_changes();
        Ok(())
    }

    /// Says where this node is, at most 8 addresses, and since when it runs. No addresses: it stops. Good for 15 minutes.
    ///
    /// # Errors
    /// See [`Replica::enrol`].
    pub async fn say_presence(
        &self,
        key: &SecretKey,
        enrolment: &Enrolment,
        mut addresses: Vec<Address>,
        since: UnixMillis,
    ) -> Result<PresenceBundle, ErrorBody> {
        self.enrol(enrolment).await?;
        addresses.truncate(limits::ADDRESSES);
        let (row, last) = {
            let known = lock(&self.inner.known);
            let own = known.node(&self.inner.node).ok_or_else(super::not_enrolled)?;
            (own.row, own.word.as_ref().map(|word| word.time))
        };
        let time = self.time_after(last);
        let word = Word { time, since, addresses: addresses.clone() };
        let presence = Presence::issue(key, self.inner.network, time, since, addresses);
        let words = vec![(row, word.clone(), presence.bytes().to_vec())];
        self.inner.registry.keep_words(words).await?;
        lock(&self.inner.known).set_word(&self.inner.node, word);
        let enrolment = Some(ByteBuf::from(enrolment.to_bytes()));
        Ok(PresenceBundle { presence: ByteBuf::from(presence.bytes()), enrolment })
    }

    /// The rows that this node's records hang on.
    pub(super) async fn publisher(&self) -> Result<Publisher, ErrorBody> {
        let own = self.own()?;
        let account = self.inner.registry.account(own.user).await?.ok_or_else(super::not_enrolled)?;
        Ok(Publisher { account: (account.row, own.account), node: own.row })
    }
}

/// As this node's user is told.
pub(super) fn to_body(error: NotTaken) -> ErrorBody {
    match error {
        NotTaken::Refused(refused) => ErrorBody::new(ErrorCode::NotMember, refused.text),
        NotTaken::Failed(error) => error.to_body(),
    }
}
