//! The command line's shape: the commands and what each of them takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
#[cfg(feature = "completions")]
use clap_complete::Shell;

use super::failure::Failure;
use super::flags::{KeyFlags, help_of};
use super::written::Written;
use crate::program::config::{Loaded, duration};
use crate::state::room::RoomName;

/// Shows one machine's live state to every screen in the room
#[derive(Parser)]
#[command(name = "onlooker", bin_name = "onlooker", version, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, args_override_self = true)]
#[command(subcommand_help_heading = "Commands (without one: serve)")]
pub struct CommandLine {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Subcommand)]
pub enum Command {
    /// Watch sources and serve them to viewers [default]
    Serve(ServeArgs),
    /// Serve a moving demo, to see on a phone what onlooker does
    Demo(RunArgs),
    /// Connect as a viewer, or to a room, and print what comes, line by line
    #[command(after_help = VIEW)]
    View(ViewArgs),
    /// Write to the running daemon, as its host
    #[command(after_help = PUSH)]
    Push(PushArgs),
    /// Show how the running daemon is doing
    Status(StatusArgs),
    /// Find out why a phone does not connect: this machine's half, then the phone's
    #[command(after_help = DOCTOR)]
    Doctor(DoctorArgs),
    /// Print the host token of the daemon on this machine
    Token(PlaceArgs),
    /// Draw the QR code of the running daemon's page, or of a text
    Qr(QrArgs),
    /// Export, import or check a --store file that no daemon has open
    #[command(after_help = STORE, subcommand, arg_required_else_help = false)]
    Store(StoreCommand),
    /// Print the effective configuration, and where each value comes from
    #[command(after_help = CONFIG)]
    Config(ConfigArgs),
    /// Print completions for a shell
    #[command(after_help = COMPLETIONS)]
    #[cfg(feature = "completions")]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page
    #[command(after_help = MAN)]
    #[cfg(feature = "completions")]
    Man,
}

#[derive(Args)]
pub struct ServeArgs {
    #[arg(value_name = "SOURCE", help = help_of("sources"))]
    sources: Vec<String>,
    #[command(flatten)]
    pub running: RunArgs,
}

#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    keys: KeyFlags,
    #[arg(long, value_name = "FILE", help = CONFIG_HELP, help_heading = "Output")]
    config: Option<PathBuf>,
    /// Print one JSON line when ready: {"event":"ready","urls":[…],"port":…,"hostToken":"…"}
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Say more: who comes and goes, and what became of each change; -vv also each flush
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,
    /// Open the page in this machine's browser
    #[arg(long, help_heading = "Output")]
    pub open: bool,
    /// Leave the terminal's keys alone
    #[arg(long, help_heading = "Output")]
    pub no_keys: bool,
}

#[derive(Args)]
#[command(next_help_heading = "Daemon")]
pub struct PlaceArgs {
    /// The daemon's port [default: 9876, or where the only one is]
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
    /// The address the daemon listens on [default: this machine]
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<String>,
    #[arg(long, value_name = "FILE", help = CONFIG_HELP)]
    config: Option<PathBuf>,
}

#[derive(Args)]
pub struct DaemonArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Token to show [default: the one kept on this machine]
    #[arg(
        long,
        value_name = "TOKEN",
        allow_hyphen_values = true,
        help_heading = "Daemon"
    )]
    pub token: Option<String>,
}

#[derive(Args)]
pub struct ViewArgs {
    /// Page or socket link of a daemon [default: the one on this machine]
    #[arg(value_name = "URL")]
    pub url: Option<String>,
    /// Topic to watch [default: the daemon's default topic]
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,
    /// Room to watch instead: its rows are printed, a line each, then every change
    #[arg(long, value_name = "PARTY/ROOM", conflicts_with = "topic")]
    pub room: Option<RoomName>,
    /// The only channel of the room to print [default: all]
    #[arg(long, value_name = "NAME", requires = "room")]
    pub channel: Option<String>,
    /// Print the room's frames instead, a line of JSON each
    #[arg(long, requires = "room")]
    pub json: bool,
    /// Stop after this many lines [default: until Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    #[command(flatten)]
    pub daemon: DaemonArgs,
}

