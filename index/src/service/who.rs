//! `who`: the users that are online, in the order of their names.

use certs::UserName;
use serde::{Deserialize, Serialize};
use wire::ErrorBody;
use wire::message::{Who, WhoPage};

use super::{IndexService, page_limit};
use crate::cursor::{self, Cursor};
use crate::session::{IndexSession, Member};

/// The last user of the page before.
#[derive(Serialize, Deserialize)]
struct After(UserName);

impl Cursor for After {
    const LETTER: char = 'W';
}

impl IndexService {
    pub(super) fn who(&self, session: &IndexSession, _: &Member, who: &Who) -> Result<WhoPage, ErrorBody> {
        let after: Option<After> = cursor::decode(who.cursor.as_ref())?;
        let after = after.map(|After(user)| user);
        let (users, more) = self.inner.presence.who(after.as_ref(), page_limit(who.limit), session);
        let last = users.last().filter(|_| more);
        let next = last.map(|last| cursor::encode(&After(last.user.clone())));
        Ok(WhoPage { users, next })
    }
}
