//! What answers have in common: problems, and the headers that every answer carries.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{self, HeaderName, HeaderValue};

use crate::access::Pass;
use crate::wire::Problem;

/// An error as `application/problem+json`. It stays beside its text, for the log.
pub fn problem(problem: &Problem) -> Response {
    let mut response = Response::new(Body::from(problem.text()));
    *response.status_mut() =
        StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match problem.status {
        401 => _ = headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        426 => _ = headers.insert("sec-websocket-version", HeaderValue::from_static("13")),
        429 => _ = headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60")),
        503 => _ = headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5")),
        _ => {}
    }
    response.extensions_mut().insert(problem.clone());
    response
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        problem(&self)
    }
}

/// 503: full or stopping.
pub fn unavailable(detail: impl Into<String>) -> Problem {
    Problem::new(503, "Service Unavailable", detail)
}

/// Turns a stranger away, who must not keep the connection either.
pub fn refuse(refused: Problem) -> Response {
    let mut response = problem(&refused);
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    harden(&mut response, "");
    response
}

/// Answers a browser that asks whether a page of another origin may write.
pub fn preflight(pass: &Pass) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    finish(pass, &mut response);
    if pass.cross_origin.is_some() {
        let headers = response.headers_mut();
        let mut set =
            |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
        set(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            "GET, HEAD, PUT, PATCH, POST, DELETE",
        );
        set(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, if-match, if-none-match, last-event-id, onlooker-source-id, onlooker-device-id, onlooker-local-revision",
        );
        set(header::ACCESS_CONTROL_MAX_AGE, "600");
    }
    response
}

/// Adds what every answer carries.
pub fn finish(pass: &Pass, response: &mut Response) {
    harden(response, &pass.authority);
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

fn harden(response: &mut Response, authority: &str) {
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value| {
        _ = headers
            .entry(HeaderName::from_static(name))
            .or_insert(HeaderValue::from_static(value))
    };
    set("cross-origin-resource-policy", "same-origin");
    set("x-content-type-options", "nosniff");
    set("referrer-policy", "no-referrer");
    // Who is refused before its Host is known gets no sockets either.
    let sockets = match authority {
        "" => String::new(),
        host => format!(" ws://{host} wss://{host}"),
    };
    let connect = format!("connect-src 'self'{sockets}; frame-ancestors 'none'");
    let policy = match headers.remove(BUILT_IN) {
        Some(_) => format!(
            "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob: http: https:; base-uri 'none'; form-action 'none'; {connect}"
        ),
        None => connect,
    };
    headers.extend(
        HeaderValue::from_str(&policy)
            .ok()
            .map(|policy| (header::CONTENT_SECURITY_POLICY, policy)),
    );
}

/// Marks our own pages, whose policy can be strict; never sent.
pub const BUILT_IN: HeaderName = HeaderName::from_static("onlooker-built-in");
