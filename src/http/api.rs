//! The routes, and the answers that only read.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, patch, post, put};
use axum::{Extension, Json};
use bytes::Bytes;
use futures_util::stream;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use hyper::{Method, StatusCode};
use serde_json::json;
use tower_http::compression::CompressionLayer;

use super::app::{App, Status, TopicStatus};
use super::write::{self, FieldAnswer};
use super::{operations, pages, upgrade};
use crate::access::{self, Pass};
use crate::hub::TopicEntry;
use crate::state::name::{NameError, TopicName};
use crate::state::revision::Revision;
use crate::viewer::ViewerInfo;
use crate::viewer::sync::Feed;
use crate::wire::frame::Encoding;
use crate::wire::{Invalidation, Problem};

/// State is nothing to keep.
const NO_STORE: (hyper::header::HeaderName, HeaderValue) =
    (CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// Every path but the sockets'.
pub fn router() -> Router<Arc<App>> {
    // Pages are worth compressing; state is compressed where it is shared, on the sockets.
    let pages = Router::new()
        .route("/", get(pages::index))
        .route("/host", get(pages::host))
        .route("/onlooker.js", get(pages::client))
        .route("/openapi.json", get(pages::openapi))
        .route("/asyncapi.json", get(pages::asyncapi))
        .route("/assets/{name}", get(pages::asset))
        .fallback(pages::other)
        .layer(CompressionLayer::new());
    Router::new()
        .route("/qr.svg", get(operations::qr_svg))
        .route("/qr.png", get(operations::qr_png))
        .route("/healthz", get(operations::healthz))
        .route("/readyz", get(operations::readyz))
        .route("/metrics", get(operations::metrics))
        .route("/sync", get(events))
        .route("/api/status", get(status))
        .route("/api/topics", get(topics))
        .route(
            "/api/topics/{topic}",
            get(topic)
                .put(write::replace)
                .patch(write::change)
                .delete(write::delete),
        )
        .route("/api/topics/{topic}/config", patch(write::config))
        .route(
            "/api/topics/{topic}/config/{field}",
            get(field).merge(put(write::field)),
        )
        .route("/api/topics/{topic}/fields", get(fields))
        .route("/api/topics/{topic}/broadcast", post(write::broadcast))
        .route("/api/topics/{topic}/resend", post(write::resend))
        .route("/api/viewers", get(viewers))
        .route("/api/viewers/{id}", delete(write::disconnect))
        .route("/api/{*path}", any(unknown))
        .merge(pages)
}

async fn unknown(request: Request) -> Problem {
    Problem::new(
        404,
        "Not Found",
        format!("there is nothing at {}", request.uri().path()),
    )
}

async fn status(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([NO_STORE], Json::<Status>(app.status()))
}

async fn topics(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([NO_STORE], Json::<Vec<TopicStatus>>(app.topics()))
}

/// A topic by the name in the path.
///
/// # Errors
/// 400 for a name that cannot be one, 404 for an unknown one.
pub fn find(app: &App, name: &str) -> Result<Arc<TopicEntry>, Problem> {
    let name = topic_name(name)?;
    app.hub.topic(&name).ok_or_else(|| no_topic(&name))
}

/// The name in the path, checked.
///
/// # Errors
/// 400 for a name that cannot be a topic's.
pub fn topic_name(name: &str) -> Result<TopicName, Problem> {
    name.parse().map_err(no_name)
}

/// 400: what was named cannot be a topic.
pub fn no_name(error: NameError) -> Problem {
    Problem::new(400, "Bad Request", error.to_string()).because("no topic's name")
}

fn no_topic(name: &TopicName) -> Problem {
    Problem::new(
        404,
        "Not Found",
        format!("there is no session at {:?} yet", name.as_str()),
    )
}

async fn topic(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let entry = find(&app, &name)?;
    let (revision, _) = entry.session().ok_or_else(|| no_topic(entry.name()))?;
    let tag = format!("\"{revision}\"");
    let known = access::list(&headers, IF_NONE_MATCH);
    let same = |known: &String| known == "*" || known.trim_start_matches("W/") == tag;
    if known.iter().any(same) {
        // Nothing is encoded for who has it already.
        return Ok((StatusCode::NOT_MODIFIED, [NO_STORE], [(ETAG, tag)]).into_response());
    }
    session(&entry).await
}

/// `{"revision", "data"}` of a topic, from the bytes that viewers share.
///
/// # Errors
/// 404 while there is no session.
async fn session(entry: &Arc<TopicEntry>) -> Result<Response, Problem> {
    let catchup = entry.since(None);
    let (Some(frame), Some(revision)) = (catchup.frame, catchup.revision) else {
        return Err(no_topic(entry.name()));
    };
    if !frame.is_encoded(Encoding::default()) && frame.is_large() {
        let frame = frame.clone();
        // Fails only when the daemon ends; then the line below does the work.
        let _ = tokio::task::spawn_blocking(move || drop(frame.bytes(Encoding::default()).clone()))
            .await;
    }
    Ok(answer(StatusCode::OK, revision, true, frame.session()))
}

/// `{"revision", "data"}`; of a change that stands without being kept, it says that too.
pub fn answer(status: StatusCode, revision: Revision, kept: bool, session: Bytes) -> Response {
    let unkept = if kept { "" } else { r#""kept":false,"# };
    let parts = [
        Bytes::from(format!(r#"{{"revision":"{revision}",{unkept}"data":"#)),
        session,
        Bytes::from_static(b"}"),
    ];
    let body = Body::from_stream(stream::iter(parts.map(Ok::<_, Infallible>)));
    let kind = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut response = (status, [NO_STORE, kind], body).into_response();
    let tag = HeaderValue::from_str(&format!("\"{revision}\"")).ok();
    response.headers_mut().extend(tag.map(|tag| (ETAG, tag)));
    response
}

async fn field(
    State(app): State<Arc<App>>,
    Path((name, field)): Path<(String, String)>,
) -> Result<impl IntoResponse, Problem> {
    let known = find(&app, &name)?.field(&field);
    let missing = || {
        Problem::new(
            404,
            "Not Found",
            format!("the session has no field {field:?}"),
        )
    };
    let (value, origin) = known.ok_or_else(missing)?;
    let answer = FieldAnswer::new(value, origin.revision, &origin.writer);
    Ok(([NO_STORE], Json(answer)))
}

async fn fields(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let whitelist = find(&app, &name)?.whitelist();
    Ok((
        [NO_STORE],
        Json(json!({ "fields": whitelist.fields(), "learned": whitelist.is_learned() })),
    ))
}

async fn viewers(State(app): State<Arc<App>>) -> impl IntoResponse {
    (
        [NO_STORE],
        Json::<Vec<ViewerInfo>>(app.viewers.list().await),
    )
}

/// `GET /sync` without an upgrade: Server-Sent Events. A reader that comes back is told
/// where every topic is, so `Last-Event-ID` has nothing to add.
async fn events(
    State(app): State<Arc<App>>,
    Extension(pass): Extension<Pass>,
    Extension(address): Extension<IpAddr>,
    request: Request,
) -> Result<Response, Problem> {
    let Some(pass) = &pass.viewer else {
        return Err(Problem::new(401, "Unauthorized", "watching needs a token"));
    };
    if request.method() != Method::GET {
        return Err(Problem::new(
            405,
            "Method Not Allowed",
            "events are read with GET",
        ));
    }
    let only = upgrade::topics(request.uri().query())?;
    let feed = Feed::new(&app.hub, only, pass).ok_or_else(|| upgrade::full(&app))?;
    let events = stream::unfold(
        (feed, app.stop.clone()),
        move |(mut feed, stop)| async move {
            let event = stop.run_until_cancelled(feed.next_for(address)).await??;
            Some((Ok::<_, Infallible>(sse(&event)), (feed, stop)))
        },
    );
    let alive = KeepAlive::new()
        .interval(app.hub.flow().ping.max(Duration::from_millis(1)))
        .text("ping");
    Ok(([NO_STORE], Sse::new(events).keep_alive(alive)).into_response())
}

fn sse(event: &Invalidation) -> Event {
    Event::default()
        .event("invalidation")
        .id(format!("{}@{}", event.topic, event.revision))
        .data(event.text())
}
