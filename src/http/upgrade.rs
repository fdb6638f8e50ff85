//! From a request to a WebSocket: checked whole, answered with 101, handed on.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{
    CONNECTION, HOST, HeaderMap, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, USER_AGENT,
};
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper::{Method, Request, Version};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use super::answer::{problem, unavailable};
use super::api::no_name;
use super::app::App;
use super::connection::Peer;
use super::device;
use super::patience::Patient;
use crate::access::{self, Pass};
use crate::hub::TopicEntry;
use crate::source::host::Host;
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::viewer::sync::Feed;
use crate::viewer::{NewViewer, Wire};
use crate::wire::frame::Encoding;
use crate::wire::{Problem, SUBPROTOCOL, SUBPROTOCOL_MSGPACK, TOKEN_SUBPROTOCOL};

/// How long the way from the 101 to the socket may take.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers an upgrade and starts what serves the socket.
pub fn answer(
    app: &std::sync::Arc<App>,
    peer: &Peer,
    pass: &Pass,
    mut request: Request<()>,
) -> Response {
    let started = match request.uri().path() {
        "/" => viewer(app, peer, pass, &mut request),
        "/host" => host(app, peer, pass, &mut request),
        "/sync" => sync(app, peer, pass, &mut request),
        path => Err(Problem::new(
            404,
            "Not Found",
            format!(
                "there is no socket at {path}: viewers connect to /, hosts to /host, /sync tells of changes"
            ),
        )),
    };
    started.unwrap_or_else(|refused| problem(&refused))
}

fn viewer(
    app: &std::sync::Arc<App>,
    peer: &Peer,
    pass: &Pass,
    request: &mut Request<()>,
) -> Result<Response, Problem> {
    let Some(pass) = pass.viewer.clone() else {
        return Err(Problem::new(401, "Unauthorized", "watching needs a token"));
    };
    let mut response = switching(request)?;
    let entry = topic(app, request)?;
    let since = parameter(request, "since")
        .map(|text| text.parse::<Revision>())
        .transpose();
    // What is no revision of ours is an unknown one: that means a snapshot.
    let since = since.unwrap_or_default();
    let presence = app.hub.enter(&entry).ok_or_else(|| full(app))?;
    let protocol = choose_protocol(request.headers());
    let agreed = access::list(request.headers(), SEC_WEBSOCKET_EXTENSIONS)
        .iter()
        .find_map(|offer| agreed_deflate(offer));
    let deflate = agreed.is_some();
    let agreed = agreed.map(|answer| (SEC_WEBSOCKET_EXTENSIONS, answer));
    response.headers_mut().extend(agreed);
    let msgpack = protocol.as_deref() == Some(SUBPROTOCOL_MSGPACK);
    let own = msgpack || protocol.as_deref() == Some(SUBPROTOCOL);
    agree(&mut response, protocol);
    let agent = request
        .headers()
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or_default();
    let (address, device) = (peer.address, device::label(agent).into_boxed_str());
    let (viewers, admission) = (app.viewers.clone(), peer.counted.clone());
    let upgrade = hyper::upgrade::on(request);
    app.tasks.spawn(async move {
        let Some((wire, early)) = wire(upgrade).await else {
            return;
        };
        let encoding = Encoding { msgpack, deflate };
        viewers
            .join(NewViewer {
                wire,
                early,
                pass,
                presence,
                since,
                encoding,
                own,
                address,
                device,
                span: tracing::Span::none(),
                admission,
            })
            .await;
    });
    Ok(response)
}