#[derive(Args)]
pub struct PushArgs {
    /// File to replace the session with, in any format that is watched; - streams NDJSON from stdin, a write per line
    #[arg(value_name = "FILE")]
    pub file: Option<String>,
    /// Topic to write to [default: the daemon's default topic]
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,
    /// Merge a config field; the value is parsed as JSON, otherwise taken as a string; may be repeated
    #[arg(long, value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub daemon: DaemonArgs,
}

#[derive(Args)]
pub struct StatusArgs {
    /// Print the daemon's answer as JSON
    #[arg(long)]
    pub json: bool,
    /// Print nothing: exit 0 if the daemon answers, 1 if not
    #[arg(long, conflicts_with = "json")]
    pub health: bool,
    #[command(flatten)]
    pub daemon: DaemonArgs,
}

#[derive(Args)]
pub struct DoctorArgs {
    #[arg(long, value_name = "PORT", help = help_of("port"))]
    port: Option<String>,
    #[arg(long, value_name = "ADDRESS", help = help_of("bind"))]
    bind: Option<String>,
    #[arg(long, value_name = "NAME", help = help_of("interface"))]
    interface: Option<String>,
    #[arg(long, value_name = "HOST[:PORT]", help = help_of("advertise"))]
    advertise: Option<String>,
    #[arg(long, value_name = "FILE", help = CONFIG_HELP)]
    config: Option<PathBuf>,
    /// Print one JSON document at the end, both halves in it
    #[arg(long)]
    pub json: bool,
    /// End after the first phone's report, or after this time [default: on a terminal, until Ctrl-C; otherwise at once]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub wait: Option<Duration>,
}

#[derive(Args)]
pub struct QrArgs {
    /// What to draw [default: the running daemon's link]
    #[arg(value_name = "TEXT")]
    pub text: Option<String>,
    #[command(flatten)]
    pub daemon: DaemonArgs,
}

#[derive(Subcommand)]
pub enum StoreCommand {
    /// Print every topic, and every row of a room, one JSON object per line
    Export(StoreArgs),
    /// Put topics and rows into the store, as new changes; those of the same name or id are replaced
    Import {
        /// NDJSON of an export [default: stdin]
        #[arg(value_name = "FILE")]
        file: Option<String>,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Report for every topic and room whether it is whole, without writing to the file
    #[command(after_help = CHECK)]
    Check(StoreArgs),
}

#[derive(Args)]
pub struct StoreArgs {
    #[arg(long, value_name = "FILE", help = help_of("store"))]
    store: Option<String>,
    #[arg(long, value_name = "FILE", help = CONFIG_HELP, help_heading = "Output")]
    config: Option<PathBuf>,
}

#[derive(Args)]
pub struct ConfigArgs {
    /// Print every key with its default, commented out: a file to start from
    #[arg(long)]
    pub default: bool,
    #[command(flatten)]
    pub serve: ServeArgs,
}

impl CommandLine {
    /// The whole command line, for the parser, the completions and the manual.
    pub fn shape() -> clap::Command {
        // Most of these flags are only there to be tried: they would bury the two that matter.
        CommandLine::command().mut_subcommand("config", |config| {
            config.mut_args(|arg| {
                let shown = matches!(arg.get_id().as_str(), "default" | "config");
                arg.hide(!shown)
            })
        })
    }

