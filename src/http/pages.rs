//! What people see: the built-in pages, or the host's own site.

use std::path::Path;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use include_dir::{Dir, include_dir};

use super::answer::{BuiltIn, wrong_method};
use super::app::App;
use super::gate::API;
use super::options::Page;
use super::path::PathPart;
use super::site;
use crate::wire::Problem;

static PAGES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/client/pages");

pub async fn index(State(app): State<Arc<App>>, request: Request) -> Response {
    match &app.page {
        Page::Viewer => page("viewer.html"),
        Page::Demo => page("demo.html"),
        Page::Directory(directory) => serve_directory(directory, request).await,
    }
}

pub async fn host() -> Response {
    page("host.html")
}

/// The check of a phone's connection, which reports what it finds if somebody wants it.
pub fn check(is_reported: bool) -> Response {
    let Some(file) = PAGES.get_file("check.html").filter(|_| is_reported) else {
        return page("check.html");
    };
    let html = String::from_utf8_lossy(file.contents());
    built_in(
        html.replacen("<body", "<body data-reported", 1),
        "check.html",
    )
}

pub async fn client() -> Response {
    built_in(
        &include_bytes!("../../client/onlooker.js")[..],
        "onlooker.js",
    )
}

pub async fn rooms() -> Response {
    built_in(&include_bytes!("../../client/rooms.js")[..], "rooms.js")
}

/// The HTTP API, described for programs.
pub async fn openapi() -> Response {
    built_in(
        &include_bytes!("../../docs/openapi.json")[..],
        "openapi.json",
    )
}

/// The sockets, described for programs.
pub async fn asyncapi() -> Response {
    built_in(
        &include_bytes!("../../docs/asyncapi.json")[..],
        "asyncapi.json",
    )
}

/// A file of the built-in pages, or of the host's own site: tools that build one put its files into
/// a folder of this name.
pub async fn asset(
    State(app): State<Arc<App>>,
    PathPart(name): PathPart<String>,
    request: Request,
) -> Response {
    match &app.page {
        Page::Directory(directory) if PAGES.get_file(&name).is_none() => {
            serve_directory(directory, request).await
        }
        _ => page(&name),
    }
}

/// Everything else: a file of the host's own site, if it has one.
pub async fn other(State(app): State<Arc<App>>, request: Request) -> Response {
    match &app.page {
        Page::Directory(directory) if !request.uri().path().starts_with(API) => {
            serve_directory(directory, request).await
        }
        _ => not_found(request.uri().path()),
    }
}

fn not_found(path: &str) -> Response {
    Problem::not_found(format!("there is nothing at {path}")).into_response()
}

fn page(name: &str) -> Response {
    let is_page = name.ends_with(".html") || name.ends_with(".js") || name.ends_with(".css");
    match PAGES.get_file(name).filter(|_| is_page) {
        Some(file) => built_in(file.contents(), name),
        None => not_found(name),
    }
}

fn built_in(contents: impl Into<Body>, name: &str) -> Response {
    let extension = Path::new(name).extension();
    let kind = match extension.and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/json",
    };
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")];
    (Extension(BuiltIn), headers, contents.into()).into_response()
}

async fn serve_directory(directory: &Path, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let Ok(mut response) = site::serve(directory, request).await else {
        return not_found(&path);
    };
    match response.status() {
        StatusCode::NOT_FOUND => not_found(&path),
        StatusCode::METHOD_NOT_ALLOWED => ([(ALLOW, "GET,HEAD")], wrong_method()).into_response(),
        _ => {
            let fresh = HeaderValue::from_static("no-cache");
            response.headers_mut().insert(CACHE_CONTROL, fresh);
            response
        }
    }
}
