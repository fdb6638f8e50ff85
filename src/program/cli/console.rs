//! A running daemon at its terminal: the live lines, and what its keys do.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::browser;
use super::output::Output;
use super::signals::{Signal, Signals};
use crate::access::PageLink;
use crate::program::terminal::devices::{self, Selected};
use crate::program::terminal::keyboard::{self, Keyboard, Modes};
use crate::program::terminal::keys::{self, Action, Key};
use crate::program::terminal::screen::Screen;
use crate::program::terminal::{self, Size, banner, neutral, status};
use crate::server::{Server, Status};
use crate::viewer::ViewerInfo;

/// The live lines are not redrawn more often, however many changes there are.
const CALM: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_secs(1);
/// Up to so many devices, it is told who joins.
const ROOM: usize = 32;
/// After so long without a viewer, something may be in the way.
const PATIENCE: Duration = Duration::from_secs(20);
/// So many links may be on their way to a browser.
const OPENINGS: usize = 8;

pub struct Console<'a> {
    output: &'a Output,
    server: &'a Server,
    keyboard: Option<Keyboard>,
    above: Above,
    /// Who is there, as far as that was told.
    known: BTreeSet<u64>,
    /// Until when the first viewer is waited for.
    first_viewer: Option<Instant>,
    /// Links on their way to a browser.
    openings: FuturesUnordered<Opening>,
}

/// What stands above the status line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Above {
    Nothing,
    Help,
    Code,
    Devices(Selected),
}

/// Yields what there is to say about a link.
type Opening = Pin<Box<dyn Future<Output = Option<String>>>>;