fn host(
    app: &std::sync::Arc<App>,
    peer: &Peer,
    pass: &Pass,
    request: &mut Request<()>,
) -> Result<Response, Problem> {
    let Some(pass) = pass.host.clone() else {
        return Err(Problem::new(
            401,
            "Unauthorized",
            "writing needs the host token",
        ));
    };
    let mut response = switching(request)?;
    let topic = topic_name(app, request)?;
    let source = app.hub.attach(&topic).map_err(|error| error.problem())?;
    agree(&mut response, choose_protocol(request.headers()));
    let host = Host {
        hub: app.hub.clone(),
        topic,
        source,
        address: peer.address(),
        pass,
        stop: app.stop.clone(),
    };
    let (counted, upgrade) = (peer.counted.clone(), hyper::upgrade::on(request));
    app.tasks.spawn(async move {
        if let Some(io) = upgraded(upgrade).await {
            host.run(TokioIo::new(io)).await;
        }
        drop(counted);
    });
    Ok(response)
}

fn sync(
    app: &std::sync::Arc<App>,
    peer: &Peer,
    pass: &Pass,
    request: &mut Request<()>,
) -> Result<Response, Problem> {
    let Some(pass) = &pass.viewer else {
        return Err(Problem::new(401, "Unauthorized", "watching needs a token"));
    };
    let mut response = switching(request)?;
    agree(&mut response, choose_protocol(request.headers()));
    let only = topics(request.uri().query())?;
    let feed = Feed::new(&app.hub, only, pass).ok_or_else(|| full(app))?;
    let (stop, upgrade) = (app.stop.clone(), hyper::upgrade::on(request));
    let (counted, address) = (peer.counted.clone(), peer.address());
    app.tasks.spawn(async move {
        if let Some(io) = upgraded(upgrade).await {
            feed.serve(TokioIo::new(io), address, stop).await;
        }
        drop(counted);
    });
    Ok(response)
}

/// 503: everybody who may watch does.
pub fn full(app: &App) -> Problem {
    let limit = app.hub.limits().viewers;
    unavailable(format!(
        "{limit} viewers are connected already (--max-viewers)"
    ))
}

/// The 101, or what is wrong with the request (RFC 6455 §4.2.1).
pub fn switching(request: &Request<()>) -> Result<Response, Problem> {
    let bad = |detail: &'static str| Problem::new(400, "Bad Request", detail).because(detail);
    let headers = request.headers();
    let one = |name| headers.get_all(name).iter().count() == 1;
    if request.method() != Method::GET {
        return Err(Problem::new(
            405,
            "Method Not Allowed",
            "a WebSocket begins with GET",
        ));
    }
    if request.version() != Version::HTTP_11 {
        return Err(bad("a WebSocket begins with HTTP/1.1"));
    }
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
        || !one(SEC_WEBSOCKET_VERSION)
    {
        return Err(Problem::new(
            426,
            "Upgrade Required",
            "only version 13 of the WebSocket protocol is spoken",
        ));
    }
    let key = headers
        .get(SEC_WEBSOCKET_KEY)
        .filter(|_| one(SEC_WEBSOCKET_KEY) && one(HOST));
    if key
        .and_then(|key| STANDARD.decode(key).ok())
        .is_none_or(|key| key.len() != 16)
    {
        return Err(bad("Sec-WebSocket-Key has to be 16 bytes in base64, once"));
    }
    if !access::list(headers, CONNECTION)
        .iter()
        .any(|item| item.eq_ignore_ascii_case("upgrade"))
    {
        return Err(bad("the Connection header has to name Upgrade"));
    }
    create_response_with_body(request, Body::empty).map_err(|error| {
        Problem::new(400, "Bad Request", error.to_string()).because("no opening of a WebSocket")
    })
}

fn agree(response: &mut Response, protocol: Option<String>) {
    let value = protocol.and_then(|protocol| HeaderValue::from_str(&protocol).ok());
    response
        .headers_mut()
        .extend(value.map(|value| (SEC_WEBSOCKET_PROTOCOL, value)));
}

/// Ours in the peer's order; a token's only when nothing else is offered, because browsers
/// insist on one of what they offered.
fn choose_protocol(headers: &HeaderMap) -> Option<String> {
    let offered = access::subprotocols(headers);
    let own = offered
        .iter()
        .find(|offer| [SUBPROTOCOL, SUBPROTOCOL_MSGPACK].contains(&offer.as_str()));
    let token = || {
        offered
            .iter()
            .find(|offer| offer.starts_with(TOKEN_SUBPROTOCOL))
    };
    own.or_else(token).cloned()
}

