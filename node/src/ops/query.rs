//! `list`, `search`, `versions`, `who`: asked of the index, turned into the documents of the control API.

use data_encoding::BASE64URL_NOPAD;
use serde_bytes::ByteBuf;
use wire::message::{Entry, List, Page, Search, Who};
use wire::{ErrorBody, ErrorCode};

use crate::control::api::{
    ListRequest, NodeOnline, PageRequest, Resource, ResourcePage, ResourceVersion, SearchRequest, Source,
    UserOnline, VersionsPage, VersionsRequest, WhoPage,
};
use crate::control::{ApiError, ApiResult};
use crate::peer::Shared;

impl Shared {
    /// One page of everything that is shared.
    pub(crate) async fn list(&self, request: ListRequest) -> ApiResult<ResourcePage> {
        self.need_login()?;
        let list = List {
            limit: request.page.limit,
            owner: request.owner,
            online: request.online,
            cursor: cursor(&request.page)?,
            ..List::default()
        };
        let page = self
            .ask_index(|index| {
                let list = list.clone();
                async move { index.list(list).await }
            })
            .await?;
        Ok(resources(page))
    }

    /// One page of what matches.
    pub(crate) async fn search(&self, request: SearchRequest) -> ApiResult<ResourcePage> {
        self.need_login()?;
        let search = Search {
            query: request.query,
            limit: request.page.limit,
            online: false,
            cursor: cursor(&request.page)?,
        };
        let page = self
            .ask_index(|index| {
                let search = search.clone();
                async move { index.search(search).await }
            })
            .await?;
        Ok(resources(page))
    }

    /// One page of the versions of a resource.
    ///
    /// # Errors
    /// `not-found` where there is no such resource.
    pub(crate) async fn versions(&self, request: VersionsRequest) -> ApiResult<VersionsPage> {
        self.need_login()?;
        let VersionsRequest { owner, name, page } = request;
        let cursor = cursor(&page)?;
        let first = cursor.is_none();
        let answer = self
            .ask_index(|index| {
                let (owner, name, cursor) = (owner.clone(), name.clone(), cursor.clone());
                async move { index.versions(owner, name, page.limit, cursor).await }
            })
            .await?;
        let items: Vec<_> = answer.items.into_iter().filter_map(version).collect();
        if first && items.is_empty() {
            let text = format!("there is no {owner}/{name}");
            return Err(ApiError::new(ErrorCode::NotFound, text)
                .with_hint(format!("`p2p-node list --owner {owner}` shows what {owner} shares")));
        }
        Ok(VersionsPage {
            items,
            next: answer.next.map(|next| text(&next)),
            source: Source::Index,
            age_seconds: answer.age_ms / 1000,
        })
    }

    /// One page of who is online.
    pub(crate) async fn who(&self, request: PageRequest) -> ApiResult<WhoPage> {
        self.need_login()?;
        let who = Who { limit: request.limit, cursor: cursor(&request)? };
        let page = self
            .ask_index(|index| {
                let who = who.clone();
                async move { index.who(who).await }
            })
            .await?;
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
        let next = page.next.map(|next| text(&next));
        Ok(WhoPage { users: users.collect(), next, source: Source::Index, age_seconds: 0 })
    }
}

fn resources(page: Page) -> ResourcePage {
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
        next: page.next.map(|next| text(&next)),
        source: Source::Index,
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

fn cursor(page: &PageRequest) -> ApiResult<Option<ByteBuf>> {
    let Some(text) = &page.cursor else { return Ok(None) };
    let bytes = BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|_| ErrorBody::new(ErrorCode::BadCursor, "this is not a cursor of an earlier page"))
        .map_err(ApiError::from)?;
    Ok(Some(ByteBuf::from(bytes)))
}

fn text(cursor: &[u8]) -> String {
    BASE64URL_NOPAD.encode(cursor)
}