    /// Reads the words of a command line, the program's own name first.
    pub fn read(
        words: impl IntoIterator<Item = std::ffi::OsString>,
    ) -> Result<CommandLine, clap::Error> {
        CommandLine::from_arg_matches(&CommandLine::shape().try_get_matches_from(words)?)
    }
}

impl ServeArgs {
    /// What it says about the configuration, and how to run.
    pub fn split(self) -> (Written, RunArgs) {
        let (mut written, running) = self.running.split();
        if !self.sources.is_empty() {
            written.keys.push(("sources", self.sources));
        }
        (written, running)
    }
}

impl RunArgs {
    /// What it says about the configuration, and the rest.
    pub fn split(mut self) -> (Written, RunArgs) {
        let written = Written {
            keys: std::mem::take(&mut self.keys.0),
            file: self.config.take(),
        };
        (written, self)
    }
}

impl DoctorArgs {
    /// What it says about the configuration.
    pub fn written(self) -> Written {
        let flags = [
            ("port", self.port),
            ("bind", self.bind),
            ("interface", self.interface),
            ("advertise", self.advertise),
        ];
        Written::new(flags, self.config)
    }
}

impl PlaceArgs {
    /// The configuration, as far as it concerns where the daemon is.
    pub fn load(&self) -> Result<Loaded, Failure> {
        let flags = [("port", self.port.clone()), ("bind", self.bind.clone())];
        Written::new(flags, self.config.clone()).load()
    }
}

impl StoreArgs {
    /// The configuration, as far as it concerns the store.
    pub fn load(&self) -> Result<Loaded, Failure> {
        Written::new([("store", self.store.clone())], self.config.clone()).load()
    }
}

const CONFIG_HELP: &str = "Configuration file [default: ./onlooker.toml, if it exists]";

const EXAMPLES: &str = "\
Examples:
  onlooker state.json               watch a file; scan the code with a phone
  onlooker demo                     see what it does, without a file
  tail -f log.ndjson | onlooker -   take changes from another program
  onlooker --port 0 --json a.json   on any free port, which is then printed
  onlooker push --set speed=1.5     change one field of the running daemon
  onlooker view                     print every frame that viewers get
  onlooker doctor                   a phone does not connect? find out why

Every setting has a flag, a variable (--max-wait: ONLOOKER_MAX_WAIT) and a key in onlooker.toml
(max_wait); a flag takes precedence over a variable, a variable over the file. `onlooker
config` shows what is in effect. A file named like a command is reached as ./status.

Two things are declared in the file alone: under [fields], the fields that may change without a
redraw; under [rooms], rooms, with rows that several people edit. `onlooker config --default`
has an example of both.

On SIGHUP, a daemon with a terminal shuts down cleanly. One without a terminal reloads its
configuration and certificate, and logs what has changed and what needs a restart.
Under nohup (on Linux) it does neither.

On a terminal, h lists the keys: open the page, copy its link, show the code, freeze viewers and
more. Where anything is redirected, with --no-keys, or on Windows, there are none.

When 9876 is in use and no port was named, the next free one up to 9885 is taken. The other
commands find a daemon that is the only one of its user.

Log lines are onlooker's own; RUST_LOG=tungstenite=debug adds those of the library it names.

Exit codes: 0 clean shutdown, 1 failed, 2 wrong usage, 3 in the way of phones (doctor),
66 input missing, 69 address in use, 78 bad configuration.";

const VIEW: &str = "\
Examples:
  onlooker view
  onlooker view http://192.168.1.20:9876/
  onlooker view --count 1 | jq .payload
  onlooker view --room main/lobby                      who edits what, row by row
  onlooker view --room main/lobby --channel todos --json | jq .payload

A row is printed as CHANNEL  ID  NAME=VALUE …, a deleted one as CHANNEL  ID  deleted. Where the
connection is lost, it is made again, and what has changed meanwhile is printed.";

const PUSH: &str = "\
Examples:
  onlooker push state.json
  onlooker push --set speed=1.5 --set color=red
  generator | onlooker push -

The revision of each accepted write is printed.";

const DOCTOR: &str = "\
Examples:
  onlooker doctor                       look here, then scan the code with the phone
  sudo onlooker doctor                  firewalls show their rules only to root
  onlooker doctor --interface wlan0     would this interface do?
  onlooker doctor --json --wait 60s     both halves for a program

It looks at what `onlooker serve` would do with the same configuration: the port, the
addresses, routes, firewall and limits of this machine. Then it serves /check: the phone tries
request, socket and first frame, and both ends show the same report, with a way out for each
line. Each line is good, a note, or wrong.

Exit codes: 0 nothing is wrong, 3 something is, here or on a phone; 1 failed, 2 wrong usage,
78 bad configuration.";

const STORE: &str = "\
Examples:
  onlooker store check --store state.redb
  onlooker store export --store state.redb > backup.ndjson
  onlooker store import --store state.redb backup.ndjson

A line is {\"topic\", \"revision\", \"session\"}, or for a row {\"room\", \"channel\", \"row\"}.";

const CHECK: &str = "\
Exit codes: 0 whole, 1 damaged or not readable. A daemon that starts with a damaged
store keeps what is whole in a new file, and the damaged one beside it as
FILE.damaged-1; `onlooker store import` restores what a backup has.";

const CONFIG: &str = "Example:\n  onlooker config --default > onlooker.toml";

#[cfg(feature = "completions")]
const COMPLETIONS: &str =
    "Example:\n  onlooker completions fish > ~/.config/fish/completions/onlooker.fish";

#[cfg(feature = "completions")]
const MAN: &str = "Example:\n  onlooker man | man -l -";
