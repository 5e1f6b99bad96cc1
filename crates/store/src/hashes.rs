//! Hashes in columns: thirty-two bytes on both engines.

use std::fmt;

use directpay_domain::digest::Digest;
use rusqlite::ToSql;
use rusqlite::types::ToSqlOutput;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef, Postgres};
use sqlx::{Decode, Type};

/// A [`Digest`] as a value of a column. Whatever else stands in the column reads as none: that is for the audit to find, and
/// not for everybody to stumble over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hash(pub(crate) Option<Digest>);

impl Hash {
    pub(crate) fn of(digest: Digest) -> Hash {
        Hash(Some(digest))
    }

    fn from_bytes(bytes: &[u8]) -> Hash {
        Hash(Digest::from_bytes(bytes).ok())
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |digest| &digest.0)
    }

    /// Behind an event without a hash nothing follows that fits.
    pub(crate) fn digest(self) -> Digest {
        self.0.unwrap_or(Digest::ZERO)
    }
}

/// In a batch for PostgreSQL, which is JSON, as that engine writes bytes in text.
impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&self.0.map(|digest| digest.hex_after("\\x")).unwrap_or_default())
        } else {
            serializer.serialize_bytes(self.bytes())
        }
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Hash;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Hash, E> {
                Ok(Hash::from_bytes(bytes))
            }
            // SQLite keeps whatever somebody writes into a column.
            fn visit_str<E: de::Error>(self, _: &str) -> Result<Hash, E> {
                Ok(Hash(None))
            }
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Hash, E> {
                Ok(Hash(None))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

impl ToSql for Hash {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.bytes().into())
    }
}

impl Type<Postgres> for Hash {
    fn type_info() -> PgTypeInfo {
        <[u8] as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Hash {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <&[u8] as Encode<Postgres>>::encode_by_ref(&self.bytes(), buffer)
    }
}

impl Decode<'_, Postgres> for Hash {
    fn decode(value: PgValueRef<'_>) -> Result<Hash, BoxDynError> {
        Ok(Hash::from_bytes(<&[u8] as Decode<Postgres>>::decode(value)?))
    }
}
