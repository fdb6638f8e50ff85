//! The one gate that every request passes, before routing and before a 101.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, UPGRADE};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode, Uri};
use tower::ServiceExt;

use super::answer::{self, problem};
use super::app::App;
use super::connection::Peer;
use super::{api, upgrade};
use crate::access::{self, Need, Pass};
use crate::hub::notices::{Reason, cut};
use crate::wire::Problem;

/// The gate and what is behind it.
pub struct Gate {
    /// The daemon.
    pub app: Arc<App>,
    router: Router,
}

impl Gate {
    /// The gate of a daemon.
    pub fn new(app: Arc<App>) -> Gate {
        let router = api::router().with_state(app.clone());
        Gate { app, router }
    }

    /// Answers a request, and says so if it is refused.
    pub async fn answer(&self, peer: &Peer, request: Request<Incoming>) -> Response {
        let (parts, body) = request.into_parts();
        let (method, uri) = (parts.method.clone(), parts.uri.clone());
        let upgrades = is_upgrade(&parts);
        let mut response = self.pass(peer, parts, body).await;
        if let Some(refused) = response.extensions_mut().remove::<Problem>()
            && is_news(refused.status, uri.path(), upgrades)
        {
            self.tell(peer, &method, &uri, &refused);
        }
        response
    }

    /// Never the query or the body, in which there may be a secret.
    fn tell(&self, peer: &Peer, method: &Method, uri: &Uri, refused: &Problem) {
        let (reason, address) = (Reason::of(refused.status), peer.address());
        if !self.app.hub.notices().refused(reason, address) {
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

    /// Refused, upgraded or routed.
    async fn pass(&self, peer: &Peer, parts: Parts, body: Incoming) -> Response {
        let access = self.app.live.get().access.clone();
        let admitted = access.admit(&parts, peer.address, need(&parts)).await;
        let pass = match admitted {
            Ok(pass) => pass,
            Err(refused) => return answer::refuse(refused),
        };
        peer.settle(&pass);
        if parts.method == Method::OPTIONS {
            return answer::preflight(&pass);
        }
        let mut response = match is_upgrade(&parts) {
            true => upgrade::answer(&self.app, peer, &pass, Request::from_parts(parts, ())),
            false => {
                let mut request = Request::from_parts(parts, Body::new(body));
                request.extensions_mut().insert(peer.address());
                self.route(&pass, request).await
            }
        };
        answer::finish(&pass, &mut response);
        response
    }

    async fn route(&self, pass: &Pass, mut request: Request<Body>) -> Response {
        request.extensions_mut().insert(pass.clone());
        let Ok(response) = self.router.clone().oneshot(request).await;
        match response.status() {
            StatusCode::METHOD_NOT_ALLOWED => wrong_method(&response),
            StatusCode::BAD_REQUEST if !is_problem(&response) => {
                wrong_path(response.into_body()).await
            }
            _ => response,
        }
    }
}

/// What the router itself refuses has no text yet.
fn wrong_method(response: &Response) -> Response {
    let mut refused = problem(&Problem::new(
        405,
        "Method Not Allowed",
        "this method does not fit this path",
    ));
    let allow = response.headers().get(ALLOW).cloned();
    refused
        .headers_mut()
        .extend(allow.map(|allow| (ALLOW, allow)));
    refused
}

/// A part of the path that cannot be read is refused by the router in plain text.
async fn wrong_path(body: Body) -> Response {
    let text = axum::body::to_bytes(body, 4096).await.unwrap_or_default();
    let detail = String::from_utf8_lossy(&text).into_owned();
    problem(&Problem::new(400, "Bad Request", detail).because("a path that cannot be read"))
}

fn is_problem(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind == "application/problem+json")
}

/// Whether it is worth a line that this was refused. Browsers ask for pages that are not there by
/// themselves, a probe's 503 is what it asks for, who lost a race (412) knows what to do, and
/// the store tells itself of what it cannot keep (507).
fn is_news(status: u16, path: &str, upgrades: bool) -> bool {
    match status {
        404 => upgrades || path.starts_with("/api/"),
        412 | 507 => false,
        503 => path != "/readyz",
        _ => true,
    }
}

/// What a request needs, told by its method and path alone.
fn need(request: &Parts) -> Need {
    let reads = [Method::GET, Method::HEAD].contains(&request.method);
    match request.uri.path() {
        "/host" if is_upgrade(request) => Need::Host,
        _ if !reads => Need::Host,
        "/" if is_upgrade(request) => Need::Viewer,
        "/readyz" | "/metrics" => Need::Probe,
        "/sync" | "/qr.svg" | "/qr.png" => Need::Viewer,
        path if path.starts_with("/api/viewers") => Need::Host,
        path if path.starts_with("/api/") => Need::Viewer,
        _ => Need::Nothing,
    }
}

fn is_upgrade(request: &Parts) -> bool {
    access::list(&request.headers, UPGRADE)
        .iter()
        .any(|item| item.eq_ignore_ascii_case("websocket"))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::access::{Access, AccessOptions, Token};

    /// What the gate says to a `GET` from there: 200 when it lets it in.
    fn asked(path: &str, peer: [u8; 4], token: &str) -> u16 {
        let options = AccessOptions {
            viewer_token: Some(Token::new("watch")),
            ..Default::default()
        };
        let access = Access::new(&options, Vec::new()).unwrap();
        let request = Request::get(format!("{path}?token={token}")).header("host", "localhost");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let admitted = access.admit(&parts, (peer, 5000).into(), need(&parts));
        let admitted = admitted.now_or_never().expect("it is told at once");
        admitted.map_or_else(|refused| refused.status, |_| 200)
    }

    #[test]
    fn who_probes_from_elsewhere_has_to_be_allowed_to_watch() {
        const HERE: [u8; 4] = [127, 0, 0, 1];
        const THERE: [u8; 4] = [192, 168, 1, 9];
        for path in ["/readyz", "/metrics"] {
            assert_eq!(asked(path, THERE, "old"), 401, "{path}");
            assert_eq!(asked(path, THERE, "watch"), 200, "{path}");
            assert_eq!(asked(path, HERE, "old"), 200, "{path}");
        }
        assert_eq!(asked("/healthz", THERE, "old"), 200);
        assert_eq!(asked("/api/status", HERE, "old"), 401);
    }
}
