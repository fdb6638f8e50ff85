//! The answers to requests that write.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::api::{answer, find, topic_name};
use super::app::App;
use super::incoming::{Host, Incoming, bad_request};
use crate::host::problem_of;
use crate::hub::{Receipt, WriteOptions};
use crate::json::Json as ExactJson;
use crate::protocol::{self, Problem};
use crate::revision::Revision;
use crate::session::Session;
use crate::topic::{Change, Writer};

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";

type Answer = Result<Response, Problem>;
type Shared = State<Arc<App>>;
type Name = Path<String>;

/// `PUT /api/topics/{topic}`.
pub async fn replace(State(app): Shared, Path(name): Name, request: Incoming) -> Answer {
    let (_, document) = request.json(&[JSON])?;
    let session = Session::from_json(&document, &name);
    let session = session.map_err(|error| unprocessable(error.to_string()))?;
    let options = request.host.options(false)?;
    apply(&app, &name, Change::Replace(session), options).await
}

/// `PATCH /api/topics/{topic}`.
pub async fn change(State(app): Shared, Path(name): Name, request: Incoming) -> Answer {
    let (kind, document) = request.json(&[MERGE_PATCH, JSON, JSON_PATCH])?;
    let change = match kind {
        JSON_PATCH => protocol::patch(&document).map(Change::Patch),
        _ => Ok(Change::Merge(document)),
    };
    let change = change.map_err(|error| bad_request(error.to_string()))?;
    apply(&app, &name, change, request.host.options(true)?).await
}

/// `PATCH /api/topics/{topic}/config`.
pub async fn config(State(app): Shared, Path(name): Name, request: Incoming) -> Answer {
    let fields = request.members(&[MERGE_PATCH, JSON])?;
    let options = request.host.options(true)?;
    apply(&app, &name, Change::Fields(fields), options).await
}

/// `PUT /api/topics/{topic}/config/{field}`.
pub async fn field(
    State(app): Shared,
    Path((name, field)): Path<(String, String)>,
    request: Incoming,
) -> Answer {
    let members = request.members(&[JSON])?;
    let get = |key: &str| {
        members
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value)
    };
    let missing = || unprocessable("\"value\" is missing in the body");
    let value = get("value").ok_or_else(missing)?.clone();
    let number = |key: &str| {
        let number = get(key).map(|value| protocol::device_number(key, value));
        number.transpose().map_err(|error| problem_of(&error))
    };
    let mut options = request.host.options(true)?;
    let writer = &mut options.writer;
    writer.device_id = number("deviceId")?.or(writer.device_id);
    writer.local_revision = number("localRevision")?.or(writer.local_revision);
    let writer = writer.clone();
    let change = Change::Fields(vec![(field.clone(), value.clone())]);
    let receipt = write(&app, &name, change, options).await?;
    let revision = match receipt.changed {
        true => receipt.revision,
        false => field_revision(&app, &name, &field)?,
    };
    Ok(Json(FieldAnswer::new(value, revision, writer)).into_response())
}

fn field_revision(app: &App, name: &str, field: &str) -> Result<Revision, Problem> {
    let cell = find(app, name)?;
    let known = cell.field(field).map(|(_, origin)| origin.revision);
    Ok(known.unwrap_or_else(|| cell.revision()))
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
}

impl FieldAnswer {
    /// A field's value, of a revision made by a writer.
    pub fn new(value: ExactJson, revision: Revision, writer: Writer) -> FieldAnswer {
        FieldAnswer {
            value,
            server_revision: revision.get(),
            device_id: writer.device_id,
            local_revision: writer.local_revision,
        }
    }
}

/// `DELETE /api/topics/{topic}`.
pub async fn delete(State(app): Shared, Path(name): Name, host: Host) -> Answer {
    let deleted = app.hub.delete(&topic_name(&name)?, host.if_match()?).await;
    match deleted.map_err(|error| error.problem())? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Problem::new(
            404,
            "Not Found",
            format!("there is no session at {name:?}"),
        )),
    }
}

/// `POST /api/topics/{topic}/broadcast`.
pub async fn broadcast(State(app): Shared, Path(name): Name, request: Incoming) -> Answer {
    let cell = find(&app, &name)?;
    let text = String::from_utf8(request.body.into());
    let not_text = |_| bad_request("the body is not UTF-8: viewers receive it as a text message");
    let viewers = app.hub.broadcast(&cell, text.map_err(not_text)?);
    Ok(Json(json!({ "viewers": viewers })).into_response())
}

/// `POST /api/topics/{topic}/resend`.
pub async fn resend(State(app): Shared, Path(name): Name, _host: Host) -> Answer {
    let viewers = app.hub.send_again(&find(&app, &name)?);
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

async fn apply(app: &App, name: &str, change: Change, options: WriteOptions) -> Answer {
    let receipt = write(app, name, change, options).await?;
    let status = match receipt.created {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    let body = Bytes::from(receipt.session.to_json());
    Ok(answer(status, receipt.revision, body))
}

async fn write(
    app: &App,
    name: &str,
    change: Change,
    options: WriteOptions,
) -> Result<Receipt, Problem> {
    let written = app.hub.write(&topic_name(name)?, change, options).await;
    written.map_err(|error| error.problem())
}

fn unprocessable(detail: impl Into<String>) -> Problem {
    Problem::new(422, "Unprocessable Content", detail)
}
