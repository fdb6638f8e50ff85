//! `onlooker doctor`: why a phone does not connect. Looks at this machine, then serves `/check`, on
//! which the phone looks at its half.

use std::io::IsTerminal;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::arguments::DoctorArgs;
use super::daemon::{self, Daemon};
use super::failure::{Exit, Failure};
use super::ports;
use super::refusal;
use super::reload::Configuration;
use super::runtime::block_on;
use super::serve;
use super::signals::Signals;
use super::streams::{self, print};
use crate::http::Reported;
use crate::options::{AccessOptions, HostToken, Invalid, Options};
use crate::program::config::Place;
use crate::program::doctor::facts::{Facts, Holder, Serving, Wanted};
use crate::program::doctor::phones::{NOBODY, Phone, Report};
use crate::program::doctor::text::{Column, paragraph};
use crate::program::doctor::{gather, judge};
use crate::program::terminal::{self, Paint, banner, neutral};
use crate::server::{Server, StartError, TopicHandle};
use crate::wire::CheckLine;

/// Reports that wait to be shown.
const WAITING: usize = 32;
/// When no phone has come, what that means is said.
const HINT_AFTER: Duration = Duration::from_secs(20);

pub fn doctor(args: DoctorArgs) -> Result<(), Failure> {
    let desk = Desk::of(&args);
    let configuration = Configuration::load(args.written(), |_| {})?;
    let options = Options {
        port: daemon::port(&configuration.now)?,
        ..configuration.options().clone()
    };
    let is_free_to_choose = *configuration.now.place("port") == Place::Default;
    block_on(run(options, is_free_to_choose, desk))
}

async fn run(mut options: Options, is_free_to_choose: bool, desk: Desk) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let (to, mut reports) = mpsc::channel(WAITING);
    let (facts, server) = tokio::select! {
        looked = look(&options, is_free_to_choose, to) => looked?,
        _ = signals.next() => return Err(Failure::new("stopped before it was known what is in the way")),
    };
    options.port = facts.wanted.port;
    let lines = judge(&facts);
    let mut told = desk.show(&desk.host(&lines));
    let mut report = Report::new(lines);
    if let Some(server) = server {
        if desk.waits() && told.is_ok() {
            told = tokio::select! {
                told = invite(&server, &options, &mut report, &mut reports, &desk) => told,
                // What comes next does not begin behind the ^C.
                _ = signals.next() => desk.show("\n"),
            };
        }
        serve::stop(server, &mut signals).await?;
    }
    told?;
    desk.end(&report)
}

/// What is known of this machine, and the server at which phones find their half: none if it is
/// not fit for one, which a line says.
async fn look(
    options: &Options,
    is_free_to_choose: bool,
    to: mpsc::Sender<Reported>,
) -> Result<(Facts, Option<Server>), Failure> {
    let mut wanted = Wanted::of(options);
    let mut holder = gather::holder(&wanted, serving(options)).await;
    if let (true, Holder::Other(process)) = (is_free_to_choose, &holder)
        && let Some(port) = next_free(&wanted)
    {
        holder = Holder::Passed(wanted.port, process.clone());
        wanted.port = port;
    }
    let mut facts = gather::facts(wanted, holder).await;
    let server = start(options, facts.wanted.port, &to).await?;
    if let Some(server) = &server {
        if options.port == 0 {
            facts.wanted.port = server.port();
        }
        facts.reached = gather::reach(&facts, server.port()).await;
    }
    Ok((facts, server))
}

/// Where `onlooker serve` goes if another program has the usual port.
fn next_free(wanted: &Wanted) -> Option<u16> {
    let last = wanted.port.saturating_add(serve::OTHER_PORTS);
    let mut others = (wanted.port..=last).skip(1);
    others.find(|port| gather::try_port(wanted.bind, *port).is_ok())
}

/// What the daemon says of itself that has the port; `None` if it is not onlooker.
async fn serving(options: &Options) -> Option<Serving> {
    let daemon = Daemon::of(options).ok()?;
    let Ok(status) = daemon.status().await else {
        // It may want a token that is not known here.
        let described = daemon.get("/openapi.json").await.ok()?;
        let described: Value = serde_json::from_slice(&described).ok()?;
        return (described["info"]["title"] == "onlooker").then(Serving::default);
    };
    let topics = status["topics"].as_array()?.iter();
    let name = |topic: &Value| Some(topic["topic"].as_str()?.to_owned());
    Some(Serving {
        topics: Some(topics.filter_map(name).collect()),
        viewers: status["clientCount"].as_u64(),
    })
}

/// A server like the one of `onlooker serve`, at this port or the next free one.
async fn start(
    options: &Options,
    first: u16,
    to: &mpsc::Sender<Reported>,
) -> Result<Option<Server>, Failure> {
    let options = like(options, first);
    match ports::start(&options, serve::OTHER_PORTS, Some(to.clone())).await {
        Ok(server) => Ok(Some(server)),
        Err(StartError::AddressInUse { .. } | StartError::Io { .. }) => Ok(None),
        // The line about the address says what is wrong.
        Err(StartError::Invalid(Invalid { option, .. })) if option.starts_with("link.") => Ok(None),
        Err(error) => Err(refusal::failure(&error)),
    }
}

/// As reachable as the daemon that these options describe, without what it shows and keeps.
fn like(options: &Options, port: u16) -> Options {
    Options {
        bind: options.bind,
        port,
        topic: options.topic.clone(),
        access: AccessOptions {
            host_token: HostToken::Random,
            ..options.access.clone()
        },
        link: options.link.clone(),
        tls: options.tls.clone(),
        ..Options::default()
    }
}

