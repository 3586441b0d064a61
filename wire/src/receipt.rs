//! Receipts: the index says when it accepted a record.

use certs::{
    IndexCertificate, IssuerHash, NetworkId, PublicKey, SecretKey, Signed, SignedError, Statement, UnixMillis,
};
use serde::{Deserialize, Serialize};

use crate::hash::RecordHash;

/// Index: I accepted this record at this time. It travels with the record and outlives the publisher's membership.
/// PROTOCOL.md, "Receipts".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// 0.
    pub format: u8,
    /// The network.
    pub network: NetworkId,
    /// BLAKE3 of the certificate of the index that signs this.
    pub issuer: IssuerHash,
    /// The record.
    pub record: RecordHash,
    /// When it was accepted, by the index's clock.
    pub time: UnixMillis,
}

/// Why a receipt is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not a signed object of this kind.
    #[error("the receipt is not valid: {0}")]
    Signed(#[from] SignedError),
    /// Signed by somebody other than the index that the certificate names.
    #[error("the receipt was not issued by this network's index")]
    OtherIssuer,
    /// For another record.
    #[error("the receipt is for another record")]
    OtherRecord,
}

impl Receipt {
    /// Issues one as the index of this certificate.
    pub fn issue(
        index: &SecretKey,
        certificate: &Signed<IndexCertificate>,
        record: RecordHash,
        time: UnixMillis,
    ) -> Signed<Self> {
        let (network, issuer) = (certificate.network, IssuerHash::from_bytes(*certificate.hash()));
        Signed::sign(index, Self { format: 0, network, issuer, record, time })
    }

    /// Checks a receipt of the index with this certificate (which the caller has verified) for a record.
    ///
    /// # Errors
    /// See [`ReceiptError`].
    pub fn verify(
        bytes: &[u8],
        certificate: &Signed<IndexCertificate>,
        record: RecordHash,
    ) -> Result<Signed<Self>, ReceiptError> {
        let receipt = Signed::<Self>::parse(bytes)?;
        Self::check_given(&receipt, certificate, record)?;
        Ok(receipt)
    }

    /// The same for one whose signature was checked.
    ///
    /// # Errors
    /// [`ReceiptError::OtherIssuer`], [`ReceiptError::OtherRecord`].
    pub fn check_given(
        receipt: &Signed<Self>,
        certificate: &Signed<IndexCertificate>,
        record: RecordHash,
    ) -> Result<(), ReceiptError> {
        if *receipt.signer() != certificate.node
            || receipt.issuer.as_bytes() != certificate.hash()
            || receipt.network != certificate.network
        {
            return Err(ReceiptError::OtherIssuer);
        }
        if receipt.record != record {
            return Err(ReceiptError::OtherRecord);
        }
        Ok(())
    }
}

impl Statement for Receipt {
    const CONTEXT: &'static str = "p2p-node/0 receipt";
    const MAX_BYTES: usize = 512;

    fn check(&self, _: &PublicKey) -> Result<(), String> {
        match self.format {
            0 => Ok(()),
            other => Err(format!("a receipt of an unknown format, {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_index_and_only_for_its_record() {
        let (root, index) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let certificate = IndexCertificate::issue(&root, index.public(), 1, UnixMillis(0));
        let record = RecordHash::from_bytes([7; 32]);
        let good = Receipt::issue(&index, &certificate, record, UnixMillis(9));
        assert!(Receipt::verify(good.bytes(), &certificate, record).is_ok());
        let other = RecordHash::from_bytes([8; 32]);
        assert_eq!(Receipt::verify(good.bytes(), &certificate, other), Err(ReceiptError::OtherRecord));
        let forged = Receipt::issue(&root, &certificate, record, UnixMillis(9));
        assert_eq!(Receipt::verify(forged.bytes(), &certificate, record), Err(ReceiptError::OtherIssuer));
    }
}
