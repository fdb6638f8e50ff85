//! Another daemon as a source: its link, and a connection to it as one of its viewers.

#[cfg_attr(not(feature = "tls"), path = "upstream/tls_absent.rs")]
mod tls;

use std::fmt;
use std::str::FromStr;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, error::CapacityError};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::access::Token;
use crate::hub::notices::cut;
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::wire::SUBPROTOCOL;
use tls::Secured;

/// Pongs that are not taken must not pile up, in bytes.
const LONGEST_WAITING: usize = 64 * 1024;

/// Another daemon, and which of its topics. `Display` is without the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    secure: bool,
    /// With its port.
    authority: String,
    /// None: its default one.
    topic: Option<TopicName>,
    token: Option<Token>,
}

/// A connection to it.
pub type Socket = WebSocketStream<Secured>;

/// Why there is no connection.
#[derive(Debug, PartialEq, Eq)]
pub enum NoSocket {
    /// Nobody answers, or not now.
    Away(String),
    /// It will not let this daemon watch, or is no daemon.
    Refused(String),
}

/// Whether a text is meant as another daemon's link. Of `http` only a page's is: what lies
/// deeper is a file.
pub fn is_link(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let path = rest.find(['/', '?', '#']).map_or("", |at| &rest[at..]);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    match scheme.to_ascii_lowercase().as_str() {
        "ws" | "wss" => true,
        "http" | "https" => matches!(path, "" | "/" | "/host"),
        _ => false,
    }
}

impl Upstream {
    /// Which of its topics; none: its default one.
    pub fn topic(&self) -> Option<&TopicName> {
        self.topic.as_ref()
    }

