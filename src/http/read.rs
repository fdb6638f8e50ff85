//! The answers of the API that only read.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use serde::Serialize;
use serde_json::json;

use super::answer::NO_STORE;
use super::app::App;
use super::path::PathPart;
use crate::access;
use crate::hub::TopicEntry;
use crate::state::json::Json as ExactJson;
use crate::state::name::TopicName;
use crate::state::revision::Revision;
use crate::state::topic::Writer;
use crate::wire::Problem;
use crate::wire::frame::Encoding;

type Shared = State<Arc<App>>;
type Name = PathPart<String>;

pub async fn status(State(app): Shared) -> impl IntoResponse {
    ([NO_STORE], Json(app.status()))
}

pub async fn topics(State(app): Shared) -> impl IntoResponse {
    ([NO_STORE], Json(app.topics()))
}

pub async fn viewers(State(app): Shared) -> impl IntoResponse {
    ([NO_STORE], Json(app.viewers.list().await))
}

/// A topic by the name in the path.
/// Fails with 400 for a name that cannot be a topic's, 404 for an unknown topic.
pub fn find(app: &App, name: &str) -> Result<Arc<TopicEntry>, Problem> {
    let name = name.parse()?;
    let entry = app.hub.topic(&name);
    entry.ok_or_else(|| app.absent(no_session(&name)))
}

/// 404: nothing was written there.
pub fn no_session(name: &TopicName) -> Problem {
    Problem::not_found(format!("there is no session at {:?} yet", name.as_str()))
}

pub async fn topic(
    State(app): Shared,
    PathPart(name): Name,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    app.hub.show(&name.parse()?, false).await;
    let entry = find(&app, &name)?;
    let absent = || app.absent(no_session(entry.name()));
    let (revision, _) = entry.session().ok_or_else(absent)?;
    let tag = format!("\"{revision}\"");
    let known = access::list(&headers, IF_NONE_MATCH);
    let same = |known: &String| known == "*" || known.trim_start_matches("W/") == tag;
    if known.iter().any(same) {
        // Nothing is encoded for those who have it already.
        return Ok((StatusCode::NOT_MODIFIED, [NO_STORE], [(ETAG, tag)]).into_response());
    }
    session(&entry).await
}

/// `{"revision", "data"}` of a topic, from the bytes that viewers share.
/// Fails with 404 while there is no session.
async fn session(entry: &Arc<TopicEntry>) -> Result<Response, Problem> {
    let catchup = entry.since(None);
    let (Some(frame), Some(revision)) = (catchup.frame, catchup.revision) else {
        return Err(no_session(entry.name()));
    };
    if !frame.is_encoded(Encoding::default()) && frame.is_large() {
        let frame = frame.clone();
        let encode = move || drop(frame.bytes(Encoding::default()).clone());
        // This fails only if the daemon is ending; then the last line does the work.
        let _ = tokio::task::spawn_blocking(encode).await;
    }
    Ok(answer(StatusCode::OK, revision, true, frame.session()))
}

/// `{"revision", "data"}`, and also `"kept"` for a change that stands without being kept.
pub fn answer(status: StatusCode, revision: Revision, kept: bool, session: Bytes) -> Response {
    let unkept = if kept { "" } else { r#""kept":false,"# };
    let parts = [
        Bytes::from(format!(r#"{{"revision":"{revision}",{unkept}"data":"#)),
        session,
        Bytes::from_static(b"}"),
    ];
    let body = Body::from_stream(stream::iter(parts.map(Ok::<_, Infallible>)));
    let kind = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let tag = [(ETAG, format!("\"{revision}\""))];
    (status, [NO_STORE, kind], tag, body).into_response()
}

pub async fn field(
    State(app): Shared,
    PathPart((name, field)): PathPart<(String, String)>,
) -> Result<impl IntoResponse, Problem> {
    let known = find(&app, &name)?.field(&field);
    let missing = || Problem::not_found(format!("the session has no field {field:?}"));
    let (value, origin) = known.ok_or_else(missing)?;
    let answer = FieldAnswer::new(value, origin.revision, &origin.writer, true);
    Ok(([NO_STORE], Json(answer)))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldAnswer {
    value: ExactJson,
    server_revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<bool>,
}

impl FieldAnswer {
    /// A field's value at a revision, the writer who made that revision, and whether it is kept,
    /// which is only worth saying if it is not.
    pub fn new(value: ExactJson, revision: Revision, writer: &Writer, kept: bool) -> FieldAnswer {
        FieldAnswer {
            value,
            server_revision: revision.get(),
            device_id: writer.device_id,
            local_revision: writer.local_revision,
            kept: (!kept).then_some(false),
        }
    }
}

pub async fn changes(
    State(app): Shared,
    PathPart(name): Name,
) -> Result<impl IntoResponse, Problem> {
    let entry = find(&app, &name)?;
    Ok(([NO_STORE], Json(app.hub.latest(&entry))))
}

pub async fn fields(
    State(app): Shared,
    PathPart(name): Name,
) -> Result<impl IntoResponse, Problem> {
    let whitelist = find(&app, &name)?.whitelist();
    let answer = json!({ "fields": whitelist.fields(), "learned": whitelist.is_learned() });
    Ok(([NO_STORE], Json(answer)))
}
