//! The forms that values are written in: how each kind is read and shown.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use toml::Value;

use super::settings::{LogFormat, Qr, ViewerToken};
use super::units;
use crate::access::Token;
use crate::options::{HostToken, NatsUrl, Page, Source, StoreFailure};
use crate::source::upstream::is_link;
use crate::state::name::TopicName;
use crate::state::room::{Actions, Writers};

/// How a value is read and shown.
pub struct Form<T: 'static> {
    pub look: Look,
    /// Reads one value; an empty text means: not set.
    pub read: fn(&str) -> Result<T, String>,
    /// Writes what `read` reads back.
    pub show: fn(&T) -> Value,
}

/// How values of a kind are written.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// What stands for the value in the help: `DURATION`.
    pub value: &'static str,
    /// How its key is given on the command line.
    pub shape: Shape,
    pub secret: bool,
    /// Whether a relative value in a file is relative to that file.
    pub path: bool,
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

impl Look {
    /// Whether its key holds a list.
    pub fn is_list(&self) -> bool {
        matches!(self.shape, Shape::Many | Shape::Positional)
    }
}

impl<T> Form<T> {
    const fn new(
        value: &'static str,
        read: fn(&str) -> Result<T, String>,
        show: fn(&T) -> Value,
    ) -> Form<T> {
        let look = Look {
            value,
            shape: Shape::One,
            secret: false,
            path: false,
        };
        Form { look, read, show }
    }

    const fn shaped(mut self, shape: Shape) -> Form<T> {
        self.look.shape = shape;
        self
    }

    const fn path(mut self) -> Form<T> {
        self.look.path = true;
        self
    }

    const fn secret(mut self) -> Form<T> {
        self.look.secret = true;
        self
    }
}

macro_rules! words {
    ($name:ident: $type:ty = $value:literal { $($word:literal = $variant:path),+ $(,)? }) => {
        pub const $name: Form<$type> = Form::new(
            $value,
            |word| match word {
                $($word => Ok($variant),)+
                _ => Err(format!("give one of {}", $value.replace('|', ", "))),
            },
            |value| match value {
                $($variant => text($word)),+
            },
        );
    };
}

