//! Log lines: short ones for a terminal, dated ones for a file, JSON for a machine.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::screen::Screen;
use super::{Paint, neutral};
use crate::program::config::LogFormat;

/// How much is said: errors under `-q`, with `-v` also who comes and goes and what became of each
/// change, with `-vv` also each flush.
pub fn level(verbose: u8, quiet: bool) -> Level {
    match (verbose, quiet) {
        (_, true) => Level::ERROR,
        (0, _) => Level::INFO,
        (1, _) => Level::DEBUG,
        _ => Level::TRACE,
    }
}

/// Our own lines down to a level, and of `asked` (`RUST_LOG`) what names a library: a bare
/// level there was meant for another program, and would bring every library's inner lines.
fn filter(level: Level, asked: &str) -> Targets {
    let named = asked
        .split(',')
        .filter_map(|directive| directive.trim().split_once('='))
        // Of ours, -v and -q decide.
        .filter(|(target, _)| !target.starts_with("onlooker"))
        .filter_map(|(target, level)| Some((target, level.parse::<Level>().ok()?)));
    Targets::new()
        .with_target("onlooker", level)
        .with_targets(named)
}

/// The lowest level that anybody is heard at. The filter alone would not tell it to the libraries:
/// each of their lines would be made, and only then thrown away.
fn most(filter: &Targets) -> LevelFilter {
    let levels = filter.iter().map(|(_, level)| level);
    levels.max().unwrap_or(LevelFilter::OFF)
}

/// Sends log lines to the screen from now on.
pub fn start(screen: &Screen, format: LogFormat, level: Level) {
    let filter = filter(level, &std::env::var("RUST_LOG").unwrap_or_default());
    let most = most(&filter);
    let builder = tracing_subscriber::fmt()
        .with_max_level(most)
        .with_writer(screen.clone())
        .with_ansi(false);
    let paint = screen.paint();
    let dated = !screen.is_terminal();
    // A second start in one process (a test) keeps the first one's.
    let _ = match format {
        LogFormat::Text => {
            let builder = builder.event_format(Lines { paint, dated });
            builder.finish().with(filter).try_init()
        }
        LogFormat::Json => {
            let builder = builder.fmt_fields(JsonFields::new());
            let builder =
                builder.event_format(Objects(Format::default().json().with_span_list(false)));
            builder.finish().with(filter).try_init()
        }
    };
}

struct Lines {
    paint: Paint,
    dated: bool,
}

impl<N> FormatEvent<Registry, N> for Lines
where
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, Registry, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let text = match Sentence::of(event) {
            Some(sentence) => sentence,
            None => with_spans(context, event)?,
        };
        if self.dated {
            SystemTime.format_time(&mut out)?;
            out.write_char(' ')?;
        }
        let level = self.level(*event.metadata().level());
        writeln!(out, "{level} {}", neutral(&text))
    }
}

/// An event's fields, and those of the connection it is about.
fn with_spans<N>(
    context: &FmtContext<'_, Registry, N>,
    event: &Event<'_>,
) -> Result<String, fmt::Error>
where
    N: for<'a> FormatFields<'a> + 'static,
{
    let mut text = String::new();
    context.format_fields(Writer::new(&mut text), event)?;
    let spans = context.event_scope().into_iter().flatten();
    for span in spans {
        if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
            text.push_str(&format!(" [{} {fields}]", span.name()));
        }
    }
    Ok(text)
}

/// The member `told`: an event that has it says everything in one sentence, and its other members
/// are for machines.
#[derive(Default)]
struct Sentence(Option<String>);

impl Sentence {
    fn of(event: &Event<'_>) -> Option<String> {
        let mut sentence = Sentence::default();
        if event.metadata().fields().field("told").is_some() {
            event.record(&mut sentence);
        }
        sentence.0
    }
}

