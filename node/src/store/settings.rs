//! Small things that the node remembers under a name.

use bytes::Bytes;
use rusqlite::Connection;

use super::columns::{first, get, run};
use super::{DbError, Store};

impl Store {
    /// What is remembered under a key.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn setting(&self, key: &'static str) -> Result<Option<Bytes>, DbError> {
        let query = move |connection: &Connection| {
            first(connection, "SELECT value FROM setting WHERE key = ?1", [key], |row| get(row, "value"))
        };
        self.db().read("read a setting", query).await
    }

    /// Remembers a value under a key, in place of the one before.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn set_setting(&self, key: &'static str, value: impl Into<Bytes>) -> Result<(), DbError> {
        let value = value.into();
        self.db().write("write a setting", move |transaction| set(transaction, key, &value)).await
    }
}

/// Remembers a value. See [`Store::set_setting`].
pub(super) fn set(connection: &Connection, key: &str, value: &[u8]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO setting (key, value) VALUES (?1, ?2)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    run(connection, sql, (key, value)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Fixture;

    #[tokio::test]
    async fn settings_are_kept_and_replaced() {
        let mut fixture = Fixture::new();
        let store = &fixture.store;
        assert_eq!(store.setting("port").await.expect("read"), None);
        store.set_setting("port", vec![1]).await.expect("set");
        store.set_setting("port", vec![2, 3]).await.expect("set");
        fixture.reopen().await;
        let store = &fixture.store;
        assert_eq!(store.setting("port").await.expect("read").as_deref(), Some(&[2, 3][..]));
    }
}
