//! The command line's shape. The flags of `serve` are made from the table of keys.

use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{Exit, Failure};
use crate::program::config::Shape;
use crate::program::config::keys::{KEYS, Key};

/// The whole command line.
pub fn command() -> Command {
    Command::new("onlooker")
        .bin_name("onlooker")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Shows one machine's live state to every screen in the room")
        .after_help(EXAMPLES)
        .args(serve_args(|_| true))
        .args_conflicts_with_subcommands(true)
        .args_override_self(true)
        .subcommand_help_heading("Commands (without one: serve)")
        .subcommands([
            serve(),
            demo(),
            view(),
            push(),
            status(),
            token(),
            qr(),
            store(),
            config(),
            completions(),
            man(),
        ])
}

const EXAMPLES: &str = "\
Examples:
  onlooker state.json               watch a file; scan the code with a phone
  onlooker demo                     see what it does, without a file
  tail -f log.ndjson | onlooker -   take changes from another program
  onlooker --port 0 --json a.json   on any free port, which stdout then tells
  onlooker push --set speed=1.5     change one field of the running daemon
  onlooker view                     print every frame that viewers get

Every flag has a variable (--max-wait: ONLOOKER_MAX_WAIT) and a key in onlooker.toml
(max_wait); a flag goes before a variable, a variable before the file. `onlooker config`
shows what holds. A file that is named like a command is reached as ./status.

SIGHUP ends a daemon of a terminal in order. One without a terminal reads its configuration
and certificate again, and says what has changed and what needs a restart. Under nohup
(on Linux) it does neither.

Exit codes: 0 stopped in order, 1 failed, 2 wrong usage, 66 input missing, 69 address in
use, 78 bad configuration.";

fn serve() -> Command {
    Command::new("serve")
        .about("Watch sources and serve them to viewers [default]")
        .args(serve_args(|_| true))
}

fn demo() -> Command {
    Command::new("demo")
        .about("Serve a moving demo, to see on a phone what onlooker does")
        .args(serve_args(|key| key.name != "sources"))
}

fn view() -> Command {
    Command::new("view")
        .about("Connect as a viewer and print each frame as a line")
        .after_help("Examples:\n  onlooker view\n  onlooker view http://192.168.1.20:9876/\n  onlooker view --count 1 | jq .payload")
        .arg(Arg::new("url").value_name("URL").help("Page or socket link of a daemon [default: the one on this machine]"))
        .arg(topic("topic to watch [default: the daemon's default topic]"))
        .arg(
            Arg::new("count")
                .long("count")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..))
                .help("Stop after this many frames [default: until Ctrl-C]"),
        )
        .args(daemon_args())
}

fn push() -> Command {
    Command::new("push")
        .about("Write to the running daemon, as its host")
        .after_help("Examples:\n  onlooker push state.json\n  onlooker push --set speed=1.5 --set color=red\n  generator | onlooker push -\n\nThe revision of each accepted write is printed.")
        .arg(Arg::new("file").value_name("FILE").help("JSON or TOML file to replace the session with; - streams NDJSON from stdin, a write per line"))
        .arg(topic("topic to write to [default: the daemon's default topic]"))
        .arg(
            Arg::new("set")
                .long("set")
                .value_name("FIELD=VALUE")
                .action(ArgAction::Append)
                .help("Merge a config field; the value is JSON, or else a text; may be repeated"),
        )
        .args(daemon_args())
}

fn status() -> Command {
    Command::new("status")
        .about("Tell how the running daemon does")
        .arg(flag("json", "Print the daemon's answer as JSON"))
        .arg(
            flag(
                "health",
                "Print nothing: exit 0 when the daemon answers, 1 when not",
            )
            .conflicts_with("json"),
        )
        .args(daemon_args())
}

fn token() -> Command {
    Command::new("token")
        .about("Print the host token of the daemon on this machine")
        .args(
            daemon_args()
                .into_iter()
                .filter(|arg| arg.get_id() != "token"),
        )
}

fn qr() -> Command {
    Command::new("qr")
        .about("Draw the code of the running daemon's page, or of a text")
        .arg(
            Arg::new("text")
                .value_name("TEXT")
                .help("What to draw [default: the running daemon's link]"),
        )
        .args(daemon_args())
}

fn store() -> Command {
    let file = || {
        let key = KEYS.iter().filter(|key| key.name == "store").map(key_arg);
        key.map(|arg| arg.help_heading(None)).chain([config_arg()])
    };
    let input = "NDJSON of an export [default: stdin]";
    Command::new("store")
        .about("Read, fill or check the file of --store, while no daemon has it open")
        .after_help("Examples:\n  onlooker store check --store state.redb\n  onlooker store export --store state.redb > backup.ndjson\n  onlooker store import --store state.redb backup.ndjson")
        .subcommand_required(true)
        .subcommands([
            Command::new("export")
                .about("Print every topic, one JSON object per line")
                .args(file()),
            Command::new("import")
                .about("Put topics into the store, under new revisions; those of the same name are replaced")
                .arg(Arg::new("file").value_name("FILE").help(input))
                .args(file()),
            Command::new("check")
                .about("Tell of every topic whether it is whole, without writing to the file")
                .after_help("Exit codes: 0 whole, 1 damaged or not to be read. A daemon that starts with a damaged\nstore keeps what is whole in a new file, and the damaged one beside it as\nFILE.damaged-1; `onlooker store import` puts back what a backup has.")
                .args(file()),
        ])
}