impl Visit for Sentence {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "told" {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

impl Lines {
    fn level(&self, level: Level) -> String {
        let (attribute, word) = match level {
            Level::ERROR => ("1;31", "error"),
            Level::WARN => ("1;33", " warn"),
            Level::INFO => ("32", " info"),
            Level::DEBUG => ("34", "debug"),
            Level::TRACE => ("35", "trace"),
        };
        self.paint.with(attribute, word)
    }
}

struct Objects(Format<Json>);

impl<N> FormatEvent<Registry, N> for Objects
where
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, Registry, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        self.0
            .format_event(context, Writer::new(&mut text), event)?;
        writeln!(out, "{}", neutral(text.trim_end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::terminal::tests::Page;

    fn logged(format: LogFormat) -> String {
        let page = Page::default();
        let screen = Screen::over(Box::new(page.clone()), false);
        let builder = tracing_subscriber::fmt()
            .with_writer(screen)
            .with_ansi(false);
        let event = || tracing::warn!(topic = "a\x1b[2J", "bad \u{202e}name\n{}", "\x1b]0;x\x07");
        match format {
            LogFormat::Text => {
                let lines = Lines {
                    paint: Paint::for_terminal(false),
                    dated: false,
                };
                tracing::subscriber::with_default(builder.event_format(lines).finish(), event);
            }
            LogFormat::Json => {
                let objects = Objects(Format::default().json().with_span_list(false));
                let builder = builder.fmt_fields(JsonFields::new()).event_format(objects);
                tracing::subscriber::with_default(builder.finish(), event);
            }
        }
        page.text()
    }

    #[test]
    fn nothing_from_outside_controls_the_terminal() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = logged(format);
            let controls = line
                .trim_end_matches('\n')
                .chars()
                .filter(|c| c.is_control() || *c == '\u{202e}');
            assert_eq!(controls.count(), 0, "{line:?}");
            assert_eq!(line.lines().count(), 1);
            assert!(line.contains("name"), "{line}");
        }
    }

    #[test]
    fn json_lines_are_json() {
        let line: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json)).unwrap();
        assert_eq!(line["level"], "WARN");
    }

    #[test]
    fn a_line_names_the_connection_it_is_about() {
        let page = Page::default();
        let lines = Lines {
            paint: Paint::for_terminal(false),
            dated: false,
        };
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::DEBUG)
            .with_ansi(false)
            .with_writer(Screen::over(Box::new(page.clone()), false))
            .event_format(lines);
        tracing::subscriber::with_default(subscriber.finish(), || {
            let span = tracing::debug_span!("connection", id = 7, topic = tracing::field::Empty);
            span.record("topic", "a");
            span.in_scope(|| tracing::debug!("joined"));
        });
        assert_eq!(page.text(), "debug joined [connection id=7 topic=\"a\"]\n");
    }

    #[test]
    fn what_has_a_sentence_is_told_by_it() {
        let page = Page::default();
        let lines = Lines {
            paint: Paint::for_terminal(false),
            dated: false,
        };
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(Screen::over(Box::new(page.clone()), false))
            .event_format(lines);
        tracing::subscriber::with_default(subscriber.finish(), || {
            let span = tracing::info_span!("connection", id = 7);
            span.in_scope(|| tracing::info!(size = 9, told = format!("a\x1b from {}", 7), "write"));
        });
        assert_eq!(page.text(), " info a␛ from 7\n");
    }

    #[test]
    fn a_library_is_heard_only_when_it_is_named() {
        let everything = filter(Level::TRACE, "trace,hyper=debug, noise");
        let heard = |target, level| everything.would_enable(target, &level);
        assert!(heard("onlooker::hub", Level::TRACE));
        assert!(heard("hyper::proto", Level::DEBUG) && !heard("hyper::proto", Level::TRACE));
        assert!(!heard("rustls", Level::ERROR) && !heard("noise", Level::ERROR));
        let quiet = filter(Level::ERROR, "onlooker=trace");
        assert!(!quiet.would_enable("onlooker::hub", &Level::INFO));
        let normal = filter(Level::INFO, "");
        assert_eq!(most(&normal), LevelFilter::INFO);
        let verbose = filter(Level::DEBUG, "");
        assert!(!verbose.would_enable("onlooker::hub", &Level::TRACE));
    }

    #[test]
    fn quiet_takes_precedence_over_verbose() {
        assert_eq!(level(2, true), Level::ERROR);
        assert_eq!(level(0, false), Level::INFO);
        assert_eq!(level(3, false), Level::TRACE);
    }
}
