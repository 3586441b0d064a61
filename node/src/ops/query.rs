//! `list`, `search`, `versions`, `who`: asked of the index or the copy, turned into the documents of the control API.

use certs::UserName;
use data_encoding::BASE64URL_NOPAD;
use serde_bytes::ByteBuf;
use wire::message::{Entry, List, Page, Search, Who};
use wire::{ErrorBody, ErrorCode, ResourceName};

use crate::control::api::{
    ListRequest, NodeOnline, PageRequest, Resource, ResourcePage, ResourceVersion, SearchRequest, Source,
    UserOnline, VersionsPage, VersionsRequest, WhoPage,
};
use crate::control::{ApiError, ApiResult};
use crate::fallback::{Answered, Whom, source_of};
use crate::peer::Shared;

/// What a cursor of the copy begins with; those of the index are as they are. A list goes on where it began: what counts its
/// rows in one of the two says nothing in the other.
const OF_COPY: char = '~';

/// Where a list goes on.
#[derive(Debug, Clone)]
struct From {
    whom: Whom,
    cursor: Option<ByteBuf>,
}

impl Shared {
    /// One page of everything that is shared.
    pub(crate) async fn list(&self, request: ListRequest) -> ApiResult<ResourcePage> {
        self.need_login()?;
        let From { whom, cursor } = from(&request.page)?;
        let ListRequest { page, owner, online } = request;
        let list = List { limit: page.limit, owner, online, cursor, ..List::default() };
        Ok(resources(self.list_of(whom, list).await?))
    }

    /// One page of what matches.
    pub(crate) async fn search(&self, request: SearchRequest) -> ApiResult<ResourcePage> {
        self.need_login()?;
        let From { whom, cursor } = from(&request.page)?;
        let search = Search { query: request.query, limit: request.page.limit, online: false, cursor };
        let asked = self.ask_network(
            whom,
            |index| {
                let search = search.clone();
                async move { index.search(search).await }
            },
            |replica| {
                let search = search.clone();
                async move { replica.search(search).await }
            },
        );
        Ok(resources(asked.await?))
    }

    /// One page of the versions of a resource.
    ///
    /// # Errors
    /// `not-found` where there is no such resource.
    pub(crate) async fn versions(&self, request: VersionsRequest) -> ApiResult<VersionsPage> {
        self.need_login()?;
        let VersionsRequest { owner, name, page } = request;
        let From { whom, cursor } = from(&page)?;
        let first = cursor.is_none();
        let list = List {
            limit: page.limit,
            owner: Some(owner.clone()),
            name: Some(name.clone()),
            versions: true,
            cursor,
            ..List::default()
        };
        let Answered { answer, from_copy } = self.list_of(whom, list).await?;
        let items: Vec<_> = answer.items.into_iter().filter_map(version).collect();
        if first && items.is_empty() {
            let text = format!("there is no {owner}/{name}");
            return Err(ApiError::new(ErrorCode::NotFound, text)
                .with_hint(format!("`p2p-node list --owner {owner}` shows what {owner} shares")));
        }
        Ok(VersionsPage {
            items,
            next: answer.next.map(|next| text(&next, from_copy)),
            source: source_of(&answer.source),
            age_seconds: answer.age_ms / 1000,
        })
    }

    /// One page of who is online.
    pub(crate) async fn who(&self, request: PageRequest) -> ApiResult<WhoPage> {
        self.need_login()?;
        let From { whom, cursor } = from(&request)?;
        let who = Who { limit: request.limit, cursor };
        let asked = self.ask_network(
            whom,
            |index| {
                let who = who.clone();
                async move { index.who(who).await }
            },
            |replica| std::future::ready(replica.who(&who)),
        );
        let Answered { answer: page, from_copy } = asked.await?;
        let (source, age_seconds) = if from_copy { self.origin_of_copy() } else { (Source::Index, 0) };
        let users = page.users.into_iter().map(|user| UserOnline {
            user: user.user,
            nodes: user
                .nodes
                .into_iter()
                .map(|node| NodeOnline {
                    node: node.node,
                    address: node.address.map(|address| address.socket()),
                    since: node.since.into(),
                })
                .collect(),
        });
        let next = page.next.map(|next| text(&next, from_copy));
        Ok(WhoPage { users: users.collect(), next, source, age_seconds })
    }