impl<'a> Console<'a> {
    /// With its keys, if there is somebody to press them.
    pub fn new(output: &'a Output, server: &'a Server, signals: &mut Signals) -> Console<'a> {
        let keyboard = output.wants_keys().then(Keyboard::find).flatten();
        if let Some(keyboard) = &keyboard {
            signals.listen_to_the_terminal();
            expect_panics(output.screen.clone(), keyboard.modes());
        }
        Console {
            output,
            server,
            keyboard,
            above: Above::Nothing,
            known: BTreeSet::new(),
            first_viewer: Some(Instant::now() + PATIENCE),
            openings: FuturesUnordered::new(),
        }
    }

    /// Keeps the live lines true and does what keys ask for, until a signal is for others.
    pub async fn watch(&mut self, signals: &mut Signals) -> Signal {
        let mut changes = self.server.changes();
        let is_looked_at = self.output.is_looked_at();
        loop {
            if is_looked_at {
                self.draw().await;
            }
            tokio::select! {
                // First: where nothing of ours stands any more, nothing may be drawn over.
                biased;
                signal = signals.next() => match signal {
                    Signal::Suspend => self.suspend(signals).await,
                    Signal::Resume => self.resume(),
                    Signal::Redraw => {}
                    other => return other,
                },
                keys = pressed(&mut self.keyboard) => for key in keys {
                    self.press(key).await;
                },
                Some(news) = self.openings.next() => if let Some(news) = news {
                    self.say(&news);
                },
                () = next(&mut changes), if is_looked_at => {}
                () = sleep(TICK), if is_looked_at => {}
            }
        }
    }

    /// Gives the terminal back, stops, and takes it again when the process is continued.
    async fn suspend(&self, signals: &mut Signals) {
        self.output.screen.clear();
        if let Some(keyboard) = &self.keyboard {
            keyboard.give_back();
        }
        if keyboard::suspend() {
            signals.continued().await;
        }
    }

    /// Draws below what others have written meanwhile, and takes the terminal anew: its modes may be
    /// theirs.
    fn resume(&self) {
        self.output.screen.forget();
        if let Some(keyboard) = &self.keyboard {
            keyboard.give_back();
        }
    }

    async fn draw(&mut self) {
        let screen = &self.output.screen;
        if self.keyboard.as_ref().is_some_and(|keys| !keys.take()) {
            return screen.clear();
        }
        let status = self.server.status();
        self.hint(&status);
        let viewers = self.viewers(&status).await;
        self.tell_who_joined(&status, &viewers);
        let size = terminal::size();
        let mut lines = self.above(&viewers, size);
        lines.push(self.status_line(&status, &viewers, size));
        let too_many = lines.len().saturating_sub(size.rows);
        self.output
            .screen
            .show(lines.split_off(too_many), Some(size.columns));
    }

    /// Those whose names are shown, or may have to be told.
    async fn viewers(&mut self, status: &Status) -> Vec<ViewerInfo> {
        let is_list = matches!(self.above, Above::Devices(_));
        match is_list || (1..=ROOM).contains(&all(status)) {
            true => self.server.viewers().await,
            false => Vec::new(),
        }
    }

    /// A page that was reloaded replaces its own older connection: then there are no more than before.
    fn tell_who_joined(&mut self, status: &Status, viewers: &[ViewerInfo]) {
        if all(status) > ROOM {
            return;
        }
        let before = self.known.len();
        let is_new = |viewer: &&ViewerInfo| !self.known.contains(&viewer.id);
        let more = viewers.len().saturating_sub(before);
        let newest: Vec<&ViewerInfo> = viewers.iter().rev().filter(is_new).take(more).collect();
        for viewer in newest.iter().rev() {
            let room = viewer.room.iter().map(|room| format!(" {room}"));
            let room: String = room.collect();
            self.say(&format!("{} joined{room}", viewer.device));
        }
        self.known = viewers.iter().map(|viewer| viewer.id).collect();
    }

    fn above(&mut self, viewers: &[ViewerInfo], size: Size) -> Vec<String> {
        let paint = self.output.screen.paint();
        match &mut self.above {
            Above::Nothing => Vec::new(),
            Above::Help => keys::help(size.columns, paint),
            Above::Code => banner::small_code(&self.server.links(), self.output.qr, size, paint),
            Above::Devices(selected) => {
                *selected = selected.settle(viewers).unwrap_or_default();
                let room = (size.columns, size.rows.saturating_sub(1));
                devices::lines(viewers, *selected, room, paint)
            }
        }
    }

    fn status_line(&self, status: &Status, viewers: &[ViewerInfo], size: Size) -> String {
        let mut devices = viewers.iter().filter(|viewer| viewer.room.is_none());
        let only = devices.next().filter(|_| status.client_count == 1);
        let facts = status::Facts {
            status,
            device: only.map(|viewer| viewer.device.clone()),
            revision: self.output.is_verbose(),
            keys: self.keyboard.is_some(),
        };
        status::line(&facts, size.columns, self.output.screen.paint())
    }

    /// Once, when nobody has come.
    fn hint(&mut self, status: &Status) {
        if all(status) > 0 {
            self.first_viewer = None;
        }
        if self
            .first_viewer
            .is_some_and(|until| Instant::now() >= until)
        {
            self.first_viewer = None;
            self.say("no device yet. A phone does not connect? `onlooker doctor` says why");
        }
    }

    async fn press(&mut self, key: Key) {
        let listing = matches!(self.above, Above::Devices(_));
        match keys::meaning(key, listing) {
            None => {}
            Some(Action::Help) => self.toggle(Above::Help),
            Some(Action::Code) => self.toggle(Above::Code),
            Some(Action::Devices) => {
                // Also a key that comes before the list is drawn is meant for who is in it.
                let viewers = self.server.viewers().await;
                let first = Selected::default().settle(&viewers);
                self.toggle(Above::Devices(first.unwrap_or_default()));
            }
            Some(Action::Close) => self.above = Above::Nothing,
            Some(Action::OpenPage) => self.open_page(),
            Some(Action::OpenPanel) => self.open(&self.server.links().host, "the host panel"),
            Some(Action::Copy) => self.copy(),
            Some(Action::NextAddress) => self.next_address(),
            Some(Action::Freeze) => self.server.freeze(!self.server.is_frozen()),
            Some(Action::Resend) => {
                let devices = status::devices(self.server.resend());
                self.say(&format!("sent again to {devices}"));
            }
            Some(Action::Select(step)) => {
                let viewers = self.server.viewers().await;
                if let Above::Devices(selected) = &mut self.above {
                    *selected = selected.step(&viewers, step).unwrap_or_default();
                }
            }
            Some(Action::SendAway) => self.send_away().await,
        }
    }

    /// Shows something, or takes it away again.
    fn toggle(&mut self, wanted: Above) {
        let is_shown = std::mem::discriminant(&self.above) == std::mem::discriminant(&wanted);
        self.above = match is_shown {
            true => Above::Nothing,
            false => wanted,
        };
    }

    async fn send_away(&mut self) {
        let Above::Devices(selected) = self.above else {
            return;
        };
        let viewers = self.server.viewers().await;
        let Some(viewer) = selected.viewer(&viewers) else {
            return self.say("that device has left already");
        };
        if self.server.disconnect(viewer.id).await {
            self.say(&format!("{} was sent away", neutral(&viewer.device)));
        }
    }

    fn copy(&self) {
        let link = self.server.links().page;
        let screen = &self.output.screen;
        screen.print(&format!("\x1b]52;c;{}\x07", STANDARD.encode(&*link)));
        // No terminal says whether it did, and some do not know how.
        let link = link.without_token();
        self.say(&format!("asked the terminal to copy {link}"));
    }

    fn next_address(&self) {
        let before = self.server.links();
        match self.server.next_address() == before {
            true => self.say("this machine has no other address"),
            false => self.output.greet(self.server, Some(&before)),
        }
    }

    /// Opens the page in this machine's browser.
    pub fn open_page(&mut self) {
        self.open(&self.server.links().page, "the page");
    }

    /// Hands a link to a browser.
    fn open(&mut self, link: &PageLink, what: &'static str) {
        if self.openings.len() >= OPENINGS {
            return self.say("several links are on their way to a browser already");
        }
        self.say(&format!("opening {what} in a browser"));
        let link = link.clone();
        let is_private = self.output.screen.is_terminal();
        self.openings.push(Box::pin(async move {
            let reason = browser::open(&link).await.err()?;
            // A log file gets no token.
            let link = match is_private {
                true => &*link,
                false => link.without_token(),
            };
            Some(format!("nothing was opened ({reason}): open {link}"))
        }));
    }

    /// Tells whoever sits here.
    fn say(&self, text: &str) {
        self.output.say(text);
    }
}

