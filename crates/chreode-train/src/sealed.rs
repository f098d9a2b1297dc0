//! States as bytes that show whether they are whole: magic, format, checksum, content.

use crate::CheckpointError;
use crate::data::Fnv;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// `content` as bytes.
///
/// # Errors
/// [`CheckpointError::Damaged`] if it cannot be encoded, which no state that was seen has caused.
pub(crate) fn seal(
    magic: [u8; 8],
    format: u32,
    content: &impl Serialize,
) -> Result<Vec<u8>, CheckpointError> {
    let mut bytes = magic.to_vec();
    bytes.extend_from_slice(&format.to_le_bytes());
    bytes.extend_from_slice(&[0; 8]);
    let mut bytes = postcard::to_extend(content, bytes)
        .map_err(|_| CheckpointError::Damaged { what: "the state cannot be encoded" })?;
    let sum = checksum(&bytes[20..]).to_le_bytes();
    bytes[12..20].copy_from_slice(&sum);
    Ok(bytes)
}

/// What was sealed.
///
/// # Errors
/// [`CheckpointError::Damaged`] and [`CheckpointError::Format`].
pub(crate) fn unseal<S: DeserializeOwned>(
    magic: [u8; 8],
    format: u32,
    bytes: &[u8],
) -> Result<S, CheckpointError> {
    let damaged = |what| CheckpointError::Damaged { what };
    let (found, rest) = bytes.split_first_chunk::<8>().ok_or(damaged("too short"))?;
    if *found != magic {
        return Err(damaged("it does not begin as one"));
    }
    let (found, rest) = rest.split_first_chunk::<4>().ok_or(damaged("too short"))?;
    let found = u32::from_le_bytes(*found);
    if found != format {
        return Err(CheckpointError::Format { found, expected: format });
    }
    let (sum, content) = rest.split_first_chunk::<8>().ok_or(damaged("too short"))?;
    if checksum(content) != u64::from_le_bytes(*sum) {
        return Err(damaged("its checksum does not fit"));
    }
    postcard::from_bytes(content).map_err(|_| damaged("its content cannot be read"))
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut hash = Fnv::default();
    hash.add(bytes);
    hash.0
}
