//! What people see: the built-in pages, or the host's own site.

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{self, Request, State};
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use include_dir::{Dir, include_dir};

use super::answer::BUILT_IN;
use super::app::App;
use super::options::Page;
use super::site;
use crate::wire::Problem;

static PAGES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/client/pages");

/// `GET /`.
pub async fn index(State(app): State<Arc<App>>, request: Request) -> Response {
    match &app.page {
        Page::Viewer => page("viewer.html"),
        Page::Demo => page("demo.html"),
        Page::Directory(directory) => serve_directory(directory, request).await,
    }
}

/// `GET /host`.
pub async fn host() -> Response {
    page("host.html")
}

/// `GET /onlooker.js`.
pub async fn client() -> Response {
    let script = include_str!("../../client/onlooker.js");
    built_in(script.as_bytes(), "onlooker.js")
}

/// `GET /openapi.json`: the HTTP face, for programs.
pub async fn openapi() -> Response {
    let text = include_str!("../../docs/openapi.json");
    built_in(text.as_bytes(), "openapi.json")
}

/// `GET /asyncapi.json`: the sockets, for programs.
pub async fn asyncapi() -> Response {
    let text = include_str!("../../docs/asyncapi.json");
    built_in(text.as_bytes(), "asyncapi.json")
}

/// `GET /assets/NAME`.
pub async fn asset(extract::Path(name): extract::Path<String>) -> Response {
    page(&name)
}

/// Everything else: a file of the host's own site, if there is one.
pub async fn other(State(app): State<Arc<App>>, request: Request) -> Response {
    match &app.page {
        Page::Directory(directory) => serve_directory(directory, request).await,
        _ => not_found(request.uri().path()),
    }
}

fn not_found(path: &str) -> Response {
    Problem::new(404, "Not Found", format!("there is nothing at {path}")).into_response()
}

fn page(name: &str) -> Response {
    let is_page = name.ends_with(".html") || name.ends_with(".js") || name.ends_with(".css");
    match PAGES.get_file(name).filter(|_| is_page) {
        Some(file) => built_in(file.contents(), name),
        None => not_found(name),
    }
}

fn built_in(contents: &'static [u8], name: &str) -> Response {
    let kind = match Path::new(name)
        .extension()
        .and_then(|extension| extension.to_str())
    {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/json",
    };
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-cache"),
        (BUILT_IN, "1"),
    ];
    (headers, Body::from(contents)).into_response()
}

async fn serve_directory(directory: &Path, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    match site::serve(directory, request).await {
        Ok(mut response) if response.status() != StatusCode::NOT_FOUND => {
            let fresh = HeaderValue::from_static("no-cache");
            response.headers_mut().insert(CACHE_CONTROL, fresh);
            response
        }
        _ => not_found(&path),
    }
}
