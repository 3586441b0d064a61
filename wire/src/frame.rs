//! Frames: a length of 4 bytes, big-endian, and that many bytes of one CBOR item. PROTOCOL.md, "Framing".

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::cbor::{self, CborError};
use crate::error::{ErrorBody, ErrorCode};

/// Why no frame could be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream ended, was reset, or its connection is gone.
    #[error("the stream ended: {0}")]
    Io(#[from] io::Error),
    /// The length is over the bound for this sender; nothing of it was read.
    #[error("a frame of {actual} bytes, where at most {limit} are allowed")]
    TooLarge {
        /// The length that it announces.
        actual: usize,
        /// The bound.
        limit: usize,
    },
    /// Its content is not what was expected.
    #[error("a frame that cannot be read: {0}")]
    Cbor(#[from] CborError),
}

impl FrameError {
    /// What to answer to whoever sent it.
    pub fn to_body(&self) -> ErrorBody {
        let code = match self {
            Self::Io(_) | Self::Cbor(_) => ErrorCode::BadMessage,
            Self::TooLarge { .. } => ErrorCode::TooLarge,
        };
        ErrorBody::new(code, self.to_string())
    }
}

/// Reads one frame's content, not yet checked. Nothing is allocated before the length has passed its bound.
///
/// # Errors
/// [`FrameError::Io`] and [`FrameError::TooLarge`].
///
/// # Cancel safety
/// Not cancel safe: what was read of the frame is lost.
pub async fn read_bytes(reader: &mut (impl AsyncRead + Unpin), limit: usize) -> Result<Vec<u8>, FrameError> {
    let mut length = [0; 4];
    reader.read_exact(&mut length).await?;
    let actual = u32::from_be_bytes(length) as usize;
    if actual > limit {
        return Err(FrameError::TooLarge { actual, limit });
    }
    let mut bytes = Vec::new();
    // Memory grows with what arrives, not with what is announced.
    let read = reader.take(actual as u64).read_to_end(&mut bytes).await?;
    if read < actual {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(bytes)
}

/// Reads one frame and decodes it.
///
/// # Errors
/// See [`FrameError`].
///
/// # Cancel safety
/// Not cancel safe: what was read of the frame is lost.
pub async fn read<T: DeserializeOwned>(
    reader: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<T, FrameError> {
    let bytes = read_bytes(reader, limit).await?;
    Ok(cbor::decode(&bytes, limit)?)
}

/// The frame of a value: length and content.
///
/// # Errors
/// [`FrameError::TooLarge`] if it would be over `limit` at the receiver.
pub fn encode<T: Serialize>(value: &T, limit: usize) -> Result<Vec<u8>, FrameError> {
    let content = cbor::encode(value);
    let actual = content.len();
    let length = match u32::try_from(actual) {
        Ok(length) if actual <= limit => length,
        _ => return Err(FrameError::TooLarge { actual, limit }),
    };
    Ok([length.to_be_bytes().as_slice(), &content].concat())
}

/// Writes a value as one frame.
///
/// # Errors
/// See [`FrameError`].
///
/// # Cancel safety
/// Not cancel safe: part of the frame may have been written.
pub async fn write<T: Serialize>(
    writer: &mut (impl AsyncWrite + Unpin),
    value: &T,
    limit: usize,
) -> Result<(), FrameError> {
    let frame = encode(value, limit)?;
    Ok(writer.write_all(&frame).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
    }

    async fn read_from(bytes: &[u8], limit: usize) -> Result<Vec<u64>, FrameError> {
        read(&mut &*bytes, limit).await
    }

    #[test]
    fn round_trips_also_in_pieces() {
        block_on(async {
            let value = vec![1_u64, 2, 3_000_000];
            let frame = encode(&value, 100).expect("fits");
            assert_eq!(read_from(&frame, 100).await.expect("reads"), value);
            let (mut near, mut far) = tokio::io::duplex(1);
            let writing = async move { write(&mut near, &value, 100).await };
            let (written, read) = tokio::join!(writing, read::<Vec<u64>>(&mut far, 100));
            written.expect("written");
            assert_eq!(read.expect("read"), [1, 2, 3_000_000]);
        });
    }

    #[test]
    fn bad_frames() {
        block_on(async {
            let too_large = read_from(&[0, 0, 0, 101], 100).await;
            assert!(matches!(too_large, Err(FrameError::TooLarge { actual: 101, limit: 100 })));
            let huge = read_from(&[0xff; 8], 100).await;
            assert!(matches!(huge, Err(FrameError::TooLarge { .. })));
            assert!(matches!(read_from(&[0, 0, 0], 100).await, Err(FrameError::Io(_))));
            assert!(matches!(read_from(&[0, 0, 0, 9, 0x80], 100).await, Err(FrameError::Io(_))));
            assert!(matches!(read_from(&[0, 0, 0, 1, 0xff], 100).await, Err(FrameError::Cbor(_))));
            assert!(matches!(read_from(&[0, 0, 0, 0], 100).await, Err(FrameError::Cbor(_))));
            assert!(matches!(read_from(&[0, 0, 0, 2, 0x80, 0x80], 9).await, Err(FrameError::Cbor(_))));
            assert!(encode(&vec![0_u64; 200], 100).is_err());
        });
    }
}
