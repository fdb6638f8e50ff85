//! The table of keys: name, help, how it is read and how it is written.

use toml::Value;

use super::Settings;
use super::forms::*;
use super::values::*;
use crate::options::MIN_CAPACITY;

/// One thing that can be set.
#[derive(Debug)]
pub struct Key {
    /// As the file writes it: `max_wait`.
    pub name: &'static str,
    /// What stands for the value in the help: `DURATION`.
    pub value: &'static str,
    /// The heading it stands under.
    pub group: &'static str,
    /// One line, without the default.
    pub help: &'static str,
    /// How it is given on the command line.
    pub shape: Shape,
    /// Not to be printed.
    pub secret: bool,
    /// Whether a relative value in a file is relative to that file.
    pub path: bool,
    /// Whether a daemon without a terminal takes over another value on SIGHUP; the others need a
    /// restart.
    pub live: bool,
    /// Reads what was written.
    pub set: fn(&mut Settings, &[String]) -> Result<(), String>,
    /// Writes what `set` reads back.
    pub get: fn(&Settings) -> Value,
}

/// How a key is given on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `--port 9876`.
    One,
    /// `--viewer-token`, with or without a value; without: this one.
    Optional(&'static str),
    /// `--show-after-durable`; true or false in the file and the environment.
    Switch,
    /// `--ignore /a --ignore /b`; a list in the file, commas in the environment.
    Many,
    /// Without a flag's name, any number.
    Positional,
}

impl Key {
    /// `--max-wait`.
    pub fn flag(&self) -> String {
        match self.shape {
            Shape::Positional => self.value.to_owned(),
            _ => format!("--{}", self.name.replace('_', "-")),
        }
    }

    /// `ONLOOKER_MAX_WAIT`.
    pub fn variable(&self) -> String {
        format!("ONLOOKER_{}", self.name.to_uppercase())
    }

    /// Whether it holds a list.
    pub fn is_list(&self) -> bool {
        matches!(self.shape, Shape::Many | Shape::Positional)
    }

    /// A variable's text as values: a list has commas.
    pub fn split(&self, text: &str) -> Vec<String> {
        match self.is_list() {
            true => text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect(),
            false => vec![text.to_owned()],
        }
    }

    /// The help as a sentence.
    pub fn sentence(&self) -> String {
        let mut letters = self.help.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect()
    }

    /// The default, as the file would write it.
    pub fn default(&self) -> Value {
        (self.get)(&Settings::default())
    }
}

/// What most keys are; each entry says only where it differs.
const KEY: Key = Key {
    name: "",
    value: "",
    group: "",
    help: "",
    shape: Shape::One,
    secret: false,
    path: false,
    live: false,
    set: |_, _| Ok(()),
    get: |_| Value::Boolean(false),
};

const STATE: &str = "State";
const LISTEN: &str = "Listening";
const LINK: &str = "Page and link";
const ACCESS: &str = "Who may connect";
const FLOW: &str = "Flow";
const LIMITS: &str = "Limits";
const OUTPUT: &str = "Output";

