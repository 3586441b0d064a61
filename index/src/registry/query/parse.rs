//! From the text of a query to its conditions. PROTOCOL.md, "Queries", has the grammar.

use wire::{Kind, limits};

use super::filters::{Date, Extension, Sizes};
use super::text::Text;
use super::{Condition, Query};

/// What the filters are called, for whoever asks for another one.
const FILTERS: &str = "ext:, size:, after:, before:, kind: and owner:";

/// A term as it is written.
struct Written<'a> {
    /// Whether a `-` stands before it.
    negated: bool,
    text: Shape<'a>,
}

enum Shape<'a> {
    /// What is between two quotes.
    Quoted(&'a str),
    /// Up to the next white space.
    Bare(&'a str),
}

/// Parses a query; the error is the text that people see.
pub(super) fn query(text: &str) -> Result<Query, String> {
    // White space may be one; it only separates.
    let control = |character: &char| character.is_control() && !character.is_whitespace();
    if let Some(character) = text.chars().find(control) {
        return Err(format!("a query may not contain the character U+{:04X}", u32::from(character)));
    }
    let (mut must, mut must_not) = (Vec::new(), Vec::new());
    let (mut rest, mut terms) = (text.trim_start(), 0);
    while !rest.is_empty() {
        let (written, behind) = first(rest)?;
        let condition = condition(&written.text)?;
        terms += condition.text().map_or(1, Text::terms);
        if terms > limits::QUERY_TERMS {
            let limit = limits::QUERY_TERMS;
            return Err(format!("a query has at most {limit} terms, with each word of a phrase"));
        }
        if written.negated {
            must_not.push(condition);
        } else {
            once(&must, &condition)?;
            must.push(condition);
        }
        rest = behind.trim_start();
    }
    if must.is_empty() && must_not.is_empty() {
        return Err("the query is empty".to_owned());
    }
    Ok(Query::new(must, must_not))
}

/// The first term, and what is behind it.
fn first(text: &str) -> Result<(Written<'_>, &str), String> {
    let follows = |rest: &str| rest.starts_with(|character: char| !character.is_whitespace());
    let (negated, text) = match text.strip_prefix('-').filter(|rest| follows(rest)) {
        Some(rest) if rest.starts_with('-') => return Err("one '-' before a term is enough".to_owned()),
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if let Some(quoted) = text.strip_prefix('"') {
        let (inside, behind) = quoted.split_once('"').ok_or("a quotation mark is not closed")?;
        if follows(behind) {
            return Err(format!("white space is missing after the phrase \"{inside}\""));
        }
        return Ok((Written { negated, text: Shape::Quoted(inside) }, behind));
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (term, behind) = text.split_at(end);
    Ok((Written { negated, text: Shape::Bare(term) }, behind))
}

fn condition(shape: &Shape<'_>) -> Result<Condition, String> {
    let term = match shape {
        Shape::Quoted(inside) => return Text::phrase(inside).map(Condition::Text),
        Shape::Bare(term) => term,
    };
    if let Some((key, value)) = term.split_once(':') {
        return filter(key, value).map_err(|error| format!("{term}: {error}"));
    }
    match term.strip_suffix('*') {
        Some(start) => Text::prefix(start),
        None => Text::word(term),
    }
    .map(Condition::Text)
}

fn filter(key: &str, value: &str) -> Result<Condition, String> {
    match key {
        "ext" => Extension::parse(value).map(Condition::Extension),
        "size" => Sizes::parse(value).map(Condition::Size),
        "after" => Date::parse(value).map(Condition::After),
        "before" => Date::parse(value).map(Condition::Before),
        "kind" => kind(value).map(Condition::Kind),
        "owner" => value.parse().map(Condition::Owner).map_err(|error| format!("{error}")),
        _ => Err(format!("no filter is called '{key}:', and no name contains a colon; there are {FILTERS}")),
    }
}

fn kind(value: &str) -> Result<Kind, String> {
    match value {
        "file" => Ok(Kind::File),
        "folder" => Ok(Kind::Folder),
        _ => Err("takes file or folder".to_owned()),
    }
}

/// Refuses a second one of what an entry has only one of: no entry could meet both.
fn once(before: &[Condition], condition: &Condition) -> Result<(), String> {
    use Condition::{Extension, Kind, Owner};
    let clash = before.iter().any(|other| {
        matches!((other, condition), (Owner(_), Owner(_)) | (Kind(_), Kind(_)) | (Extension(_), Extension(_)))
    });
    match clash.then(|| condition.to_string()) {
        Some(text) => Err(format!("{text}: this filter may stand only once, as all terms must match")),
        None => Ok(()),
    }
}
