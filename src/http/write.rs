//! The answers of the API to requests that write.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use hyper::StatusCode;
use serde_json::json;

use super::app::App;
use super::path::PathPart;
use super::read::{FieldAnswer, answer, find};
use super::write_request::WriteRequest;
use crate::access::HostPass;
use crate::hub::{Deleted, Receipt, WriteOptions};
use crate::source::host::problem_of;
use crate::state::json::{Json as ExactJson, LARGE};
use crate::state::name::TopicName;
use crate::state::session::{Session, ShapeError};
use crate::state::topic::{Change, Writer};
use crate::wire::{self, MessageError, Problem};

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";

type Answer = Result<Response, Problem>;
type Shared = State<Arc<App>>;
type Name = PathPart<String>;
/// The change that a request asks for.
type Asked = Result<(Change, WriteOptions), Problem>;

pub async fn replace(State(app): Shared, PathPart(name): Name, request: WriteRequest) -> Answer {
    let called = name.clone();
    let read = move |request: &WriteRequest| {
        let (_, document) = request.json(&[JSON])?;
        let session = Session::from_json(&document, &called);
        let refused = |error: ShapeError| Problem::unprocessable(error.to_string());
        let session = session.map_err(|error| refused(error).because("not a session"))?;
        Ok((Change::Replace(session), request.options(false)?))
    };
    whole(&app, &name, request, read).await
}

pub async fn change(State(app): Shared, PathPart(name): Name, request: WriteRequest) -> Answer {
    let read = |request: &WriteRequest| {
        let (kind, document) = request.json(&[MERGE_PATCH, JSON, JSON_PATCH])?;
        let change = match kind {
            JSON_PATCH => wire::patch(&document).map(Change::Patch),
            _ => Ok(Change::Merge(document)),
        };
        let refused = |error: MessageError| Problem::bad_request(error.to_string());
        let change = change.map_err(|error| refused(error).because("not a JSON Patch"))?;
        Ok((change, request.options(true)?))
    };
    whole(&app, &name, request, read).await
}

pub async fn config(State(app): Shared, PathPart(name): Name, request: WriteRequest) -> Answer {
    let read = |request: &WriteRequest| {
        let fields = request.members(&[MERGE_PATCH, JSON])?;
        Ok((Change::Fields(fields), request.options(true)?))
    };
    whole(&app, &name, request, read).await
}

pub async fn field(
    State(app): Shared,
    PathPart((name, field)): PathPart<(String, String)>,
    request: WriteRequest,
) -> Answer {
    let named = field.clone();
    let read = move |request: &WriteRequest| field_asked(request, named);
    let (receipt, writer) = write(&app, &name, request, read).await?;
    let value = receipt.session.config.get(&field).cloned();
    let value = value.unwrap_or_else(ExactJson::null);
    let answer = FieldAnswer::new(value, receipt.touched, &writer, receipt.kept);
    Ok(Json(answer).into_response())
}

fn field_asked(request: &WriteRequest, field: String) -> Asked {
    const MISSING: &str = "\"value\" is missing in the body";
    let members = request.members(&[JSON])?;
    let get = |key: &str| wire::member(&members, key);
    let value = get("value").cloned();
    let value = value.ok_or_else(|| Problem::unprocessable(MISSING).because(MISSING))?;
    let number = |key: &str| {
        let number = get(key).map(|value| wire::device_number(key, value));
        number.transpose().map_err(|error| problem_of(&error))
    };
    let mut options = request.options(true)?;
    let named = &options.writer;
    options.writer = Arc::new(Writer {
        source_id: named.source_id.clone(),
        device_id: number("deviceId")?.or(named.device_id),
        local_revision: number("localRevision")?.or(named.local_revision),
    });
    Ok((Change::Fields(vec![(field, value)]), options))
}

pub async fn delete(State(app): Shared, PathPart(name): Name, request: WriteRequest) -> Answer {
    let (name, expected) = (name.parse::<TopicName>()?, request.if_match()?);
    let deleted = app.hub.delete(&name, expected, Some(request.ip)).await;
    match deleted.map_err(|error| error.problem())? {
        Deleted::Gone => Ok(StatusCode::NO_CONTENT.into_response()),
        Deleted::Unkept => Ok(Json(json!({ "kept": false })).into_response()),
        Deleted::Nothing => {
            let detail = format!("there is no session at {:?}", name.as_str());
            Err(Problem::not_found(detail))
        }
    }
}

const NOT_TEXT: &str = "the body is not UTF-8: viewers receive it as a text message";

pub async fn broadcast(State(app): Shared, PathPart(name): Name, request: WriteRequest) -> Answer {
    let entry = find(&app, &name)?;
    let text = String::from_utf8(request.body?.into());
    let text = text.map_err(|_| Problem::bad_request(NOT_TEXT).because(NOT_TEXT))?;
    let delivered = app.hub.broadcast(&entry, text).await.delivered().await;
    let mut answer = json!({ "viewers": delivered.viewers });
    if delivered.passed_over > 0 {
        answer["passedOver"] = delivered.passed_over.into();
    }
    Ok(Json(answer).into_response())
}

pub async fn resend(State(app): Shared, PathPart(name): Name, _: Extension<HostPass>) -> Answer {
    let viewers = app.hub.resend_all(&find(&app, &name)?);
    Ok(Json(json!({ "viewers": viewers })).into_response())
}

/// Writes what a request asks for, and answers with the whole session.
async fn whole(
    app: &App,
    name: &str,
    request: WriteRequest,
    read: impl FnOnce(&WriteRequest) -> Asked + Send + 'static,
) -> Answer {
    let (receipt, _) = write(app, name, request, read).await?;
    let status = match receipt.created {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    let session = receipt.session;
    let text = off_thread(session.text_len(), move || session.to_json()).await?;
    let (revision, kept) = (receipt.revision, receipt.kept);
    Ok(answer(status, revision, kept, text.into()))
}

/// Reads a request and writes what it asks for; also returns who the writer was. A refusal is
/// announced, wherever it comes from.
async fn write(
    app: &App,
    name: &str,
    request: WriteRequest,
    read: impl FnOnce(&WriteRequest) -> Asked + Send + 'static,
) -> Result<(Receipt, Arc<Writer>), Problem> {
    let name = name.parse()?;
    let size = request.body.as_ref().map_or(0, Bytes::len);
    let read = move || {
        let asked = read(&request);
        let author = asked.is_err().then(|| request.author());
        (asked, author)
    };
    let (change, options) = match off_thread(size, read).await? {
        (Ok(asked), _) => asked,
        (Err(refused), author) => {
            let author = author.unwrap_or_default();
            app.hub.refused(&name, &author, refused.told());
            if refused.is_refusal() {
                app.hub.announce(&name).await;
            }
            return Err(refused);
        }
    };
    let writer = options.writer.clone();
    let written = app.hub.write(&name, change, options).await;
    let receipt = written.map_err(|error| error.problem())?;
    Ok((receipt, writer))
}

/// Does the work that a text of `size` bytes causes; on a blocking thread if that takes long.
async fn off_thread<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    if size <= LARGE {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    // The work is given up only when the daemon ends.
    done.map_err(|_| Problem::unavailable("the daemon is stopping"))
}
