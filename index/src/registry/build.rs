//! The catalogue of one node out of what stands here, page by page.

use certs::UserName;
use rusqlite::{Connection, Row};
use serde_bytes::ByteBuf;
use tokio::sync::mpsc;
use wire::catalogue::{CataloguePage, CatalogueRecord, RecordLeaves, Tree, TreeBuilder, build_held};
use wire::{ContentHash, Record, TreeHash};

use super::error::RegistryError;
use super::pages::{Complete, NewPage, PageOwner};
use super::replicate::Publisher;
use super::{NodeRow, Registry, Result, holders};

/// Pages that are handed over at once, and how many such parts may wait.
const PART: usize = 64;
const PARTS: usize = 2;

/// The trees of a catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Built {
    pub(crate) records: Tree,
    pub(crate) held: Tree,
}

impl Registry {
    /// Builds the trees of a node's catalogue as it stands, and keeps those pages that are new. One state of the database is
    /// read; only a few pages are in memory.
    pub(crate) async fn build_catalogue(&self, publisher: Publisher, user: UserName) -> Result<Built> {
        let (sender, mut parts) = mpsc::channel::<Vec<NewPage>>(PARTS);
        let building = self.read(move |database| build(database, publisher, &user, &sender));
        let keeping = async {
            let mut branches = Vec::new();
            while let Some(part) = parts.recv().await {
                let new = part.iter().filter(|page| page.complete.is_none()).map(|page| page.hash);
                branches.extend(new);
                self.keep_pages(publisher.node, part).await?;
            }
            self.complete(&branches).await
        };
        let (built, kept) = tokio::join!(building, keeping);
        kept?.map_err(|_| RegistryError::Corrupt("a page of a tree"))?;
        built
    }
}

fn build(
    database: &Connection,
    publisher: Publisher,
    user: &UserName,
    parts: &mpsc::Sender<Vec<NewPage>>,
) -> Result<Built> {
    let owner = Some((publisher.node, publisher.account.0));
    let mut out = Out { database, parts, part: Vec::new() };
    let records = records(&mut out, publisher.node, user, owner)?;
    let held = held(&mut out, publisher.node)?;
    out.flush()?;
    Ok(Built { records, held })
}

fn records(out: &mut Out<'_>, node: NodeRow, user: &UserName, owner: PageOwner) -> Result<Tree> {
    let mut statement = out.database.prepare_cached(
        "SELECT e.name, r.record, r.receipt, r.certificate
         FROM entries AS e INDEXED BY entries_node JOIN records AS r ON r.seq = e.seq
         WHERE e.node = ?1 AND e.user = ?2 ORDER BY e.name",
    )?;
    let mut rows = statement.query((node.0, user.as_str()))?;
    let (mut builder, mut leaves) = (TreeBuilder::new(), RecordLeaves::new());
    let mut certificates = Certificates::default();
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let (name, record, certificate) = record(out.database, row, &mut certificates)?;
        leaves.push(&mut builder, &name, record, certificate);
        count += 1;
        out.pages(builder.take_pages(), owner)?;
    }
    leaves.finish(&mut builder);
    let (root, rest) = builder.finish();
    out.pages(rest, owner)?;
    Ok(Tree { root, count })
}

fn record<'a>(
    database: &Connection,
    row: &Row<'_>,
    certificates: &'a mut Certificates,
) -> Result<(String, CatalogueRecord, Option<&'a [u8]>)> {
    let receipt: Vec<u8> = row.get(2)?;
    let (receipt, certificate) = match receipt.is_empty() {
        true => (None, None),
        false => (Some(ByteBuf::from(receipt)), Some(certificates.bytes(database, row.get(3)?)?)),
    };
    let record = CatalogueRecord { record: ByteBuf::from(row.get::<_, Vec<u8>>(1)?), receipt };
    Ok((row.get(0)?, record, certificate))
}

fn held(out: &mut Out<'_>, node: NodeRow) -> Result<Tree> {
    let mut statement = out.database.prepare_cached(
        "SELECT content FROM holders INDEXED BY holders_node WHERE node = ?1 AND whole = 1 ORDER BY content",
    )?;
    let mut rows = statement.query([node.0])?;
    let mut contents: Vec<ContentHash> = Vec::new();
    while let Some(row) = rows.next()? {
        contents.push(holders::content_of(row.get_ref(0)?.as_blob().ok())?);
    }
    let count = contents.len() as u64;
    let mut builder = TreeBuilder::new();
    build_held(&mut builder, contents);
    let (root, pages) = builder.finish();
    out.pages(pages, None)?;
    Ok(Tree { root, count })
}

/// The certificate that was read last: nearly all receipts name one.
#[derive(Default)]
struct Certificates {
    row: i64,
    bytes: Vec<u8>,
}

impl Certificates {
    fn bytes(&mut self, database: &Connection, row: i64) -> Result<&[u8]> {
        if self.row != row {
            self.bytes = database
                .prepare_cached("SELECT bytes FROM certificates WHERE id = ?1")?
                .query_row([row], |row| row.get(0))?;
            self.row = row;
        }
        Ok(&self.bytes)
    }
}

/// Where pages go.
struct Out<'a> {
    database: &'a Connection,
    parts: &'a mpsc::Sender<Vec<NewPage>>,
    part: Vec<NewPage>,
}

impl Out<'_> {
    /// Hands over those that are not here, whole, already.
    fn pages(&mut self, pages: Vec<(TreeHash, Vec<u8>)>, owner: PageOwner) -> Result<()> {
        for (hash, bytes) in pages {
            let known = self
                .database
                .prepare_cached("SELECT 1 FROM pages WHERE hash = ?1 AND done = 1")?
                .exists([hash.as_bytes()])?;
            if !known {
                let complete = complete(&bytes, owner)?;
                self.part.push(NewPage { hash, bytes, complete });
            }
            if self.part.len() >= PART {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let part = std::mem::take(&mut self.part);
        self.parts.blocking_send(part).map_err(|_| RegistryError::Stopped)
    }
}

/// What a leaf says of itself.
fn complete(bytes: &[u8], owner: PageOwner) -> Result<Option<Complete>> {
    let corrupt = || RegistryError::Corrupt("a page of a tree");
    let page = CataloguePage::decode(bytes).map_err(|_| corrupt())?;
    let name = |record: Option<&CatalogueRecord>| -> Result<Vec<u8>> {
        let record = record.ok_or_else(corrupt)?;
        let record = certs::Signed::<Record>::parse_stored(&record.record).map_err(|_| corrupt())?;
        Ok(record.name.as_str().as_bytes().to_vec())
    };
    let content = |content: Option<&ContentHash>| content.map(|one| one.as_bytes().to_vec());
    let (first, last) = match &page {
        CataloguePage::Records(leaf) => (name(leaf.records.first())?, name(leaf.records.last())?),
        CataloguePage::Held(contents) => {
            let ends = content(contents.0.first()).zip(content(contents.0.last()));
            ends.ok_or_else(corrupt)?
        }
        _ => return Ok(None),
    };
    let (items, size) = (page.items() as u64, bytes.len() as u64);
    Ok(Some(Complete { owner, items, levels: 1, size, first, last }))
}
