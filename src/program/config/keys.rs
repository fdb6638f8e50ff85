//! The table of keys. Flags, variables, the file's reader, the commented file and
//! `onlooker config` are all made from it, so that none of them can know more than another.

use toml::Value;

use super::forms::*;
use super::settings::Settings;

/// One thing that can be set.
#[derive(Debug)]
pub struct Key {
    /// As the file writes it: `max_wait`.
    pub name: &'static str,
    /// The heading it stands under.
    pub group: &'static str,
    /// How its values are written.
    pub look: Look,
    /// Whether a daemon without a terminal takes over another value on SIGHUP; the others need a
    /// restart.
    pub live: bool,
    /// Where its value is kept: `.options.flow.max_wait`.
    at: &'static str,
    /// A sentence, which may be broken into lines.
    help: &'static str,
    /// Reads what was written. Whether the value can be used at all is for
    /// [`Options::check_values`](crate::options::Options::check_values) to say.
    pub read: fn(&mut Settings, &[String]) -> Result<(), String>,
    /// The value as `read` reads it back.
    pub show: fn(&Settings) -> Value,
}

/// Each line says: name, form (in brackets: a list of it) and where the value is kept; the help
/// stands above it.
macro_rules! keys {
    ($($group:literal {$(
        $(#[doc = $help:literal])+
        $name:ident: $form:tt = $($at:ident).+ $(, $live:ident)?;
    )+})+) => {
        /// Every key, in the order people read them.
        pub static KEYS: &[Key] = &[$($(Key {
            name: stringify!($name),
            group: $group,
            look: of!($form).look,
            live: !concat!($(stringify!($live))?).is_empty(),
            at: concat!($(".", stringify!($at)),+),
            help: concat!($($help),+),
            read: |settings, written| read!($form, settings.$($at).+, written),
            show: |settings| show!($form, settings.$($at).+),
        }),+),+];
    };
}

macro_rules! of {
    ([$form:ident]) => {
        $form
    };
    ($form:ident) => {
        $form
    };
}

macro_rules! read {
    ([$form:ident], $at:expr, $written:ident) => {{
        let values = $written.iter().map(|text| ($form.read)(text));
        $at = values.collect::<Result<_, _>>()?;
        Ok(())
    }};
    ($form:ident, $at:expr, $written:ident) => {{
        $at = ($form.read)(one($written)?)?;
        Ok(())
    }};
}

macro_rules! show {
    ([$form:ident], $at:expr) => {
        Value::Array($at.iter().map($form.show).collect())
    };
    ($form:ident, $at:expr) => {
        ($form.show)(&$at)
    };
}

keys! {
    "State" {
        /// Files to watch (.json, .jsonc, .yaml, .toml, .ndjson, .csv), one topic per file; the first is the default topic. - reads NDJSON from stdin, ws://HOST:PORT relays another daemon. Without a source, wait for a host.
        sources: [SOURCE] = options.sources;
        /// Name of the default topic.
        topic: TOPIC = options.topic;
        /// Part of the session that stays on the host, as a JSON Pointer like /metadata/ui; may be repeated.
        ignore: [POINTER] = options.ignore;
        /// File that keeps topics and rooms across restarts.
        store: FILE = options.store;
        /// What happens to changes that the store cannot keep: take them back, or show them and keep them later.
        store_failure: STORE_FAILURE = options.store_failure;
    }
    "Cluster" {
        /// Servers of NATS with JetStream, separated by commas, where any number of daemons share their topics and rooms: nats://host:4222, tls://user:password@host:4222.
        nats: NATS = options.cluster.servers;
        /// Bucket that holds them; the daemons that name the same one are one cluster.
        nats_bucket: NAME = options.cluster.bucket;
        /// Servers that keep the bucket when it is made; by default as many as there are, three at most.
        nats_replicas: COUNT_OR_NONE = options.cluster.replicas;
        /// File with the credentials of a NATS user.
        nats_creds: FILE = options.cluster.credentials;
    }
    "Listening" {
        /// TCP port; 0 picks a free one.
        port: PORT = options.port;
        /// Address to listen on; 127.0.0.1 keeps it to this machine.
        bind: ADDRESS = options.bind;
        /// Certificate chain, a PEM file; needs its key as well.
        tls_cert: FILE = tls_cert, live;
        /// Private key, a PEM file.
        tls_key: FILE = tls_key, live;
    }
    "Page and link" {
        /// Static site to serve at / instead of the built-in viewer page.
        viewer: SITE = options.page;
        /// What the QR code in the terminal leads to: the page, the socket, or no code.
        qr: QR = qr;
        /// Address to print instead of the one that was found; a container needs it.
        advertise: HOST_AND_PORT = options.link.advertise, live;
        /// Network interface whose address is printed, like en0.
        interface: INTERFACE = options.link.interface, live;
    }
    "Who may connect" {
        /// What a writer must show: a token of your own, random, or none (peers on this machine only).
        host_token: HOST_TOKEN = options.access.host_token, live;
        /// What a viewer must show: a token of your own, random (also without a value), or none.
        viewer_token: VIEWER_TOKEN = viewer_token, live;
        /// Web origin that may connect besides this host and loopback names, like https://app.example; may be repeated.
        allow_origin: [ORIGIN] = options.access.allow_origin, live;
        /// Host name that requests may use besides addresses, localhost and this machine's name, also with .local; may be repeated.
        allow_host: [HOST_NAME] = options.access.allow_host, live;
    }
    "Flow" {
        /// How long a pause in the changes must be before they are sent; 0 sends at once.
        debounce: DURATION = options.flow.debounce;
        /// Longest wait while changes keep coming, or off; by default twice the debounce if that is longer.
        max_wait: DURATION_OR_OFF = options.flow.max_wait;
        /// How often a viewer is pinged; it is dropped after two unanswered pings.
        ping: DURATION = options.flow.ping;
        /// How many flushes the channel to the viewers holds, 16 at least.
        capacity: COUNT = options.flow.capacity;
        /// Show a change only once it is on the disk (--store).
        show_after_durable: SWITCH = options.flow.after_durable;
    }
    "Limits" {
        /// Viewers, and readers of /sync, at a time; any more get 503.
        max_viewers: COUNT = options.limits.viewers;
        /// Connections at a time from one address.
        max_per_address: COUNT = options.limits.per_address;
        /// Connections that have not yet shown what they may do.
        max_unauthenticated: COUNT = options.limits.unauthenticated;
        /// Topics at a time.
        max_topics: COUNT = options.limits.topics;
        /// Size of a session, wherever it comes from.
        max_session: SIZE = options.limits.session;
        /// Limit on data not yet delivered, over all viewers together; at least two sessions.
        max_in_flight: SIZE = options.limits.in_flight;
        /// Size of a request's head.
        max_header: SIZE = options.limits.header;
        /// How long a request's head may take.
        head_timeout: DURATION = options.limits.head_timeout;
        /// How long a peer may go without accepting any data.
        stall_timeout: DURATION = options.limits.stall_timeout;
        /// Frames a viewer may send in ten seconds.
        inbound_frames: FRAMES = options.limits.inbound_frames;
        /// Bytes a viewer may send in ten seconds, and in one message.
        inbound_bytes: SIZE = options.limits.inbound_bytes;
        /// Rooms at a time; any more get 503.
        max_rooms: COUNT = options.limits.rooms;
        /// Rows in a room, deleted ones not counted.
        max_rows: COUNT = options.limits.rows;
        /// Size of a row, as JSON.
        max_row: SIZE = options.limits.row;
        /// Size of the rows of all rooms together, deleted ones among them.
        max_rows_size: SIZE = options.limits.rows_size;
        /// Actions that a connection to a room may ask for in ten seconds.
        max_actions: FRAMES = options.limits.actions;
    }
    "Output" {
        /// Log lines for people, or one JSON object per line.
        log_format: LOG_FORMAT = log_format;
    }
}

impl Key {
    /// The key of this name.
    pub fn named(name: &str) -> Option<&'static Key> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The key that sets an option, by its path within
    /// [`Options`](crate::options::Options).
    pub fn of_option(option: &str) -> Option<&'static Key> {
        let option = format!(".{option}");
        // What is made of a setting (the viewer's token) has the longer path.
        KEYS.iter()
            .find(|key| key.at.ends_with(&option) || option.ends_with(key.at))
    }

    /// `--max-wait`.
    pub fn flag(&self) -> String {
        match self.look.shape {
            Shape::Positional => self.look.value.to_owned(),
            _ => format!("--{}", self.long()),
        }
    }

    /// `max-wait`.
    pub fn long(&self) -> String {
        self.name.replace('_', "-")
    }

    /// `ONLOOKER_MAX_WAIT`.
    pub fn variable(&self) -> String {
        format!("ONLOOKER_{}", self.name.to_uppercase())
    }

    /// A variable's text as values: the parts of a list are separated by commas.
    pub fn split(&self, text: &str) -> Vec<String> {
        match self.look.is_list() {
            true => text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect(),
            false => vec![text.to_owned()],
        }
    }

    /// One sentence, without the default.
    pub fn help(&self) -> &'static str {
        self.help.trim()
    }

    /// The default, as the file would write it.
    pub fn default(&self) -> Value {
        (self.show)(&Settings::default())
    }
}
