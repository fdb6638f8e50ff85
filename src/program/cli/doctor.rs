//! `onlooker doctor`: why a phone does not connect. Looks at this machine, then serves `/check`, on
//! which the phone looks at its half.

use std::io::IsTerminal;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::arguments::DoctorArgs;
use super::daemon::Daemon;
use super::failure::{Exit, Failure};
use super::refusal;
use super::reload::Configuration;
use super::runtime::block_on;
use super::signals::Signals;
use super::streams::{self, print};
use crate::http::Reported;
use crate::options::{AccessOptions, HostToken, Invalid, Options};
use crate::program::doctor::facts::{Serving, Wanted};
use crate::program::doctor::phones::{Phone, Report};
use crate::program::doctor::text::{Column, paragraph};
use crate::program::doctor::{gather, judge};
use crate::program::terminal::{self, Paint, banner, neutral};
use crate::server::{Server, StartError, TopicHandle};
use crate::wire::CheckLine;

/// So many ports after the wanted one are tried.
const NEXT_PORTS: u16 = 10;
/// Reports that wait to be shown.
const WAITING: usize = 32;
/// When no phone has come, what that means is said.
const HINT_AFTER: Duration = Duration::from_secs(20);

pub fn doctor(args: DoctorArgs) -> Result<(), Failure> {
    let desk = Desk::of(&args);
    let configuration = Configuration::load(args.written(), |_| {})?;
    block_on(run(configuration.options(), desk))
}

async fn run(options: &Options, desk: Desk) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let (to, mut reports) = mpsc::channel(WAITING);
    let (lines, server) = tokio::select! {
        looked = look(options, to) => looked?,
        _ = signals.next() => return Ok(()),
    };
    desk.show(&desk.host(&lines))?;
    let mut report = Report::new(lines);
    if let Some(server) = server {
        if desk.waits() {
            desk.show(&desk.invitation(&server, options.port, &report))?;
            let topic = server.topic(options.topic.as_str());
            let topic = topic.map_err(|error| Failure::new(error.to_string()))?;
            tokio::select! {
                heard = hear(&mut report, &mut reports, &topic, &desk) => heard?,
                // What comes next does not begin behind the ^C.
                _ = signals.next() => desk.show("\n")?,
            }
        }
        server.stop().await;
    }
    desk.end(&report)
}

/// The host's half, and the server at which phones find theirs: none if this machine is not fit
/// for one, which a line says.
async fn look(
    options: &Options,
    to: mpsc::Sender<Reported>,
) -> Result<(Vec<CheckLine>, Option<Server>), Failure> {
    let wanted = Wanted::of(options);
    let serving = match gather::try_port(&wanted) {
        Ok(()) => None,
        Err(_) => serving(options).await,
    };
    let mut facts = gather::facts(wanted, serving).await;
    let server = start(options, &to).await?;
    if let Some(server) = &server {
        if options.port == 0 {
            facts.wanted.port = server.port();
        }
        facts.reached = gather::reach(&facts, server.port()).await;
    }
    Ok((judge(&facts), server))
}

/// What the daemon says of itself that has the port; `None` if it is not onlooker.
async fn serving(options: &Options) -> Option<Serving> {
    let daemon = Daemon::of(options).ok()?;
    let Ok(status) = daemon.status().await else {
        // It may want a token that is not known here.
        let described = daemon.get("/openapi.json").await.ok()?;
        let described = String::from_utf8_lossy(&described);
        return described
            .contains("\"title\": \"onlooker\"")
            .then(Serving::default);
    };
    let topics = status["topics"].as_array()?.iter();
    let name = |topic: &serde_json::Value| Some(topic["topic"].as_str()?.to_owned());
    Some(Serving {
        topics: Some(topics.filter_map(name).collect()),
        viewers: status["clientCount"].as_u64(),
    })
}

/// A server like the one of `onlooker serve`, at its port or the next free one.
async fn start(options: &Options, to: &mpsc::Sender<Reported>) -> Result<Option<Server>, Failure> {
    for more in 0..=NEXT_PORTS {
        let Some(port) = options.port.checked_add(more) else {
            break;
        };
        match Server::start_for(like(options, port), Some(to.clone())).await {
            Ok(server) => return Ok(Some(server)),
            Err(StartError::AddressInUse { .. }) => {}
            Err(StartError::Io { .. }) => break,
            // The line about the address says what is wrong.
            Err(StartError::Invalid(Invalid { option, .. })) if option.starts_with("link.") => {
                break;
            }
            Err(error) => return Err(refusal::failure(&error)),
        }
    }
    Ok(None)
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
            () = until(end) => return Ok(()),
            () = until(hint) => {
                hint = None;
                desk.show(&paragraph(HINT, desk.columns()))?;
                continue;
            }
        };
        hint = None;
        let Some((phone, news)) = report.take(reported) else {
            continue;
        };
        desk.show(&desk.phone(phone, news, phone.id != last))?;
        last.clone_from(&phone.id);
        if phone.done && end.is_some() {
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
        let width = || terminal::width().unwrap_or(80);
        self.is_terminal.then(width)
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
                let page = link.split('#').next().unwrap_or_default();
                format!("{}  {page}\n\n", paragraph(&text, None))
            }
        }
    }

    /// What is new from a phone. `turns`: what was told before came from another one.
    fn phone(&self, phone: &Phone, news: &[CheckLine], turns: bool) -> String {
        let device = neutral(&phone.device);
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

const HINT: &str = "No phone has come yet. If one has tried: is it in the same Wi-Fi (not the guests' one, \
not mobile data)? Many guest networks keep devices apart; then only another network helps, such as the phone's \
own hotspot. Other addresses of this machine are listed above: try them.";
