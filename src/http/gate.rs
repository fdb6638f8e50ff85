//! The gate that stands before every route: who may pass is decided here and nowhere else, before
//! the handler runs and before a 101. The handler takes its pass from the request.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use hyper::header::{HeaderMap, UPGRADE};
use hyper::http::request::Parts;
use hyper::{Method, Uri};

use super::answer;
use super::app::App;
use super::peer::Peer;
use crate::access::{self, Need};
use crate::hub::notices::{Reason, cut};
use crate::wire::Problem;

/// The paths of the API. Whatever is not there below it is never a page.
pub const API: &str = "/api/";

/// What the gate before one row of the table goes by. The row's need is `None` where no row
/// fits the request.
pub type Row = (Arc<App>, Option<Need>);

/// Lets a request in to its handler or refuses it, and logs what was refused on either side.
pub async fn gate(
    State((app, need)): State<Row>,
    Extension(peer): Extension<Arc<Peer>>,
    request: Request,
    next: Next,
) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let upgrades = is_upgrade(request.headers());
    let response = pass(&app, need, &peer, request, next).await;
    if let Some(refused) = response.extensions().get::<Problem>()
        && is_news(refused.status, uri.path(), upgrades)
    {
        tell(&app, &peer, &method, &uri, refused);
    }
    response
}

async fn pass(
    app: &App,
    need: Option<Need>,
    peer: &Peer,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let need = need.unwrap_or_else(|| unrouted(&parts));
    let access = app.live.get().access.clone();
    let pass = match access.admit(&parts, peer.address, need).await {
        Ok(pass) => pass,
        Err(refused) => return answer::refuse(refused),
    };
    peer.settle(pass.host.is_some());
    if parts.method == Method::OPTIONS {
        return answer::preflight(&pass);
    }
    if let Some(viewer) = pass.viewer.clone() {
        parts.extensions.insert(viewer);
    }
    if let Some(host) = pass.host.clone() {
        parts.extensions.insert(host);
    }
    let mut response = next.run(Request::from_parts(parts, body)).await;
    answer::finish(&pass, &mut response);
    response
}

/// What a request needs that no row of the table fits: the same as its neighbours in the table,
/// so that its 404 or 405 tells a stranger nothing.
fn unrouted(request: &Parts) -> Need {
    let reads = [Method::GET, Method::HEAD].contains(&request.method);
    match request.uri.path() {
        _ if !reads => Need::Host,
        path if path.starts_with("/api/viewers") => Need::Host,
        path if path.starts_with(API) => Need::Viewer,
        _ => Need::Nothing,
    }
}

/// Logs a refusal, but never the query or the body, which may hold a secret.
fn tell(app: &App, peer: &Peer, method: &Method, uri: &Uri, refused: &Problem) {
    let (reason, address) = (Reason::of(refused.status), peer.ip());
    if !app.hub.notices().refused(reason, address) {
        return;
    }
    tracing::info!(
        %address,
        method = %cut(method.as_str()),
        path = &*cut(uri.path()),
        status = refused.status,
        reason = %reason.label(),
        fields = refused.fields_at_fault().as_deref().map(cut).as_deref(),
        detail = &*cut(refused.told()),
        "request refused"
    );
}

/// Whether a refusal is worth a line. Browsers ask for pages that do not exist of their own
/// accord, a probe's 503 is the answer to its question, whoever lost a race (412) knows what to
/// do, and the store itself reports what it cannot keep (507).
fn is_news(status: u16, path: &str, upgrades: bool) -> bool {
    match status {
        404 => upgrades || path.starts_with(API),
        412 | 507 => false,
        503 => path != "/readyz",
        _ => true,
    }
}

/// Whether a request asks for a WebSocket.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    let asked = access::list(headers, UPGRADE);
    asked
        .iter()
        .any(|item| item.eq_ignore_ascii_case("websocket"))
}