pub const SOURCE: Form<Source> = Form::new("SOURCE", source, |source| match source {
    Source::File(path) => text(path.display()),
    Source::Stdin => text("-"),
    Source::Relay(upstream) => text(upstream),
})
.shaped(Shape::Positional)
.path();
pub const TOPIC: Form<TopicName> = Form::new(
    "NAME",
    |name| name.parse().map_err(|error| format!("{error}")),
    |name| text(name.as_str()),
);
pub const NATS: Form<Vec<NatsUrl>> = Form::new(
    "URL[,URL...]",
    |written| {
        let urls = written
            .split(',')
            .map(str::trim)
            .filter(|url| !url.is_empty());
        urls.map(NatsUrl::parse).collect()
    },
    // Without passwords.
    |urls| {
        let urls: Vec<String> = urls.iter().map(ToString::to_string).collect();
        text(urls.join(","))
    },
);
pub const NAME: Form<String> = Form::new("NAME", |name| Ok(name.to_owned()), |name| text(name));
pub const POINTER: Form<String> = repeated("POINTER");
pub const PARTY: Form<String> = repeated("NAME");
pub const ORIGIN: Form<String> = repeated("ORIGIN");
pub const HOST_NAME: Form<String> = repeated("NAME");
pub const HOST_AND_PORT: Form<Option<String>> = optional("HOST[:PORT]");
pub const INTERFACE: Form<Option<String>> = optional("NAME");
pub const FILE: Form<Option<PathBuf>> = Form::new(
    "FILE",
    |path| Ok(some(path).map(PathBuf::from)),
    |path| {
        path.as_ref()
            .map_or_else(|| text(""), |path| text(path.display()))
    },
)
.path();
pub const SITE: Form<Page> = Form::new(
    "DIR",
    |path| Ok(some(path).map_or(Page::Viewer, |path| Page::Directory(path.into()))),
    |page| match page {
        Page::Directory(path) => text(path.display()),
        Page::Viewer | Page::Demo => text(""),
    },
)
.path();
words!(STORE_FAILURE: StoreFailure = "refuse|serve" {
    "refuse" = StoreFailure::Refuse,
    "serve" = StoreFailure::Serve,
});
words!(ACTIONS: Actions = "rows|host|none" {
    "rows" = Actions::Rows,
    "host" = Actions::Host,
    "none" = Actions::None,
});
words!(WRITERS: Writers = "host|viewers" {
    "host" = Writers::Host,
    "viewers" = Writers::Viewers,
});
words!(QR: Qr = "page|ws|none" { "page" = Qr::Page, "ws" = Qr::Ws, "none" = Qr::None });
words!(LOG_FORMAT: LogFormat = "text|json" {
    "text" = LogFormat::Text,
    "json" = LogFormat::Json,
});
pub const PORT: Form<u16> = Form::new("PORT", port, |port| Value::Integer((*port).into()));
pub const ADDRESS: Form<IpAddr> = Form::new("ADDRESS", address, |address| text(address));
pub const HOST_TOKEN: Form<HostToken> = Form::new(
    "TOKEN",
    |written| match written {
        "random" | "" => Ok(HostToken::Random),
        "none" => Ok(HostToken::LoopbackOnly),
        token => Ok(HostToken::Given(Token::new(token))),
    },
    |token| match token {
        HostToken::Random => text("random"),
        HostToken::LoopbackOnly => text("none"),
        HostToken::Given(token) => text(token.reveal()),
    },
)
.secret();
pub const VIEWER_TOKEN: Form<ViewerToken> = Form::new(
    "TOKEN",
    |written| match written {
        "none" | "" => Ok(ViewerToken::None),
        "random" => Ok(ViewerToken::Random),
        token => Ok(ViewerToken::Given(Token::new(token))),
    },
    |token| match token {
        ViewerToken::None => text("none"),
        ViewerToken::Random => text("random"),
        ViewerToken::Given(token) => text(token.reveal()),
    },
)
.shaped(Shape::Optional("random"))
.secret();
pub const DURATION: Form<Duration> = Form::new("DURATION", units::duration, |duration| {
    text(units::shown_duration(*duration))
});
pub const DURATION_OR_OFF: Form<Option<Duration>> = Form::new(
    "DURATION|off",
    |written| match written {
        "off" | "" => Ok(None),
        written => units::duration(written)
            .map(Some)
            .map_err(|reason| format!("{reason}, or off")),
    },
    |duration| text(duration.map_or_else(|| "off".to_owned(), units::shown_duration)),
);
pub const COUNT: Form<usize> = Form::new("COUNT", whole, |count| {
    Value::Integer(i64::try_from(*count).unwrap_or(i64::MAX))
});
pub const COUNT_OR_NONE: Form<Option<usize>> = Form::new(
    "COUNT",
    |written| some(written).map(|written| whole(&written)).transpose(),
    |count| match count {
        Some(count) => (COUNT.show)(count),
        None => text(""),
    },
);
pub const FRAMES: Form<u32> = Form::new("COUNT", whole, |count| Value::Integer((*count).into()));
pub const SIZE: Form<usize> =
    Form::new("SIZE", units::size, |bytes| text(units::shown_size(*bytes)));
pub const SWITCH: Form<bool> = Form::new(
    "BOOL",
    |written| written.parse().map_err(|_| "give true or false".to_owned()),
    |on| Value::Boolean(*on),
)
.shaped(Shape::Switch);

const fn repeated(value: &'static str) -> Form<String> {
    Form::new(value, |written| Ok(written.to_owned()), |shown| text(shown)).shaped(Shape::Many)
}

const fn optional(value: &'static str) -> Form<Option<String>> {
    Form::new(
        value,
        |written| Ok(some(written)),
        |shown| text(shown.as_deref().unwrap_or_default()),
    )
}

pub(super) fn one(written: &[String]) -> Result<&str, String> {
    match written {
        [value] => Ok(value),
        _ => Err("give one value".to_owned()),
    }
}

fn text(shown: impl Display) -> Value {
    Value::String(shown.to_string())
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn source(text: &str) -> Result<Source, String> {
    match text {
        "" => Err("give a file's path, - for stdin, or another daemon's link".to_owned()),
        "-" => Ok(Source::Stdin),
        link if is_link(link) => Ok(Source::Relay(link.parse()?)),
        path => Ok(Source::File(path.into())),
    }
}

fn port(text: &str) -> Result<u16, String> {
    // Kubernetes sets such a variable in every pod when a service is called onlooker.
    if text.starts_with("tcp://") {
        return Err("a service link, not a port: set enableServiceLinks to false in the pod, or rename the service".to_owned());
    }
    text.parse()
        .map_err(|_| "give a port from 0 to 65535; 0 picks a free one".to_owned())
}

fn address(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        text => text.parse().map_err(|_| {
            "give an IP address: 0.0.0.0 for every network, 127.0.0.1 for this machine only"
                .to_owned()
        }),
    }
}

fn whole<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| "give a whole number, like 100".to_owned())
}
