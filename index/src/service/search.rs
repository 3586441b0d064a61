//! S: the entries that match a query.

use wire::ErrorBody;
use wire::message::{Page, Search};

use super::{IndexService, online};
use crate::reading::{self, Origin};
use crate::session::Member;

impl IndexService {
    pub(super) async fn search(&self, _: &Member, search: Search) -> Result<Page, ErrorBody> {
        let online = online(&self.inner.presence);
        reading::search(&self.inner.registry, online, Origin::INDEX, search).await
    }
}
