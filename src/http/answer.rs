//! What answers have in common: problems, and the headers that every answer carries.

use axum::Extension;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{self, HeaderName, HeaderValue};

use crate::access::Pass;
use crate::wire::Problem;

/// State is not to be cached.
pub const NO_STORE: (HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// `application/problem+json`. The problem itself goes along, for the log.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let also = match self.status {
            401 => Some((header::WWW_AUTHENTICATE, "Bearer")),
            426 => Some((header::SEC_WEBSOCKET_VERSION, "13")),
            429 => Some((header::RETRY_AFTER, "60")),
            503 => Some((header::RETRY_AFTER, "5")),
            _ => None,
        };
        let also = also.map(|(name, value)| [(name, value)]);
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let text = self.text();
        (status, kind, [NO_STORE], also, Extension(self), text).into_response()
    }
}

/// 405, for a path that exists; the caller adds `Allow`.
pub fn wrong_method() -> Problem {
    Problem::new(405, "this method does not fit this path")
}

/// Turns a stranger away, and ends the connection.
pub fn refuse(refused: Problem) -> Response {
    let mut response = refused.into_response();
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    harden(&mut response, None);
    response
}

/// Answers a browser that asks whether a page of another origin may send a request.
pub fn preflight(pass: &Pass) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    finish(pass, &mut response);
    if pass.cross_origin.is_some() {
        let allowed = ALLOWED.map(|(name, value)| (name, HeaderValue::from_static(value)));
        response.headers_mut().extend(allowed);
    }
    response
}

/// What a page of another origin may do, and for how many seconds that is remembered.
const ALLOWED: [(HeaderName, &str); 3] = [
    (
        header::ACCESS_CONTROL_ALLOW_METHODS,
        "GET, HEAD, PUT, PATCH, POST, DELETE",
    ),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "authorization, content-type, if-match, if-none-match, last-event-id, onlooker-source-id, onlooker-device-id, onlooker-local-revision",
    ),
    (header::ACCESS_CONTROL_MAX_AGE, "600"),
];

/// Adds the headers that every answer carries.
pub fn finish(pass: &Pass, response: &mut Response) {
    harden(response, Some(&pass.authority));
    let Some(origin) = &pass.cross_origin else {
        return;
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("etag, retry-after"),
    );
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

/// Adds the headers that restrict what a page may do. Its sockets may go to `authority`, the
/// daemon's name as the peer knows it; a peer that was refused may open none.
fn harden(response: &mut Response, authority: Option<&str>) {
    let sockets = authority.map_or(String::new(), |host| format!(" ws://{host} wss://{host}"));
    let mut policy = format!("connect-src 'self'{sockets}; frame-ancestors 'none'");
    if response.extensions().get::<BuiltIn>().is_some() {
        policy.insert_str(0, STRICT);
    }
    let headers = response.headers_mut();
    for (name, value) in HARDENED {
        let value = HeaderValue::from_static(value);
        headers.entry(name).or_insert(value);
    }
    let policy = HeaderValue::from_str(&policy).ok();
    headers.extend(policy.map(|policy| (header::CONTENT_SECURITY_POLICY, policy)));
}

const HARDENED: [(HeaderName, &str); 3] = [
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// The policy of our own pages, which load nothing but pictures from elsewhere.
const STRICT: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob: http: https:; base-uri 'none'; form-action 'none'; ";

/// Marks an answer as one of our own pages.
#[derive(Clone)]
pub struct BuiltIn;
