//! The written forms of what is neither a duration nor a size: each reader has its writer.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use toml::Value;

use super::values::count;
use super::{LogFormat, Qr, ViewerToken};
use crate::access::Token;
use crate::options::{HostToken, Page, Source, StoreFailure};

pub(super) const QRS: [(&str, Qr); 3] = [("page", Qr::Page), ("ws", Qr::Ws), ("none", Qr::None)];
pub(super) const STORE_FAILURES: [(&str, StoreFailure); 2] = [
    ("refuse", StoreFailure::Refuse),
    ("serve", StoreFailure::Serve),
];
pub(super) const LOG_FORMATS: [(&str, LogFormat); 2] =
    [("text", LogFormat::Text), ("json", LogFormat::Json)];

pub(super) fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

/// The value of a key that takes one.
pub(super) fn one(values: &[String]) -> Result<&str, String> {
    match values {
        [value] => Ok(value),
        _ => Err("give one value".to_owned()),
    }
}

/// An empty text means: not set.
pub(super) fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

pub(super) fn path(text: &str) -> Option<PathBuf> {
    some(text).map(PathBuf::from)
}

pub(super) fn source(text: &str) -> Result<Source, String> {
    match text {
        "" => Err("give a file's path, or - for stdin".to_owned()),
        "-" => Ok(Source::Stdin),
        path => Ok(Source::File(path.into())),
    }
}

pub(super) fn page(text: &str) -> Page {
    path(text).map_or(Page::Viewer, Page::Directory)
}

pub(super) fn pointer(text: &str) -> Result<String, String> {
    match text.starts_with('/') {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{text:?} is no JSON Pointer: start it with /, like /metadata/ui"
        )),
    }
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    // Kubernetes gives every pod such a variable when a service is called onlooker.
    if text.starts_with("tcp://") {
        return Err("a service link, not a port: set enableServiceLinks to false in the pod, or rename the service".to_owned());
    }
    text.parse()
        .map_err(|_| "give a port from 0 to 65535; 0 picks a free one".to_owned())
}

pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        text => text.parse().map_err(|_| {
            "give an IP address: 0.0.0.0 for every network, 127.0.0.1 for this machine only"
                .to_owned()
        }),
    }
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "give true or false".to_owned())
}

pub(super) fn frames(text: &str) -> Result<u32, String> {
    u32::try_from(count(text, 1)?).map_err(|_| format!("the most is {}", u32::MAX))
}

pub(super) fn advertised(text: &str) -> Result<Option<String>, String> {
    match text.contains(['/', '#', '?', '@']) || text.contains(char::is_whitespace) {
        true => {
            Err("give HOST or HOST:PORT and nothing around it, like 192.168.1.20:9876".to_owned())
        }
        false => Ok(some(text)),
    }
}

pub(super) fn host_name(text: &str) -> Result<String, String> {
    match text.is_empty()
        || text.contains(['/', '#', '?', '@'])
        || text.contains(char::is_whitespace)
    {
        true => Err(format!(
            "{text:?} is no host name: give it without a scheme, like preview.example"
        )),
        false => Ok(text.to_owned()),
    }
}

pub(super) fn origin(text: &str) -> Result<String, String> {
    let host = text.split_once("://").map(|(_, host)| host);
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#']) => Ok(text.to_owned()),
        _ => Err(format!(
            "{text:?} is no origin: give scheme and host without a path, like https://app.example"
        )),
    }
}

pub(super) fn token(text: &str) -> Result<Token, String> {
    const LEAST: usize = 8;
    match text.len() >= LEAST && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(Token::new(text)),
        false => Err(format!(
            "give {LEAST} or more visible ASCII characters, or random for a good one"
        )),
    }
}

pub(super) fn host_token(text: &str) -> Result<HostToken, String> {
    match text {
        "random" | "" => Ok(HostToken::Random),
        "none" => Ok(HostToken::LoopbackOnly),
        text => token(text).map(HostToken::Given),
    }
}

pub(super) fn viewer_token(text: &str) -> Result<ViewerToken, String> {
    match text {
        "none" | "" => Ok(ViewerToken::None),
        "random" => Ok(ViewerToken::Random),
        text => token(text).map(ViewerToken::Given),
    }
}

pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(name, _)| *name == text);
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    found
        .map(|(_, value)| *value)
        .ok_or_else(|| format!("give one of {}", names.join(", ")))
}

pub(super) fn name_in<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words
        .iter()
        .find(|(_, known)| *known == value)
        .map_or("", |(name, _)| name)
}

pub(super) fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

pub(super) fn whole(number: i64) -> Value {
    Value::Integer(number)
}

pub(super) fn number(number: usize) -> Value {
    whole(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(super) fn list<T: ToString>(items: impl Iterator<Item = T>) -> Value {
    Value::Array(items.map(|item| Value::String(item.to_string())).collect())
}

pub(super) fn shown_source(source: &Source) -> String {
    match source {
        Source::File(path) => path.display().to_string(),
        Source::Stdin => "-".to_owned(),
    }
}

pub(super) fn shown_path(path: Option<&PathBuf>) -> Value {
    text(
        &path
            .map(|path| path.display().to_string())
            .unwrap_or_default(),
    )
}

pub(super) fn shown_page(page: &Page) -> Value {
    match page {
        Page::Directory(path) => shown_path(Some(path)),
        Page::Viewer | Page::Demo => text(""),
    }
}

pub(super) fn shown_host_token(token: &HostToken) -> Value {
    text(match token {
        HostToken::Random => "random",
        HostToken::LoopbackOnly => "none",
        HostToken::Given(token) => token.reveal(),
    })
}

pub(super) fn shown_viewer_token(token: &ViewerToken) -> Value {
    text(match token {
        ViewerToken::None => "none",
        ViewerToken::Random => "random",
        ViewerToken::Given(token) => token.reveal(),
    })
}
