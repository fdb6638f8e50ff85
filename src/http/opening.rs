//! The opening of a WebSocket: checked (RFC 6455 §4.2.1), negotiated (RFC 7692), answered by 101.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{
    CONNECTION, HOST, HeaderMap, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, USER_AGENT,
};
use hyper::upgrade::Upgraded;
use hyper::{Method, Version};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tracing::{Instrument, Span};

use super::app::App;
use super::device;
use super::peer::Peer;
use crate::access;
use crate::wire::frame::Encoding;
use crate::wire::{Problem, SUBPROTOCOL, SUBPROTOCOL_MSGPACK, TOKEN_SUBPROTOCOL};

/// How long it may take from the 101 to the socket.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(5);

/// A proper opening, to be answered.
pub struct Opening {
    request: hyper::Request<()>,
    response: Response,
}

impl<S: Sync> FromRequest<S> for Opening {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Opening, Problem> {
        let request = request.map(drop);
        let mut response = switching(&request)?;
        let protocol = chosen_protocol(request.headers());
        let header = protocol.map(|protocol| (SEC_WEBSOCKET_PROTOCOL, protocol));
        response.headers_mut().extend(header);
        Ok(Opening { request, response })
    }
}

impl Opening {
    /// What the peer is, for people.
    pub fn device(&self) -> String {
        let agent = self.request.headers().get(USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok());
        device::label(agent.unwrap_or_default())
    }

    /// Whether the viewer speaks our own protocol, and how it gets its messages. Agrees to
    /// compression if it is offered.
    pub fn agree_on_encoding(&mut self) -> (bool, Encoding) {
        let protocol = self.response.headers().get(SEC_WEBSOCKET_PROTOCOL);
        let msgpack = protocol.is_some_and(|protocol| protocol == SUBPROTOCOL_MSGPACK);
        let own = msgpack || protocol.is_some_and(|protocol| protocol == SUBPROTOCOL);
        let offers = access::list(self.request.headers(), SEC_WEBSOCKET_EXTENSIONS);
        let agreed = offers.iter().find_map(|offer| agreed_deflate(offer));
        let header = agreed.map(|agreed| (SEC_WEBSOCKET_EXTENSIONS, agreed));
        let deflate = header.is_some();
        self.response.headers_mut().extend(header);
        (own, Encoding { msgpack, deflate })
    }

    /// The 101, behind which the socket is served. The connection stays in the count of its
    /// address for as long.
    pub fn answer<F: Future<Output = ()> + Send + 'static>(
        mut self,
        app: &App,
        peer: &Peer,
        serve: impl FnOnce(Upgraded) -> F + Send + 'static,
    ) -> Response {
        let span = Span::current();
        if !span.is_disabled() {
            span.record("device", self.device());
        }
        tracing::debug!(path = self.request.uri().path(), "WebSocket accepted");
        let (upgrade, counted) = (hyper::upgrade::on(&mut self.request), peer.counted.clone());
        let served = async move {
            if let Ok(Ok(io)) = timeout(UPGRADE_TIMEOUT, upgrade).await {
                serve(io).await;
            }
            drop(counted);
        };
        app.tasks.spawn(served.instrument(span));
        self.response
    }
}

/// The 101, or what is wrong with the request (RFC 6455 §4.2.1).
///
/// # Errors
/// 400, 405 or 426.
pub fn switching(request: &hyper::Request<()>) -> Result<Response, Problem> {
    let bad = |detail: &'static str| Err(Problem::bad_request(detail).because(detail));
    let headers = request.headers();
    let only = |name| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())
    };
    if request.method() != Method::GET {
        return Err(Problem::new(405, "a WebSocket is opened with GET"));
    }
    if request.version() != Version::HTTP_11 {
        return bad("a WebSocket is opened with HTTP/1.1");
    }
    if only(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let detail = "only version 13 of the WebSocket protocol is spoken";
        return Err(Problem::new(426, detail));
    }
    let key = only(SEC_WEBSOCKET_KEY).and_then(|key| STANDARD.decode(key).ok());
    if only(HOST).is_none() || key.is_none_or(|key| key.len() != 16) {
        return bad("exactly one Sec-WebSocket-Key of 16 bytes in base64 is needed");
    }
    // The library would also split at spaces, where RFC 9110 §5.6.1 knows commas alone.
    let connection = access::list(headers, CONNECTION);
    if !connection
        .iter()
        .any(|item| item.eq_ignore_ascii_case("upgrade"))
    {
        return bad("the Connection header has to name Upgrade");
    }
    create_response_with_body(request, Body::empty).map_err(|error| {
        Problem::bad_request(error.to_string()).because("not a WebSocket handshake")
    })
}

/// The first of our protocols in the peer's order; a token's only if nothing else is offered,
/// because browsers insist on getting one of those that they offered.
fn chosen_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = access::list(headers, SEC_WEBSOCKET_PROTOCOL);
    let is_ours = |offer: &&String| [SUBPROTOCOL, SUBPROTOCOL_MSGPACK].contains(&offer.as_str());
    let is_token = |offer: &&String| offer.starts_with(TOKEN_SUBPROTOCOL);
    let ours = offered.iter().find(is_ours);
    let chosen = ours.or_else(|| offered.iter().find(is_token))?;
    HeaderValue::from_str(chosen).ok()
}

/// The answer to the offer of an extension, if it is a permessage-deflate that we can keep to
/// (RFC 7692 §7.1): all our frames use the whole window, and none refers to an earlier one.
pub fn agreed_deflate(offer: &str) -> Option<HeaderValue> {
    let offer = offer.to_ascii_lowercase();
    let mut items = offer.split(';').map(str::trim);
    let mut seen = Vec::new();
    let valid = items.next() == Some("permessage-deflate")
        && items.all(|item| {
            let (name, value) = item.split_once('=').map_or((item, None), |(name, value)| {
                (name.trim(), Some(unquoted(value.trim())))
            });
            let is_new = !seen.contains(&name);
            seen.push(name);
            is_new && is_deflate_parameter(name, value)
        });
    let agreed = match seen.contains(&"server_max_window_bits") {
        // Whoever offers a limit accepts only an answer that names it.
        true => {
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15"
        }
        false => "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    };
    valid.then(|| HeaderValue::from_static(agreed))
}

/// A parameter's value without its quotes (RFC 7692 §5.2); a single quote stays.
fn unquoted(value: &str) -> &str {
    let inside = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inside.unwrap_or(value)
}

fn is_deflate_parameter(name: &str, value: Option<&str>) -> bool {
    let is_size = |value: &str| {
        let bits = value.parse::<u8>();
        bits.is_ok_and(|bits| (8..=15).contains(&bits)) && !value.starts_with(['0', '+'])
    };
    match (name, value) {
        ("server_no_context_takeover" | "client_no_context_takeover", None) => true,
        ("client_max_window_bits", value) => value.is_none_or(is_size),
        ("server_max_window_bits", Some(value)) => value == "15",
        _ => false,
    }
}
