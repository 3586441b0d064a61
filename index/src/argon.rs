//! Argon2id whose memory goes back to the system after each hash.
//!
//! glibc's allocator keeps what threads free in their arenas: with 19 MiB a hash on the threads of a pool that is hundreds
//! of MiB. What is larger than its largest threshold (`DEFAULT_MMAP_THRESHOLD_MAX`, 32 MiB) is mapped by itself and
//! unmapped when it is freed; only what is touched of it is ever in memory.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::{CustomizedPasswordHasher, Error, PasswordHasher, Result};
use argon2::{Algorithm, Argon2, Block, Params, Version};

/// What is asked for at least: beyond the allocator's threshold, its header included.
const MAPPED_BYTES: usize = 33 << 20;

/// Hashes and verifies with the parameters of [`Argon2::default`].
#[derive(Debug, Clone, Default)]
pub(crate) struct MappedArgon2(Argon2<'static>);

impl PasswordHasher<PasswordHash> for MappedArgon2 {
    fn hash_password_with_salt(&self, password: &[u8], salt: &[u8]) -> Result<PasswordHash> {
        self.hash_password_customized(password, salt, None, None, self.0.params().clone())
    }
}

impl CustomizedPasswordHasher<PasswordHash> for MappedArgon2 {
    type Params = Params;

    fn hash_password_customized(
        &self,
        password: &[u8],
        salt: &[u8],
        algorithm: Option<&str>,
        version: Option<u32>,
        params: Params,
    ) -> Result<PasswordHash> {
        let algorithm = algorithm.map(Algorithm::try_from).transpose()?.unwrap_or_default();
        let version = version.map(Version::try_from).transpose()?.unwrap_or_default();
        let salt = Salt::new(salt)?;
        let mut output = [0; Output::MAX_LENGTH];
        let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        let output = output.get_mut(..length).ok_or(Error::OutputSize)?;
        let mut memory = memory(params.block_count())?;
        Argon2::new(algorithm, version, params.clone()).hash_password_into_with_memory(
            password,
            &salt,
            output,
            memory.as_mut_slice(),
        )?;
        Ok(PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params: ParamsString::try_from(&params)?,
            salt: Some(salt),
            hash: Some(Output::new(output)?),
        })
    }
}

fn memory(blocks: usize) -> Result<Vec<Block>> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(blocks.max(MAPPED_BYTES / Block::SIZE)).map_err(|_| Error::Internal)?;
    memory.resize(blocks, Block::new());
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordVerifier;

    use super::*;

    #[test]
    fn the_same_as_the_original() {
        let salt = b"sixteen bytes...";
        let original = Argon2::default().hash_password_with_salt(b"correct horse", salt).expect("hashed");
        let mapped = MappedArgon2::default().hash_password_with_salt(b"correct horse", salt).expect("hashed");
        assert_eq!(original.to_string(), mapped.to_string());
        MappedArgon2::default().verify_password(b"correct horse", &original).expect("the right one");
        MappedArgon2::default().verify_password(b"wrong horse", &original).expect_err("the wrong one");
    }
}