/// How many are connected, viewers and people of rooms.
fn all(status: &Status) -> usize {
    status.client_count + status.people().0
}

/// Before a panic says what is wrong, the terminal is as it was. If only a task ends by it, the next
/// drawing takes the terminal again.
fn expect_panics(screen: Screen, modes: Modes) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        screen.try_clear();
        modes.give_back();
        usual(panic);
    }));
}

/// Waits for keys; for ever without a keyboard.
async fn pressed(keyboard: &mut Option<Keyboard>) -> Vec<Key> {
    match keyboard {
        Some(keyboard) => keyboard.pressed().await,
        None => std::future::pending().await,
    }
}

/// Waits for a change, and a little for more of them; for ever, once there can be none.
async fn next(changes: &mut watch::Receiver<()>) {
    if changes.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
    sleep(CALM).await;
}

#[cfg(all(test, unix, feature = "terminal"))]
mod tests {
    use super::*;

    #[test]
    fn a_panic_finds_the_terminal_cleared() {
        let (mut pipe, end) = std::io::pipe().unwrap();
        let screen = Screen::over(Box::new(end), true);
        screen.show(vec!["1 device".to_owned()], Some(80));
        let usual = std::panic::take_hook();
        let tells = screen.clone();
        std::panic::set_hook(Box::new(move |panic| {
            // Other tests panic as well.
            if panic.to_string().contains("as it was") {
                tells.print("told\n");
            }
        }));
        expect_panics(screen.clone(), Modes::default());
        let panicked = std::thread::spawn(|| panic!("as it was")).join();
        drop(std::panic::take_hook());
        std::panic::set_hook(usual);
        assert!(panicked.is_err());
        drop(screen);
        let mut shown = String::new();
        std::io::Read::read_to_string(&mut pipe, &mut shown).unwrap();
        assert!(
            shown.ends_with("1 device\x1b[J\r\x1b[J\x1b[Jtold\n"),
            "{shown:?}"
        );
    }
}
