//! `who`: the users that are online, in the order of their names.

use wire::ErrorBody;
use wire::message::{Who, WhoPage};

use super::IndexService;
use crate::reading::{self, page_limit};
use crate::session::{IndexSession, Member};

impl IndexService {
    pub(super) fn who(&self, session: &IndexSession, _: &Member, who: &Who) -> Result<WhoPage, ErrorBody> {
        let after = reading::after(who)?;
        let (users, more) = self.inner.presence.who(after.as_ref(), page_limit(who.limit), session);
        Ok(reading::who_page(users, more))
    }
}