/// The answer to an extension offer, if it is a permessage-deflate that we can keep (RFC 7692
/// §7.1): all our frames use the whole window, and none refers to an earlier one.
pub fn agreed_deflate(offer: &str) -> Option<HeaderValue> {
    let offer = offer.to_ascii_lowercase();
    let mut items = offer.split(';').map(str::trim);
    let mut seen = Vec::new();
    let valid = items.next() == Some("permessage-deflate")
        && items.all(|item| {
            let (name, value) = item.split_once('=').map_or((item, None), |(name, value)| {
                (name.trim(), Some(unquoted(value.trim())))
            });
            is_deflate_parameter(name, value) && !seen.contains(&name) && {
                seen.push(name);
                true
            }
        });
    let agreed = match seen.contains(&"server_max_window_bits") {
        // Who offers a limit takes only an answer that names it.
        true => {
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15"
        }
        false => "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    };
    valid.then(|| HeaderValue::from_static(agreed))
}

/// A parameter's value without its quotes (RFC 7692 §5.2); one quote alone is none.
fn unquoted(value: &str) -> &str {
    let inside = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inside.unwrap_or(value)
}

fn is_deflate_parameter(name: &str, value: Option<&str>) -> bool {
    let bits = |value: &str| {
        value
            .parse::<u8>()
            .is_ok_and(|bits| (8..=15).contains(&bits) && !value.starts_with(['0', '+']))
    };
    match (name, value) {
        (
            "server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits",
            None,
        ) => true,
        ("client_max_window_bits", Some(value)) => bits(value),
        ("server_max_window_bits", Some(value)) => value == "15",
        _ => false,
    }
}

fn parameter(request: &Request<()>, key: &str) -> Option<String> {
    access::query(request.uri().query()?, key)
}

fn topic_name(app: &App, request: &Request<()>) -> Result<TopicName, Problem> {
    let Some(name) = parameter(request, "topic") else {
        return Ok(app.hub.default_topic().clone());
    };
    name.parse().map_err(no_name)
}

fn topic(app: &App, request: &Request<()>) -> Result<std::sync::Arc<TopicEntry>, Problem> {
    let name = topic_name(app, request)?;
    app.hub.topic(&name).ok_or_else(|| {
        let detail = format!("there is no topic {:?} yet", name.as_str());
        Problem::new(404, "Not Found", detail).because("there is no such topic yet")
    })
}

/// The topics that a `/sync` request is limited to.
///
/// # Errors
/// A name that cannot be a topic's.
pub fn topics(query: Option<&str>) -> Result<Vec<TopicName>, Problem> {
    let names = access::queries(query.unwrap_or_default(), "topic")
        .into_iter()
        .map(|name| name.parse::<TopicName>());
    names.collect::<Result<_, _>>().map_err(no_name)
}

async fn upgraded(upgrade: OnUpgrade) -> Option<Upgraded> {
    tokio::time::timeout(UPGRADE_TIMEOUT, upgrade)
        .await
        .ok()?
        .ok()
}

/// The socket itself, and what arrived behind the request.
async fn wire(upgrade: OnUpgrade) -> Option<(Wire, Bytes)> {
    let upgraded = upgraded(upgrade).await?;
    let upgraded = match upgraded.downcast::<TokioIo<Patient<TcpStream>>>() {
        Ok(Parts { io, read_buf, .. }) => {
            return Some((Wire::Plain(io.into_inner().into_inner()), read_buf));
        }
        Err(other) => other,
    };
    let tls = upgraded.downcast::<TokioIo<TlsStream<Patient<TcpStream>>>>();
    let Parts { io, read_buf, .. } = tls.ok()?;
    let (tcp, session) = io.into_inner().into_inner();
    Some((Wire::tls(tcp.into_inner(), session), read_buf))
}