fn config() -> Command {
    Command::new("config")
        .about("Print the effective configuration, and where each value comes from")
        .after_help("Example:\n  onlooker config --default > onlooker.toml")
        .arg(flag(
            "default",
            "Print every key with its default, commented out: a file to start from",
        ))
        .args(serve_args(|_| true))
        .mut_args(|arg| {
            let shown = matches!(arg.get_id().as_str(), "default" | "config");
            arg.hide(!shown)
        })
}

fn completions() -> Command {
    Command::new("completions")
        .about("Print completions for a shell")
        .after_help(
            "Example:\n  onlooker completions fish > ~/.config/fish/completions/onlooker.fish",
        )
        .arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(value_parser!(clap_complete::Shell)),
        )
}

fn man() -> Command {
    Command::new("man")
        .about("Print the manual page")
        .after_help("Example:\n  onlooker man | man -l -")
}

/// The keys as flags, and what only a command line has.
fn serve_args(wanted: fn(&Key) -> bool) -> Vec<Arg> {
    let keys = KEYS.iter().filter(|key| wanted(key)).map(key_arg);
    let own = [
        config_arg(),
        flag("json", "Print one JSON line when ready: {\"event\":\"ready\",\"urls\":[…],\"port\":…,\"hostToken\":\"…\"}").help_heading("Output"),
        flag("verbose", "Say more; -vv says everything")
            .short('v')
            .action(ArgAction::Count)
            .help_heading("Output"),
        flag("quiet", "Say nothing but errors")
            .short('q')
            .conflicts_with("verbose")
            .help_heading("Output"),
    ];
    keys.chain(own).collect()
}

fn key_arg(key: &'static Key) -> Arg {
    let arg = Arg::new(key.name).value_name(key.value).help(help(key));
    if key.shape == Shape::Positional {
        return arg.action(ArgAction::Append).num_args(0..);
    }
    let arg = arg.help_heading(key.group).long(key.name.replace('_', "-"));
    match key.shape {
        Shape::Many => arg.action(ArgAction::Append),
        Shape::Optional(value) => arg.num_args(0..=1).default_missing_value(value),
        // Without the sign, what follows is a source.
        Shape::Switch => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        Shape::Positional | Shape::One => arg,
    }
}

/// The help with the default, which the code knows.
fn help(key: &Key) -> String {
    let default = match key.default() {
        toml::Value::String(text) if text.is_empty() => "not set".to_owned(),
        toml::Value::Array(_) => "none".to_owned(),
        toml::Value::String(text) => text,
        other => other.to_string(),
    };
    format!("{} [default: {default}]", key.help().trim_end_matches('.'))
}

/// How a command finds the daemon it talks to.
fn daemon_args() -> Vec<Arg> {
    let keys = KEYS
        .iter()
        .filter(|key| matches!(key.name, "port" | "bind"));
    let port = |key: &'static Key| {
        let help = match key.name {
            "port" => "The daemon's port [default: 9876]",
            _ => "The address the daemon listens on [default: this machine]",
        };
        key_arg(key).help(help).help_heading("Daemon")
    };
    let token = Arg::new("token")
        .long("token")
        .allow_hyphen_values(true)
        .value_name("TOKEN")
        .help("Token to show [default: the one kept on this machine]");
    let more = [
        token.help_heading("Daemon"),
        config_arg().help_heading("Daemon"),
    ];
    keys.map(port).chain(more).collect()
}

fn topic(help: &'static str) -> Arg {
    // Not the key of that name: that one is the daemon's default.
    Arg::new("of").long("topic").value_name("NAME").help(help)
}

fn config_arg() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Configuration file [default: ./onlooker.toml, if there is one]")
        .help_heading("Output")
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(help)
}

/// What was typed for a key.
pub fn given(matches: &ArgMatches, key: &Key) -> Option<Vec<String>> {
    let typed = matches.try_get_many::<String>(key.name).ok().flatten()?;
    let by_hand = matches.value_source(key.name) == Some(ValueSource::CommandLine);
    by_hand.then(|| typed.cloned().collect())
}

/// The file `--config` names.
pub fn config_file(matches: &ArgMatches) -> Option<&Path> {
    matches
        .try_get_one("config")
        .ok()
        .flatten()
        .map(PathBuf::as_path)
}

/// One text argument.
pub fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches
        .try_get_one::<String>(name)
        .ok()
        .flatten()
        .map(String::as_str)
}

/// Whether a switch was given.
pub fn is_set(matches: &ArgMatches, name: &str) -> bool {
    matches
        .try_get_one::<bool>(name)
        .ok()
        .flatten()
        .is_some_and(|set| *set)
}

/// `--viewer-token state.json` would silently make the file's name the token.
///
/// # Errors
/// The token is a file.
pub fn check_viewer_token(matches: &ArgMatches) -> Result<(), Failure> {
    let Some(token) = text(matches, "viewer_token") else {
        return Ok(());
    };
    let path = Path::new(token);
    let like_source = path
        .extension()
        .is_some_and(|end| end == "json" || end == "toml");
    match token == "-" || like_source || path.exists() {
        true => Err(Failure::with(
            Exit::Usage,
            format!(
                "--viewer-token {token}: takes the source as the token: write --viewer-token=random {token}"
            ),
        )),
        false => Ok(()),
    }
}
