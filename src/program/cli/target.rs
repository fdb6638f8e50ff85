//! A link to a daemon, as a person copies it.

use super::failure::{Exit, Failure};
use crate::access::Token;

/// A page or socket link, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    pub authority: String,
    pub path: String,
    /// What its fragment carries.
    pub token: Option<Token>,
}

impl Target {
    pub fn read(url: &str) -> Result<Target, Failure> {
        let wrong = |reason: &str| {
            let text = format!("{url}: {reason}: give a link like http://192.168.1.20:9876/");
            Failure::with(Exit::Usage, text)
        };
        let (scheme, rest) = url.split_once("://").unwrap_or(("ws", url));
        match scheme {
            "ws" | "http" => {}
            "wss" | "https" => {
                return Err(wrong(
                    "with TLS, only the daemon of this machine can be viewed, without a URL",
                ));
            }
            _ => return Err(wrong("not a link to a daemon")),
        }
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (authority, path) = rest
            .find(['/', '?'])
            .map_or((rest, ""), |at| rest.split_at(at));
        if authority.is_empty() {
            return Err(wrong("no host"));
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Target {
            authority: with_port(authority),
            path: format!("{slash}{path}"),
            token: fragment.strip_prefix("t=").map(Token::new),
        })
    }
}

fn with_port(authority: &str) -> String {
    match authority.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
        _ => format!("{authority}:80"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(url: &str) -> (String, String, Option<Token>) {
        let target = Target::read(url).unwrap();
        (target.authority, target.path, target.token)
    }

    #[test]
    fn page_and_socket_links_are_understood() {
        let plain = ("10.0.0.5:9876".to_owned(), "/".to_owned(), None);
        for url in [
            "http://10.0.0.5:9876/",
            "ws://10.0.0.5:9876",
            "10.0.0.5:9876",
        ] {
            assert_eq!(link(url), plain, "{url}");
        }
        let (_, path, token) = link("http://10.0.0.5:9876/?topic=a#t=secret");
        assert_eq!(
            (path.as_str(), token),
            ("/?topic=a", Some(Token::new("secret")))
        );
        assert_eq!(link("http://[fe80::1]:9/").0, "[fe80::1]:9");
        assert_eq!(link("http://preview.local").0, "preview.local:80");
    }

    #[test]
    fn what_cannot_be_a_daemon_is_refused() {
        for url in ["https://10.0.0.5/", "ftp://10.0.0.5", "http://", "#t=x"] {
            assert_eq!(Target::read(url).unwrap_err().exit, Exit::Usage, "{url}");
        }
    }
}