/// Every key, in the order people read them.
pub static KEYS: &[Key] = &[
    Key {
        name: "sources",
        value: "SOURCE",
        group: STATE,
        help: "JSON or TOML files to watch, a topic each, the first one the default topic; - reads NDJSON from stdin; none: wait for a host",
        shape: Shape::Positional,
        path: true,
        set: |s, all| {
            put(
                &mut s.options.sources,
                all.iter().map(|text| source(text)).collect(),
            )
        },
        get: |s| list(s.options.sources.iter().map(shown_source)),
        ..KEY
    },
    Key {
        name: "topic",
        value: "NAME",
        group: STATE,
        help: "name of the default topic",
        set: |s, text| {
            put(
                &mut s.options.topic,
                one(text)?.parse().map_err(|error| format!("{error}")),
            )
        },
        get: |s| text(s.options.topic.as_str()),
        ..KEY
    },
    Key {
        name: "ignore",
        value: "POINTER",
        group: STATE,
        help: "part of the session that stays on the host, as a JSON Pointer like /metadata/ui; may be repeated",
        shape: Shape::Many,
        set: |s, all| {
            put(
                &mut s.options.ignore,
                all.iter().map(|text| pointer(text)).collect(),
            )
        },
        get: |s| list(s.options.ignore.iter()),
        ..KEY
    },
    Key {
        name: "store",
        value: "FILE",
        group: STATE,
        help: "file that keeps topics across restarts",
        path: true,
        set: |s, text| put(&mut s.options.store, Ok(path(one(text)?))),
        get: |s| shown_path(s.options.store.as_ref()),
        ..KEY
    },
    Key {
        name: "store_failure",
        value: "refuse|serve",
        group: STATE,
        help: "changes that the store cannot keep: take them back, or show them and keep them later",
        set: |s, text| {
            put(
                &mut s.options.store_failure,
                word(one(text)?, &STORE_FAILURES),
            )
        },
        get: |s| text(name_in(&STORE_FAILURES, s.options.store_failure)),
        ..KEY
    },
    Key {
        name: "port",
        value: "PORT",
        group: LISTEN,
        help: "TCP port; 0 picks a free one",
        set: |s, text| put(&mut s.options.port, port(one(text)?)),
        get: |s| whole(s.options.port.into()),
        ..KEY
    },
    Key {
        name: "bind",
        value: "ADDRESS",
        group: LISTEN,
        help: "address to listen on; 127.0.0.1 keeps it to this machine",
        set: |s, text| put(&mut s.options.bind, address(one(text)?)),
        get: |s| text(&s.options.bind.to_string()),
        ..KEY
    },
    Key {
        name: "tls_cert",
        value: "FILE",
        group: LISTEN,
        help: "certificate chain, a PEM file; needs the key beside it",
        path: true,
        live: true,
        set: |s, text| put(&mut s.tls_cert, Ok(path(one(text)?))),
        get: |s| shown_path(s.tls_cert.as_ref()),
        ..KEY
    },
    Key {
        name: "tls_key",
        value: "FILE",
        group: LISTEN,
        help: "private key, a PEM file",
        path: true,
        live: true,
        set: |s, text| put(&mut s.tls_key, Ok(path(one(text)?))),
        get: |s| shown_path(s.tls_key.as_ref()),
        ..KEY
    },
    Key {
        name: "viewer",
        value: "DIR",
        group: LINK,
        help: "static site to serve at / instead of the built-in viewer page",
        path: true,
        set: |s, text| put(&mut s.options.page, Ok(page(one(text)?))),
        get: |s| shown_page(&s.options.page),
        ..KEY
    },
    Key {
        name: "qr",
        value: "page|ws|none",
        group: LINK,
        help: "what the code in the terminal leads to: the page, the socket, or no code",
        set: |s, text| put(&mut s.qr, word(one(text)?, &QRS)),
        get: |s| text(name_in(&QRS, s.qr)),
        ..KEY
    },
    Key {
        name: "advertise",
        value: "HOST[:PORT]",
        group: LINK,
        help: "address to print instead of a found one; a container needs it",
        live: true,
        set: |s, text| put(&mut s.options.link.advertise, advertised(one(text)?)),
        get: |s| text(s.options.link.advertise.as_deref().unwrap_or_default()),
        ..KEY
    },
    Key {
        name: "interface",
        value: "NAME",
        group: LINK,
        help: "network interface whose address is printed, like en0",
        live: true,
        set: |s, text| put(&mut s.options.link.interface, Ok(some(one(text)?))),
        get: |s| text(s.options.link.interface.as_deref().unwrap_or_default()),
        ..KEY
    },
    Key {
        name: "host_token",
        value: "TOKEN",
        group: ACCESS,
        help: "what a writer must show: a token of your own, random, or none (peers on this machine only)",
        secret: true,
        live: true,
        set: |s, text| put(&mut s.options.access.host_token, host_token(one(text)?)),
        get: |s| shown_host_token(&s.options.access.host_token),
        ..KEY
    },
    Key {
        name: "viewer_token",
        value: "TOKEN",
        group: ACCESS,
        help: "what a viewer must show: a token of your own, random (also without a value), or none",
        shape: Shape::Optional("random"),
        secret: true,
        live: true,
        set: |s, text| put(&mut s.viewer_token, viewer_token(one(text)?)),
        get: |s| shown_viewer_token(&s.viewer_token),
        ..KEY
    },
    Key {
        name: "allow_origin",
        value: "ORIGIN",
        group: ACCESS,
        help: "web origin that may connect besides this host and loopback names, like https://app.example; may be repeated",
        shape: Shape::Many,
        live: true,
        set: |s, all| {
            put(
                &mut s.options.access.allow_origin,
                all.iter().map(|text| origin(text)).collect(),
            )
        },
        get: |s| list(s.options.access.allow_origin.iter()),
        ..KEY
    },
    Key {
        name: "allow_host",
        value: "NAME",
        group: ACCESS,
        help: "host name that requests may use besides addresses, localhost and this machine's name, also with .local; may be repeated",
        shape: Shape::Many,
        live: true,
        set: |s, all| {
            put(
                &mut s.options.access.allow_host,
                all.iter().map(|text| host_name(text)).collect(),
            )
        },
        get: |s| list(s.options.access.allow_host.iter()),
        ..KEY
    },
    Key {
        name: "debounce",
        value: "DURATION",
        group: FLOW,
        help: "how long a pause in the changes must be before they leave; 0 sends at once",
        set: |s, text| put(&mut s.options.flow.debounce, duration(one(text)?)),
        get: |s| text(&shown_duration(s.options.flow.debounce)),
        ..KEY
    },
    Key {
        name: "max_wait",
        value: "DURATION|off",
        group: FLOW,
        help: "longest wait while changes keep coming",
        set: |s, text| put(&mut s.options.flow.max_wait, duration_or_off(one(text)?)),
        get: |s| text(&shown_duration_or_off(s.options.flow.max_wait)),
        ..KEY
    },
    Key {
        name: "ping",
        value: "DURATION",
        group: FLOW,
        help: "how often a viewer is pinged; it is gone after two unanswered",
        set: |s, text| put(&mut s.options.flow.ping, some_duration(one(text)?)),
        get: |s| text(&shown_duration(s.options.flow.ping)),
        ..KEY
    },
    Key {
        name: "capacity",
        value: "COUNT",
        group: FLOW,
        help: "how many flushes the channel to the viewers holds, 16 at least",
        set: |s, text| {
            put(
                &mut s.options.flow.capacity,
                count(one(text)?, MIN_CAPACITY),
            )
        },
        get: |s| number(s.options.flow.capacity),
        ..KEY
    },
    Key {
        name: "show_after_durable",
        value: "BOOL",
        group: FLOW,
        help: "show a change only when it is on the disk (--store)",
        shape: Shape::Switch,
        set: |s, text| put(&mut s.options.flow.after_durable, switch(one(text)?)),
        get: |s| Value::Boolean(s.options.flow.after_durable),
        ..KEY
    },
    Key {
        name: "max_viewers",
        value: "COUNT",
        group: LIMITS,
        help: "viewers, and readers of /sync, at a time; more get 503",
        set: |s, text| put(&mut s.options.limits.viewers, count(one(text)?, 1)),
        get: |s| number(s.options.limits.viewers),
        ..KEY
    },
    Key {
        name: "max_per_address",
        value: "COUNT",
        group: LIMITS,
        help: "connections at a time from one address",
        set: |s, text| put(&mut s.options.limits.per_address, count(one(text)?, 1)),
        get: |s| number(s.options.limits.per_address),
        ..KEY
    },
    Key {
        name: "max_unauthenticated",
        value: "COUNT",
        group: LIMITS,
        help: "connections that have not shown yet what they may do",
        set: |s, text| put(&mut s.options.limits.unauthenticated, count(one(text)?, 1)),
        get: |s| number(s.options.limits.unauthenticated),
        ..KEY
    },
    Key {
        name: "max_topics",
        value: "COUNT",
        group: LIMITS,
        help: "topics at a time",
        set: |s, text| put(&mut s.options.limits.topics, count(one(text)?, 1)),
        get: |s| number(s.options.limits.topics),
        ..KEY
    },
    Key {
        name: "max_session",
        value: "SIZE",
        group: LIMITS,
        help: "size of a session, wherever it comes from",
        set: |s, text| put(&mut s.options.limits.session, size(one(text)?, 1024)),
        get: |s| text(&shown_size(s.options.limits.session)),
        ..KEY
    },
    Key {
        name: "max_in_flight",
        value: "SIZE",
        group: LIMITS,
        help: "size of what all viewers together have not taken yet; two sessions at least",
        set: |s, text| put(&mut s.options.limits.in_flight, size(one(text)?, 1024)),
        get: |s| text(&shown_size(s.options.limits.in_flight)),
        ..KEY
    },
    Key {
        name: "max_header",
        value: "SIZE",
        group: LIMITS,
        help: "size of a request's head",
        // Under 8 KiB the HTTP library refuses to start.
        set: |s, text| put(&mut s.options.limits.header, size(one(text)?, 8192)),
        get: |s| text(&shown_size(s.options.limits.header)),
        ..KEY
    },
    Key {
        name: "head_timeout",
        value: "DURATION",
        group: LIMITS,
        help: "how long a request's head may take",
        set: |s, text| {
            put(
                &mut s.options.limits.head_timeout,
                some_duration(one(text)?),
            )
        },
        get: |s| text(&shown_duration(s.options.limits.head_timeout)),
        ..KEY
    },
    Key {
        name: "stall_timeout",
        value: "DURATION",
        group: LIMITS,
        help: "how long a peer may take nothing of what it is sent",
        set: |s, text| {
            put(
                &mut s.options.limits.stall_timeout,
                some_duration(one(text)?),
            )
        },
        get: |s| text(&shown_duration(s.options.limits.stall_timeout)),
        ..KEY
    },
    Key {
        name: "inbound_frames",
        value: "COUNT",
        group: LIMITS,
        help: "frames a viewer may send in ten seconds",
        set: |s, text| put(&mut s.options.limits.inbound_frames, frames(one(text)?)),
        get: |s| whole(s.options.limits.inbound_frames.into()),
        ..KEY
    },
    Key {
        name: "inbound_bytes",
        value: "SIZE",
        group: LIMITS,
        help: "bytes a viewer may send in ten seconds, and in one message",
        set: |s, text| put(&mut s.options.limits.inbound_bytes, size(one(text)?, 1)),
        get: |s| text(&shown_size(s.options.limits.inbound_bytes)),
        ..KEY
    },
    Key {
        name: "log_format",
        value: "text|json",
        group: OUTPUT,
        help: "log lines for people, or one JSON object per line",
        set: |s, text| put(&mut s.log_format, word(one(text)?, &LOG_FORMATS)),
        get: |s| text(name_in(&LOG_FORMATS, s.log_format)),
        ..KEY
    },
];
