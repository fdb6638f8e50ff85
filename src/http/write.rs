//! The answers to requests that write.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::answer::unavailable;
use super::api::{answer, find, topic_name};
use super::app::App;
use super::incoming::{Host, Incoming, bad_request};
use crate::hub::{Deleted, Receipt, WriteOptions};
use crate::source::host::problem_of;
use crate::state::json::{Json as ExactJson, LARGE};
use crate::state::revision::Revision;
use crate::state::session::Session;
use crate::state::topic::{Change, Writer};
use crate::wire::{self, Problem};

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";

type Answer = Result<Response, Problem>;
type Shared = State<Arc<App>>;
type Name = Path<String>;
/// What a request asks for.
type Asked = Result<(Change, WriteOptions), Problem>;

/// `PUT /api/topics/{topic}`.
pub async fn replace(State(app): Shared, Path(name): Name, request: Incoming) -> Answer {
    let called = name.clone();
    let read = move |request: &Incoming| {
        let (_, document) = request.json(&[JSON])?;
        let session = Session::from_json(&document, &called);
        let session = session.map_err(|error| unprocessable(error.to_string(), "no session"))?;
        Ok((Change::Replace(session), request.host.options(false)?))
    };
    let (receipt, _) = write(&app, &name, request, read).await?;
    whole(receipt).await
}

/// `PATCH /api/topics/{topic}`.
pub async fn change(State(app): Shared, Path(name): Name, request: Incoming) -> Answer {
    let read = |request: &Incoming| {
        let (kind, document) = request.json(&[MERGE_PATCH, JSON, JSON_PATCH])?;
        let change = match kind {
            JSON_PATCH => wire::patch(&document).map(Change::Patch),
            _ => Ok(Change::Merge(document)),
        };
        let change = change.map_err(|error| bad_request(error.to_string(), "no JSON Patch"))?;
        Ok((change, request.host.options(true)?))
    };
    let (receipt, _) = write(&app, &name, request, read).await?;
    whole(receipt).await
}

/// `PATCH /api/topics/{topic}/config`.
pub async fn config(State(app): Shared, Path(name): Name, request: Incoming) -> Answer {
    let read = |request: &Incoming| {
        let fields = request.members(&[MERGE_PATCH, JSON])?;
        Ok((Change::Fields(fields), request.host.options(true)?))
    };
    let (receipt, _) = write(&app, &name, request, read).await?;
    whole(receipt).await
}

/// `PUT /api/topics/{topic}/config/{field}`.
pub async fn field(
    State(app): Shared,
    Path((name, field)): Path<(String, String)>,
    request: Incoming,
) -> Answer {
    let named = field.clone();
    let read = move |request: &Incoming| field_asked(request, named);
    let (receipt, writer) = write(&app, &name, request, read).await?;
    let value = receipt.session.config.get(&field).cloned();
    let value = value.unwrap_or_else(ExactJson::null);
    let answer = FieldAnswer {
        kept: (!receipt.kept).then_some(false),
        ..FieldAnswer::new(value, receipt.touched, &writer)
    };
    Ok(Json(answer).into_response())
}

fn field_asked(request: &Incoming, field: String) -> Asked {
    let members = request.members(&[JSON])?;
    let get = |key: &str| {
        members
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value)
    };
    let missing = || {
        let detail = "\"value\" is missing in the body";
        unprocessable(detail, detail)
    };
    let value = get("value").ok_or_else(missing)?.clone();
    let number = |key: &str| {
        let number = get(key).map(|value| wire::device_number(key, value));
        number.transpose().map_err(|error| problem_of(&error))
    };
    let mut options = request.host.options(true)?;
    let named = &options.writer;
    options.writer = Arc::new(Writer {
        source_id: named.source_id.clone(),
        device_id: number("deviceId")?.or(named.device_id),
        local_revision: number("localRevision")?.or(named.local_revision),
    });
    Ok((Change::Fields(vec![(field, value)]), options))
}

/// One field, and who wrote it.
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
    /// A field's value, of a revision made by a writer.
    pub fn new(value: ExactJson, revision: Revision, writer: &Writer) -> FieldAnswer {
        FieldAnswer {
            value,
            server_revision: revision.get(),
            device_id: writer.device_id,
            local_revision: writer.local_revision,
            kept: None,
        }
    }
}

/// `DELETE /api/topics/{topic}`.
pub async fn delete(State(app): Shared, Path(name): Name, host: Host) -> Answer {
    let (name, expected) = (topic_name(&name)?, host.if_match()?);
    let deleted = app.hub.delete(&name, expected, host.address).await;
    match deleted.map_err(|error| error.problem())? {
        Deleted::Gone => Ok(StatusCode::NO_CONTENT.into_response()),
        Deleted::Unkept => Ok(Json(json!({ "kept": false })).into_response()),
        Deleted::Nothing => Err(Problem::new(
            404,
            "Not Found",
            format!("there is no session at {:?}", name.as_str()),
        )),
    }
}

/// `POST /api/topics/{topic}/broadcast`.
pub async fn broadcast(State(app): Shared, Path(name): Name, request: Incoming) -> Answer {
    let entry = find(&app, &name)?;
    let text = String::from_utf8(request.body?.into());
    let not_text = |_| {
        let detail = "the body is not UTF-8: viewers receive it as a text message";
        bad_request(detail, detail)
    };
    let text = text.map_err(not_text)?;
    let delivered = app.hub.broadcast(&entry, text).await.delivered().await;
    let mut answer = json!({ "viewers": delivered.viewers });
    if delivered.passed_over > 0 {
        answer["passedOver"] = delivered.passed_over.into();
    }
    Ok(Json(answer).into_response())
}

/// `POST /api/topics/{topic}/resend`.
pub async fn resend(State(app): Shared, Path(name): Name, _host: Host) -> Answer {
    let viewers = app.hub.resend_all(&find(&app, &name)?);
    Ok(Json(json!({ "viewers": viewers })).into_response())
}

/// `DELETE /api/viewers/{id}`.
pub async fn disconnect(State(app): Shared, Path(id): Path<u64>, _host: Host) -> Answer {
    match app.viewers.disconnect(id).await {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Problem::new(
            404,
            "Not Found",
            format!("there is no viewer {id}"),
        )),
    }
}

/// The answer that holds the whole session.
async fn whole(receipt: Receipt) -> Answer {
    let status = match receipt.created {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    let session = receipt.session;
    let text = off_thread(session.text_len(), move || session.to_json()).await?;
    let (revision, kept) = (receipt.revision, receipt.kept);
    Ok(answer(status, revision, kept, text.into()))
}

/// Reads a request and does what it asks for. Tells who the writer was, too. A refusal is
/// announced, wherever it comes from.
async fn write(
    app: &App,
    name: &str,
    request: Incoming,
    read: impl FnOnce(&Incoming) -> Asked + Send + 'static,
) -> Result<(Receipt, Arc<Writer>), Problem> {
    let name = topic_name(name)?;
    let size = request.body.as_ref().map_or(0, Bytes::len);
    let (change, options) = match off_thread(size, move || read(&request)).await? {
        Ok(asked) => asked,
        Err(refused) => {
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

/// Does what takes long for a text of this size on a thread that nobody waits for.
async fn off_thread<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    if size <= LARGE {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    // Ends early only with the daemon.
    done.map_err(|_| unavailable("the daemon is stopping"))
}

/// 422, and the cause for the log.
fn unprocessable(detail: impl Into<String>, cause: &'static str) -> Problem {
    Problem::new(422, "Unprocessable Content", detail).because(cause)
}