    /// Connects as a viewer that has the state of a revision, or none. A message may have `limit`
    /// bytes.
    ///
    /// # Errors
    /// Says why not, and the way out.
    pub async fn connect(&self, since: Option<Revision>, limit: usize) -> Result<Socket, NoSocket> {
        let request = self.request(since)?;
        let config = WebSocketConfig::default()
            .write_buffer_size(0)
            .max_write_buffer_size(LONGEST_WAITING)
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit));
        let away = |error: std::io::Error| NoSocket::Away(format!("it cannot be reached: {error}"));
        let untrusted = |reason| NoSocket::Refused(format!("TLS: {reason}"));
        let tcp = TcpStream::connect(&self.authority).await.map_err(away)?;
        // A pong is small and must not wait; without this it is only slower.
        let _ = tcp.set_nodelay(true);
        let stream = match self.secure {
            true => tls::secure(self.host(), tcp).await.map_err(untrusted)?,
            false => tls::plain(tcp),
        };
        let connected = client_async_with_config(request, stream, Some(config)).await;
        Ok(connected.map_err(|error| self.no_socket(error))?.0)
    }

    fn request(&self, since: Option<Revision>) -> Result<Request, NoSocket> {
        let scheme = if self.secure { "wss" } else { "ws" };
        let mut url = format!("{scheme}://{}/?", self.authority);
        if let Some(topic) = &self.topic {
            let topic = utf8_percent_encode(topic.as_str(), NON_ALPHANUMERIC);
            url += &format!("topic={topic}&");
        }
        if let Some(since) = since {
            url += &format!("since={since}");
        }
        let wrong = |reason: &str| NoSocket::Refused(format!("it cannot be asked: {reason}"));
        let request = url.as_str().into_client_request();
        let mut request = request.map_err(|error| wrong(&error.to_string()))?;
        let headers = request.headers_mut();
        headers.insert(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
        if let Some(token) = &self.token {
            let value = HeaderValue::try_from(format!("Bearer {}", token.reveal()));
            let value = value.map_err(|_| wrong("its token cannot be part of a header"))?;
            headers.insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// Without the port and the brackets.
    fn host(&self) -> &str {
        let host = self.authority.rsplit_once(':').map_or("", |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    fn no_socket(&self, error: Error) -> NoSocket {
        match error {
            Error::Http(response) => self.refusal(&response),
            Error::Io(error) => NoSocket::Away(format!("the connection broke off: {error}")),
            Error::Protocol(ProtocolError::HandshakeIncomplete) => {
                NoSocket::Away("it closed the connection without an answer".to_owned())
            }
            Error::Capacity(CapacityError::TooManyHeaders) => {
                NoSocket::Refused("what answers there is no onlooker".to_owned())
            }
            error => {
                let error = error.to_string();
                NoSocket::Refused(format!(
                    "what answers there is no onlooker: {}",
                    cut(&error)
                ))
            }
        }
    }

    fn refusal(&self, response: &Response) -> NoSocket {
        let status = response.status();
        NoSocket::Refused(match status {
            StatusCode::UNAUTHORIZED => match &self.token {
                Some(_) => "it does not know this token (401): give its viewer token, ?token=TOKEN"
                    .to_owned(),
                None => "it wants its viewer token (401): add ?token=TOKEN".to_owned(),
            },
            StatusCode::NOT_FOUND => match &self.topic {
                Some(topic) => format!("it has no topic {:?} (404) yet", topic.as_str()),
                None => "it has no sockets for viewers (404): is it an onlooker?".to_owned(),
            },
            StatusCode::MISDIRECTED_REQUEST => format!(
                "it does not go by the name {:?} (421): add it there, --allow-host {}",
                self.host(),
                self.host()
            ),
            StatusCode::TOO_MANY_REQUESTS => "it was shown too many wrong tokens (429)".to_owned(),
            StatusCode::SERVICE_UNAVAILABLE => {
                return NoSocket::Away("it is full or stopping (503)".to_owned());
            }
            status => format!("it answers {status}: is it an onlooker?"),
        })
    }
}

impl FromStr for Upstream {
    type Err = String;

    fn from_str(text: &str) -> Result<Upstream, String> {
        // Whoever reads of the mistake need not read the token.
        let shown = text.split(['?', '#']).next().unwrap_or_default();
        let wrong = |reason: &str| {
            format!("{shown}: {reason}: give a link like ws://192.168.1.20:9876/?topic=main")
        };
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" | "http" => false,
            "wss" | "https" => true,
            _ => return Err(wrong("this is no link to a daemon")),
        };
        if secure && !tls::IS_THERE {
            return Err(wrong("this program was made without TLS (feature tls)"));
        }
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !matches!(path, "" | "host") {
            return Err(wrong("a daemon's sockets are at /"));
        }
        let authority = with_port(authority, secure).ok_or_else(|| wrong("it names no host"))?;
        let asked = |key: &str| value(query, key);
        let topic = asked("topic").map(|topic| topic.parse());
        let topic = topic
            .transpose()
            .map_err(|error| wrong(&format!("{error}")))?;
        let carried = || value(fragment, "t").or_else(|| value(fragment, "h"));
        Ok(Upstream {
            secure,
            authority,
            topic,
            token: asked("token").or_else(carried).map(Token::new),
        })
    }
}

/// The first value of a key in a query.
fn value(query: &str, key: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(name, _)| *name == key)?;
    let value = percent_decode_str(value).decode_utf8_lossy();
    (!value.is_empty()).then(|| value.into_owned())
}

/// None without a host, or with more than one.
fn with_port(authority: &str, secure: bool) -> Option<String> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse::<u16>().ok()?),
        _ => (authority, if secure { 443 } else { 80 }),
    };
    let is_host = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | '"' | '\\');
    let fits = !host.is_empty() && host.chars().all(is_host);
    let is_closed = host.starts_with('[') == host.ends_with(']');
    let is_one = !host.contains(':') || host.starts_with('[');
    (fits && is_closed && is_one).then(|| format!("{host}:{port}"))
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}", self.authority)?;
        match &self.topic {
            Some(topic) => write!(f, "/?topic={topic}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(text: &str) -> Upstream {
        text.parse().unwrap()
    }

    #[test]
    fn socket_page_and_host_links_are_understood() {
        for text in [
            "ws://10.0.0.5:9876",
            "ws://10.0.0.5:9876/",
            "http://10.0.0.5:9876/",
            "HTTP://10.0.0.5:9876/host",
        ] {
            assert!(is_link(text), "{text}");
            assert_eq!(link(text).to_string(), "ws://10.0.0.5:9876", "{text}");
        }
        let asked = link("ws://10.0.0.5:9876/?topic=a.b&token=open%20sesame");
        assert_eq!(asked.to_string(), "ws://10.0.0.5:9876/?topic=a.b");
        assert_eq!(asked.token, Some(Token::new("open sesame")));
        let page = link("http://10.0.0.5:9876/?topic=a#t=secret");
        assert_eq!(page.token, Some(Token::new("secret")));
        let host = link("http://10.0.0.5:9876/host#h=secret");
        assert_eq!(host.token, Some(Token::new("secret")));
        assert_eq!(link("ws://preview.local").authority, "preview.local:80");
        assert_eq!(link("ws://[fe80::1]:9/").host(), "fe80::1");
        assert_eq!(link("ws://[::1]").authority, "[::1]:80");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn tls_has_a_port_of_its_own() {
        assert_eq!(
            link("wss://example.com").to_string(),
            "wss://example.com:443"
        );
        assert_eq!(link("https://example.com/").host(), "example.com");
    }

    #[test]
    fn what_cannot_be_a_daemon_is_refused_without_its_token() {
        for text in [
            "ws://",
            "ws://:9876",
            "ws://a:b:1",
            "ws://user@a:1",
            "ws://a:1/deeper",
            "ws://a:99999",
            "ws://a:1/?topic=a b",
            "ftp://a:1",
        ] {
            let text = format!(
                "{text}{}token=swordfish",
                if text.contains('?') { '&' } else { '?' }
            );
            let refused = text.parse::<Upstream>().unwrap_err();
            assert!(refused.contains("give a link like"), "{refused}");
            assert!(!refused.contains("swordfish"), "{refused}");
        }
        assert!(!is_link("http://localhost/a.json") && !is_link("state.json"));
    }
}