/// Tells where the phone finds its half, and takes reports in.
async fn invite(
    server: &Server,
    options: &Options,
    report: &mut Report,
    reports: &mut mpsc::Receiver<Reported>,
    desk: &Desk,
) -> Result<(), Failure> {
    desk.show(&desk.invitation(server, options.port, report))?;
    let topic = server.topic(options.topic.as_str());
    let topic = topic.map_err(|error| Failure::new(error.to_string()))?;
    hear(report, reports, &topic, desk).await
}

/// Takes phones' reports in until it is time to end.
async fn hear(
    report: &mut Report,
    reports: &mut mpsc::Receiver<Reported>,
    topic: &TopicHandle,
    desk: &Desk,
) -> Result<(), Failure> {
    let start = Instant::now();
    let end = desk.wait.map(|wait| start + wait);
    let mut last = String::new();
    let mut hint = desk.is_terminal.then_some(start + HINT_AFTER);
    loop {
        let shown = topic.set(&report.session()).await;
        shown.map_err(|error| Failure::new(error.to_string()))?;
        let reported = tokio::select! {
            Some(reported) = reports.recv() => reported,
            () = until(end) => return desk.nobody(report),
            () = until(hint) => {
                hint = None;
                let text = format!("No phone has come yet; {NOBODY}.");
                desk.show(&paragraph(&text, desk.columns()))?;
                continue;
            }
        };
        hint = None;
        let was_crowded = report.is_crowded;
        let (phone, news) = report.take(reported);
        desk.show(&desk.phone(phone, news, phone.id != last))?;
        last.clone_from(&phone.id);
        let is_done = phone.done && end.is_some();
        if report.is_crowded && !was_crowded {
            desk.show(&paragraph(
                "More phones report than can be kept: the oldest make room.",
                desk.columns(),
            ))?;
        }
        if is_done {
            return Ok(());
        }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Whom the report is told, and for how long.
struct Desk {
    json: bool,
    wait: Option<Duration>,
    is_terminal: bool,
}

impl Desk {
    fn of(args: &DoctorArgs) -> Desk {
        Desk {
            json: args.json,
            wait: args.wait,
            is_terminal: match args.json {
                true => std::io::stderr().is_terminal(),
                false => std::io::stdout().is_terminal(),
            },
        }
    }

    fn waits(&self) -> bool {
        self.is_terminal || self.wait.is_some()
    }

    /// Only a terminal's texts are wrapped.
    fn columns(&self) -> Option<usize> {
        self.is_terminal.then(|| terminal::size().columns)
    }

    fn column(&self, names: usize) -> Column {
        Column {
            names,
            columns: self.columns(),
            paint: self.paint(),
        }
    }

    fn paint(&self) -> Paint {
        Paint::for_terminal(self.is_terminal)
    }

    /// For people: with `--json`, stdout is the document's.
    fn show(&self, text: &str) -> Result<(), Failure> {
        match self.json {
            true => streams::tell(text),
            false => print(text).map(drop)?,
        }
        Ok(())
    }

    fn host(&self, lines: &[CheckLine]) -> String {
        let title = self.paint().bold("onlooker doctor");
        format!("\n  {title}\n\n{}\n", self.column(9).text(lines))
    }

    /// Where the phone finds its half.
    fn invitation(&self, server: &Server, wanted: u16, report: &Report) -> String {
        let (link, port) = (server.links().check(), server.port());
        let mut text = match report.wrong().join(", ") {
            none if none.is_empty() => String::new(),
            wrong => format!("In the way here, see above: {wrong}. "),
        };
        text.push_str(match self.is_terminal {
            true => "Now the phone's half: scan this with the phone that does not connect, or type the address there. Ctrl-C ends.",
            false => "Now the phone's half: open this address on the phone that does not connect.",
        });
        if wanted != 0 && port != wanted {
            text.push_str(&format!(" This check has port {port}, since {wanted} is taken: if a firewall lets only {wanted} in, the phone gets no answer here."));
        }
        match self.is_terminal {
            true => {
                let code = banner::code(&link, self.columns());
                format!("{}\n{code}\n", paragraph(&text, self.columns()))
            }
            // Tokens stay out of log files.
            false => {
                let page = link.without_token();
                format!("{}  {page}\n\n", paragraph(&text, None))
            }
        }
    }

    /// What is new from a phone. `turns`: what was told before came from another one.
    fn phone(&self, phone: &Phone, news: &[CheckLine], turns: bool) -> String {
        let name = phone.name();
        let device = neutral(&name);
        let title = format!("  {}\n", self.paint().bold(&device));
        let title = if turns { &*title } else { "" };
        let wrong = phone.wrong().collect::<Vec<_>>().join(", ");
        let end = match (phone.done, wrong.is_empty()) {
            (false, _) => String::new(),
            (true, true) => format!("\n  {device}: nothing is in the way\n\n"),
            (true, false) => format!("\n  {device}: in the way: {wrong}\n\n"),
        };
        format!("{title}{}{end}", self.column(14).text(news))
    }

    /// The time is over: says so, if no phone came.
    fn nobody(&self, report: &mut Report) -> Result<(), Failure> {
        let line = report.nobody(self.wait.unwrap_or_default());
        let line = line.map(|line| self.column(9).text(std::slice::from_ref(line)));
        self.show(&line.unwrap_or_default())
    }

    fn end(&self, report: &Report) -> Result<(), Failure> {
        if self.json {
            print(&format!("{:#}\n", report.document()))?;
        }
        let wrong = report.wrong();
        match wrong.is_empty() {
            true => Ok(()),
            false => {
                let text = format!("in the way of phones: {}", wrong.join(", "));
                Err(Failure::with(Exit::InTheWay, text))
            }
        }
    }
}
