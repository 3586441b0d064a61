//! How values stand in the database, and how they come back checked.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use certs::{AccountId, NodeId, UnixMillis, UnixNanos, UserName};
use rusqlite::types::{ToSqlOutput, Type, Value, ValueRef};
use rusqlite::{OptionalExtension, Params, Row};
use wire::{ContentHash, PageHash, RecordHash, ResourceName, RootHash, SignedRecord};

use super::fs::FileStamp;
use crate::ranges::RangeSet;
use crate::rate::Rate;

/// A value that stands in one column.
pub(super) trait Column: Sized {
    /// As it is written.
    fn sql(&self) -> ToSqlOutput<'_>;
    /// As it is read; `None` where the column holds something else.
    fn from_sql(value: ValueRef<'_>) -> Option<Self>;
}

/// Reads a column of a row.
pub(super) fn get<T: Column>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    T::from_sql(row.get_ref(column)?).ok_or_else(|| unreadable(row, column))
}

/// The error for a column that holds what this program never writes.
pub(super) fn unreadable(row: &Row<'_>, column: &str) -> rusqlite::Error {
    let index = row.as_ref().column_index(column).unwrap_or(0);
    rusqlite::Error::FromSqlConversionFailure(index, Type::Blob, format!("no usable {column}").into())
}

/// The stamp that a row holds in four columns.
pub(super) fn stamp(row: &Row<'_>) -> rusqlite::Result<FileStamp> {
    Ok(FileStamp {
        size: get(row, "size")?,
        mtime: get(row, "mtime")?,
        inode: get(row, "inode")?,
        device: get(row, "device")?,
    })
}

/// All rows of a query.
pub(super) fn all<T>(
    connection: &rusqlite::Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(params, read)?.collect()
}

/// The first row of a query, if there is one.
pub(super) fn first<T>(
    connection: &rusqlite::Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    connection.prepare_cached(sql)?.query_row(params, read).optional()
}

/// Runs a statement; returns how many rows it changed.
pub(super) fn run(
    connection: &rusqlite::Connection,
    sql: &str,
    params: impl Params,
) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute(params)
}

fn blob(bytes: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Blob(bytes))
}

fn text(text: &str) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))
}

fn integer(number: i64) -> ToSqlOutput<'static> {
    ToSqlOutput::Owned(Value::Integer(number))
}

macro_rules! blob_columns {
    ($($type:ty),*) => {$(
        impl Column for $type {
            fn sql(&self) -> ToSqlOutput<'_> {
                blob(self.as_bytes())
            }

            fn from_sql(value: ValueRef<'_>) -> Option<Self> {
                Self::from_slice(value.as_blob().ok()?)
            }
        }
    )*};
}

blob_columns!(ContentHash, RecordHash, PageHash, RootHash, AccountId);

macro_rules! text_columns {
    ($($type:ty),*) => {$(
        impl Column for $type {
            fn sql(&self) -> ToSqlOutput<'_> {
                text(self.as_str())
            }

            fn from_sql(value: ValueRef<'_>) -> Option<Self> {
                value.as_str().ok()?.parse().ok()
            }
        }
    )*};
}

text_columns!(ResourceName, UserName, String);

impl Column for Rate {
    /// Bytes a second; 0 is no limit.
    fn sql(&self) -> ToSqlOutput<'_> {
        integer(self.bytes().unwrap_or(0).cast_signed())
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        Self::new(u64::try_from(value.as_i64().ok()?).ok()?).ok()
    }
}

impl Column for NodeId {
    fn sql(&self) -> ToSqlOutput<'_> {
        blob(self.as_bytes())
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        Self::from_slice(value.as_blob().ok()?).ok()
    }
}

impl Column for Bytes {
    fn sql(&self) -> ToSqlOutput<'_> {
        blob(self)
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        value.as_blob().ok().map(Self::copy_from_slice)
    }
}

/// The bytes of a path, of whatever encoding.
pub(super) fn path_sql(path: &Path) -> ToSqlOutput<'_> {
    blob(path.as_os_str().as_bytes())
}

impl Column for PathBuf {
    fn sql(&self) -> ToSqlOutput<'_> {
        path_sql(self)
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        Some(OsString::from_vec(value.as_blob().ok()?.to_vec()).into())
    }
}

/// A record whose signature is checked again when it is read: about 50 µs.
impl Column for Arc<SignedRecord> {
    fn sql(&self) -> ToSqlOutput<'_> {
        blob(self.bytes())
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        SignedRecord::parse(value.as_blob().ok()?).ok().map(Self::new)
    }
}

impl Column for RangeSet {
    fn sql(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Owned(Value::Blob(self.encode()))
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        Self::decode(value.as_blob().ok()?).ok()
    }
}

/// All 64 bits, so numbers from 2^63 upwards are negative in the database: only inode and device reach that.
impl Column for u64 {
    fn sql(&self) -> ToSqlOutput<'_> {
        integer(self.cast_signed())
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        value.as_i64().ok().map(i64::cast_unsigned)
    }
}

impl Column for UnixNanos {
    fn sql(&self) -> ToSqlOutput<'_> {
        integer(self.0)
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        value.as_i64().ok().map(Self)
    }
}

impl Column for UnixMillis {
    fn sql(&self) -> ToSqlOutput<'_> {
        integer(self.0.cast_signed())
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        u64::from_sql(value).map(Self)
    }
}

impl Column for bool {
    fn sql(&self) -> ToSqlOutput<'_> {
        integer((*self).into())
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        match value.as_i64().ok()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl<T: Column> Column for Option<T> {
    fn sql(&self) -> ToSqlOutput<'_> {
        match self {
            Some(value) => value.sql(),
            None => ToSqlOutput::Owned(Value::Null),
        }
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Null => Some(None),
            value => T::from_sql(value).map(Some),
        }
    }
}

/// An enum without fields that stands as a word.
macro_rules! word_column {
    ($type:ident { $($variant:ident => $word:literal),* $(,)? }) => {
        impl $type {
            /// Its word: in the database, in listings, in JSON.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),*
                }
            }
        }

        impl $crate::store::columns::Column for $type {
            fn sql(&self) -> rusqlite::types::ToSqlOutput<'_> {
                rusqlite::types::ToSqlOutput::Borrowed(rusqlite::types::ValueRef::Text(self.as_str().as_bytes()))
            }

            fn from_sql(value: rusqlite::types::ValueRef<'_>) -> Option<Self> {
                match value.as_str().ok()? {
                    $($word => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

pub(super) use word_column;
