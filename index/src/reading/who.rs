//! `who`: the users that are online, in the order of their names.

use certs::UserName;
use serde::{Deserialize, Serialize};
use wire::ErrorBody;
use wire::message::{OnlineUser, Who, WhoPage};

use crate::cursor::{self, Cursor};

/// The last user of the page before.
#[derive(Serialize, Deserialize)]
struct After(UserName);

impl Cursor for After {
    const LETTER: char = 'W';
}

/// The user after whom a page begins.
pub(crate) fn after(who: &Who) -> Result<Option<UserName>, ErrorBody> {
    let after: Option<After> = cursor::decode(who.cursor.as_ref())?;
    Ok(after.map(|After(user)| user))
}

/// A page of these users; `more` follow.
pub(crate) fn who_page(users: Vec<OnlineUser>, more: bool) -> WhoPage {
    let last = users.last().filter(|_| more);
    let next = last.map(|last| cursor::encode(&After(last.user.clone())));
    WhoPage { users, next }
}
