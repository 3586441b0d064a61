//! L: what is shared now, or which versions there are of one resource.

use wire::ErrorBody;
use wire::message::{List, Page};

use super::{IndexService, online};
use crate::reading::{self, Origin};
use crate::session::Member;

impl IndexService {
    pub(super) async fn list(&self, member: &Member, list: List) -> Result<Page, ErrorBody> {
        let online = online(&self.inner.presence);
        reading::list(&self.inner.registry, online, &member.user, Origin::INDEX, list).await
    }
}
