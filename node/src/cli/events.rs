//! `events`: what happened.

use std::str::FromStr;
use std::time::Duration;

use certs::UnixMillis;
use clap::Args;

use super::sentence::sentence;
use super::{Console, Failure};
use crate::clock;
use crate::control::api::{EventsRequest, LoggedEvent, Moment};
use crate::control::{Client, Listed};

/// How many are shown unless something else is said.
const SHOWN: u64 = 50;

const EXAMPLES: &str = "\
Examples:
  p2p-node events
  p2p-node events --follow                        and then what comes, until Ctrl-C
  p2p-node events --follow --limit 0              only what comes
  p2p-node events --since 2h
  p2p-node events --since 2026-11-03
  p2p-node events --json --since 1d | jq -c 'select(.event == \"updated\")'

The log outlives restarts. It keeps the last 10,000 events, or 16 MiB of them.";

/// Show what happened on this node, also while nobody looked: the newest 50 events, the oldest of them first.
///
/// With --json: one object a line.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct EventsArgs {
    /// Then show what comes, until Ctrl-C
    #[arg(short, long)]
    follow: bool,

    /// The newest so many [default: 50; with --since all]
    #[arg(short = 'n', long, value_name = "NUMBER")]
    limit: Option<u64>,

    /// Only since then: a time ago, as in 90s, 15m, 2h, 7d, or a date or time of this machine, as in 2026-11-03 or
    /// 2026-11-03T10:12
    #[arg(long, value_name = "WHEN")]
    since: Option<Since>,
}

/// A time that the user named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    Ago(Duration),
    At(UnixMillis),
}

/// Why a text is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum SinceError {
    #[error("a time is given as 90s, 15m, 2h, 7d, 2026-11-03 or 2026-11-03T10:12")]
    Neither,
    #[error("that is too long ago")]
    TooLong,
}

impl Since {
    fn moment(self) -> Moment {
        match self {
            Self::Ago(ago) => {
                let milliseconds = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
                clock::wall().minus(milliseconds).into()
            }
            Self::At(time) => time.into(),
        }
    }
}

impl FromStr for Since {
    type Err = SinceError;

    fn from_str(text: &str) -> Result<Self, SinceError> {
        if let Some((number, unit)) = text.len().checked_sub(1).and_then(|end| text.split_at_checked(end))
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
        {
            let seconds = match unit {
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                "d" => 86_400,
                _ => return Err(SinceError::Neither),
            };
            let number: u64 = number.parse().map_err(|_| SinceError::TooLong)?;
            let seconds = number.checked_mul(seconds).ok_or(SinceError::TooLong)?;
            return Ok(Self::Ago(Duration::from_secs(seconds)));
        }
        let timestamp = match text.parse::<jiff::Timestamp>() {
            Ok(timestamp) => timestamp,
            Err(_) => {
                let local: jiff::civil::DateTime = text.parse().map_err(|_| SinceError::Neither)?;
                let zoned = local.to_zoned(jiff::tz::TimeZone::system());
                zoned.map_err(|_| SinceError::Neither)?.timestamp()
            }
        };
        Ok(Self::At(UnixMillis(u64::try_from(timestamp.as_millisecond()).unwrap_or(0))))
    }
}

pub(super) async fn run(args: EventsArgs, client: &Client, console: &mut Console) -> Result<(), Failure> {
    let EventsArgs { follow, limit, since } = args;
    let limit = limit.or(since.is_none().then_some(SHOWN));
    let request = EventsRequest { limit, since: since.map(Since::moment), follow };
    let mut interrupt = console.interrupt();
    let mut events = client.events(&request).await?;
    let mut shown = false;
    loop {
        let next = tokio::select! {
            biased;
            // That is how following ends well.
            () = &mut interrupt => return Ok(()),
            next = next(&mut events, follow, console) => next?,
        };
        match next {
            Some(event) => show(&event, console)?,
            None if shown => return Ok(()),
            None => {
                console.note("nothing happened");
                return Ok(());
            }
        }
        shown = true;
    }
}

/// The next event. Whoever follows sees those before at once, not when the next one comes.
async fn next(
    events: &mut Listed<LoggedEvent>,
    follow: bool,
    console: &mut Console,
) -> Result<Option<LoggedEvent>, Failure> {
    if follow {
        console.flush()?;
    }
    Ok(events.next().await?)
}

fn show(event: &LoggedEvent, console: &mut Console) -> Result<(), Failure> {
    if console.json() {
        return Ok(console.document(event)?);
    }
    Ok(console.line(&format!("{}  {}", event.time.local(), sentence(&event.activity)))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_ago_or_dates() {
        let parse = |text: &str| text.parse::<Since>();
        for (text, seconds) in [("90s", 90), ("15m", 900), ("2h", 7200), ("7d", 604_800), ("0s", 0)] {
            assert_eq!(parse(text), Ok(Since::Ago(Duration::from_secs(seconds))), "{text}");
        }
        let time = UnixMillis(1_793_700_720_000);
        assert_eq!(parse("2026-11-03T10:12:00Z"), Ok(Since::At(time)));
        assert_eq!(parse("2026-11-03T11:12:00+01:00"), Ok(Since::At(time)));
        let Ok(Since::At(day)) = parse("2026-11-03") else { panic!("a date") };
        assert!(time.0.abs_diff(day.0) < 2 * 86_400_000, "{day:?}");
        assert!(matches!(parse("2026-11-03T10:12"), Ok(Since::At(_))));
        for text in ["", "h", "2 h", "2w", "-1h", "yesterday", "2026-13-03", "1ü", "10:12"] {
            assert_eq!(parse(text), Err(SinceError::Neither), "{text}");
        }
        assert_eq!(parse("99999999999999999999d"), Err(SinceError::TooLong));
        assert_eq!(parse("9999999999999999999d"), Err(SinceError::TooLong));
    }
}