    /// The entry of a resource that stands, if there is one.
    ///
    /// # Errors
    /// Those of the index or the copy.
    pub(super) async fn find_entry(&self, owner: UserName, name: ResourceName) -> ApiResult<Option<Entry>> {
        let list = List { owner: Some(owner), name: Some(name), limit: Some(1), ..List::default() };
        let page = self.list_of(Whom::Anybody, list).await?.answer;
        Ok(page.items.into_iter().next())
    }

    async fn list_of(&self, whom: Whom, list: List) -> Result<Answered<Page>, ErrorBody> {
        self.ask_network(
            whom,
            |index| {
                let list = list.clone();
                async move { index.list(list).await }
            },
            |replica| {
                let list = list.clone();
                async move { replica.list(list).await }
            },
        )
        .await
    }
}

fn resources(Answered { answer: page, from_copy }: Answered<Page>) -> ResourcePage {
    let items = page.items.into_iter().filter_map(|entry| {
        Some(Resource {
            owner: entry.owner,
            name: entry.name,
            kind: entry.kind,
            version: entry.version,
            size: entry.size,
            mtime: entry.mtime.into(),
            content: entry.content?,
            holders: entry.holders.into(),
            online: entry.online.into(),
        })
    });
    ResourcePage {
        items: items.collect(),
        next: page.next.map(|next| text(&next, from_copy)),
        source: source_of(&page.source),
        age_seconds: page.age_ms / 1000,
    }
}

/// `None` for a tombstone.
fn version(entry: Entry) -> Option<ResourceVersion> {
    Some(ResourceVersion {
        owner: entry.owner,
        name: entry.name,
        kind: entry.kind,
        version: entry.version,
        size: entry.size,
        mtime: entry.mtime.into(),
        published: entry.published.map(Into::into),
        node: entry.node,
        content: entry.content?,
        holders: entry.holders.into(),
        online: entry.online.into(),
    })
}

fn from(page: &PageRequest) -> ApiResult<From> {
    let Some(text) = &page.cursor else { return Ok(From { whom: Whom::Anybody, cursor: None }) };
    let (whom, text) = match text.strip_prefix(OF_COPY) {
        Some(text) => (Whom::Copy, text),
        None => (Whom::Index, text.as_str()),
    };
    let bytes = BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|_| ErrorBody::new(ErrorCode::BadCursor, "this is not a cursor of an earlier page"))
        .map_err(ApiError::from)?;
    Ok(From { whom, cursor: Some(ByteBuf::from(bytes)) })
}

fn text(cursor: &[u8], from_copy: bool) -> String {
    let text = BASE64URL_NOPAD.encode(cursor);
    if from_copy { format!("{OF_COPY}{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_goes_on_where_it_began() {
        let whom = |cursor: Option<String>| {
            let From { whom, cursor } = from(&PageRequest { limit: None, cursor }).expect("good");
            (whom, cursor.map(ByteBuf::into_vec))
        };
        assert_eq!(whom(None), (Whom::Anybody, None));
        assert_eq!(whom(Some(text(&[1, 2], false))), (Whom::Index, Some(vec![1, 2])));
        assert_eq!(whom(Some(text(&[1, 2], true))), (Whom::Copy, Some(vec![1, 2])));
        let wrong = from(&PageRequest { limit: None, cursor: Some("~!".to_owned()) });
        assert_eq!(wrong.expect_err("no cursor").code, ErrorCode::BadCursor.into());
    }
}
