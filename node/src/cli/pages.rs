//! Lists that come page by page: each page is printed before the next one is asked for, and none is kept.

use std::io;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::table::{Column, Table};
use super::{Console, Exit, Failure};
use crate::control::api::PageRequest;
use crate::control::{ApiError, ApiResult, LocalCode};

/// The most that one page holds, as clap wants it.
const LIMIT: i64 = wire::limits::PAGE_ITEMS as i64;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct PageArgs {
    /// One page of at most N; without it everything
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=LIMIT))]
    pub(super) limit: Option<u32>,

    /// The page after the one that ended with this `next`
    #[arg(long, value_name = "CURSOR")]
    pub(super) cursor: Option<String>,
}

impl PageArgs {
    fn one_page(&self) -> bool {
        self.limit.is_some() || self.cursor.is_some()
    }
}

/// A page of a list, as the daemon answers it.
pub(super) trait Page {
    /// What the list is of.
    type Item: Serialize;
    /// Under which key the document has them.
    const KEY: &'static str;
    /// How people see them.
    const COLUMNS: &'static [Column];

    fn items(&self) -> &[Self::Item];
    fn next(&self) -> Option<&str>;
    /// What people see of one; a row each.
    fn rows(item: &Self::Item) -> Vec<Vec<String>>;
    /// What the document has after the items.
    fn tail(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }
    /// What people are told beside it.
    fn remark(&self) -> Option<String> {
        None
    }
}

/// Prints a list: all of it, or the one page that was asked for. People see `empty` where there is nothing.
pub(super) async fn show<P: Page>(
    wanted: &PageArgs,
    empty: &str,
    console: &mut Console,
    ask: impl AsyncFn(PageRequest) -> ApiResult<P>,
) -> Result<(), Failure> {
    let mut printer = Printer::<P>::new(console);
    let mut cursor = wanted.cursor.clone();
    loop {
        let request = PageRequest { limit: wanted.limit, cursor: cursor.clone() };
        let page = match ask(request).await.and_then(|page| progressing(page, cursor.as_deref())) {
            Ok(page) => page,
            Err(error) => return printer.fail(error, cursor),
        };
        printer.page(&page)?;
        if wanted.one_page() || page.next().is_none() {
            return printer.finish(&page, empty);
        }
        cursor = page.next().map(str::to_owned);
    }
}

/// A page that would lead back to itself is a fault, not a list without end.
fn progressing<P: Page>(page: P, asked: Option<&str>) -> ApiResult<P> {
    match page.next() {
        Some(next) if Some(next) == asked => {
            Err(ApiError::new(LocalCode::BadAnswer, "the list does not go on from its cursor"))
        }
        _ => Ok(page),
    }
}

struct Printer<'a, P> {
    console: &'a mut Console,
    table: Table,
    printed: usize,
    begun: bool,
    _page: std::marker::PhantomData<P>,
}

impl<'a, P: Page> Printer<'a, P> {
    fn new(console: &'a mut Console) -> Self {
        let table = Table::new(P::COLUMNS);
        Self { console, table, printed: 0, begun: false, _page: std::marker::PhantomData }
    }

    fn page(&mut self, page: &P) -> io::Result<()> {
        if self.console.json() {
            self.json_items(page.items())?;
        } else {
            for line in self.table.lines(page.items().iter().flat_map(P::rows)) {
                self.console.line(&line)?;
            }
        }
        self.begun = true;
        self.printed += page.items().len();
        self.console.flush()
    }

    fn json_items(&mut self, items: &[P::Item]) -> io::Result<()> {
        let out = self.console.out();
        if !self.begun {
            write!(out, "{{\"{}\":[", P::KEY)?;
        }
        for (index, item) in items.iter().enumerate() {
            if self.printed + index > 0 {
                out.write_all(b",")?;
            }
            serde_json::to_writer(&mut *out, item)?;
        }
        Ok(())
    }

    fn json_end(&mut self, tail: Vec<(&'static str, Value)>) -> io::Result<()> {
        let out = self.console.out();
        out.write_all(b"]")?;
        for (key, value) in tail {
            write!(out, ",\"{key}\":{value}")?;
        }
        out.write_all(b"}\n")
    }

    fn finish(mut self, page: &P, empty: &str) -> Result<(), Failure> {
        if self.console.json() {
            return Ok(self.json_end(page.tail())?);
        }
        if self.printed == 0 {
            self.console.line(empty)?;
        }
        if let Some(next) = page.next() {
            self.console.line(&format!("next: {next}"))?;
        }
        if let Some(remark) = page.remark() {
            self.console.note(remark);
        }
        Ok(())
    }

    /// Where pages are printed already, the one document ends with the error, and with where to go on.
    fn fail(mut self, error: ApiError, cursor: Option<String>) -> Result<(), Failure> {
        if !(self.begun && self.console.json()) {
            return Err(error.into());
        }
        let exit = Exit::from(error.code);
        let error = serde_json::to_value(error).map_err(io::Error::from)?;
        self.json_end(vec![("next", cursor.into()), ("error", error)])?;
        Err(Failure::Reported(exit))
    }
}
