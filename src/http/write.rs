//! The answers to requests that write.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap, IF_MATCH};
use serde_json::{Map, Value, json};

use super::api::{answer, find, topic_name};
use super::app::App;
use crate::access::{HostPass, Pass};
use crate::host::problem_of;
use crate::hub::{Receipt, WriteOptions};
use crate::json::Json as ExactJson;
use crate::protocol::{self, MessageError, Problem};
use crate::revision::Revision;
use crate::session::Session;
use crate::topic::{Change, Writer};

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

type Answer = Result<Response, Problem>;
type Shared = State<Arc<App>>;

/// The pass that the gate gave.
///
/// # Errors
/// 401 without one.
pub fn host_pass(pass: &Pass) -> Result<HostPass, Problem> {
    pass.host
        .clone()
        .ok_or_else(|| Problem::new(401, "Unauthorized", "writing needs the host token"))
}

/// `PUT /api/topics/{topic}`.
pub async fn replace(
    State(app): Shared,
    Extension(pass): Extension<Pass>,
    Path(name): Path<String>,
    request: Request,
) -> Answer {
    let (headers, body) = read(&app, request).await?;
    media_type(&headers, &["application/json"])?;
    let document = parse(&body)?;
    let new =
        Session::from_json(&document, &name).map_err(|error| unprocessable(error.to_string()))?;
    apply(&app, &pass, &name, Change::Replace(new), options(&headers)?).await
}

/// `PATCH /api/topics/{topic}`.
pub async fn change(
    State(app): Shared,
    Extension(pass): Extension<Pass>,
    Path(name): Path<String>,
    request: Request,
) -> Answer {
    const JSON_PATCH: &str = "application/json-patch+json";
    let (headers, body) = read(&app, request).await?;
    let kind = media_type(
        &headers,
        &[
            "application/merge-patch+json",
            "application/json",
            JSON_PATCH,
        ],
    )?;
    let document = parse(&body)?;
    let change = if kind == JSON_PATCH {
        Change::Patch(protocol::patch(&document).map_err(|error| bad_request(error.to_string()))?)
    } else {
        Change::Merge(document)
    };
    apply(
        &app,
        &pass,
        &name,
        change,
        WriteOptions {
            existing: true,
            ..options(&headers)?
        },
    )
    .await
}

/// `PATCH /api/topics/{topic}/config`.
pub async fn config(
    State(app): Shared,
    Extension(pass): Extension<Pass>,
    Path(name): Path<String>,
    request: Request,
) -> Answer {
    let (headers, body) = read(&app, request).await?;
    media_type(
        &headers,
        &["application/merge-patch+json", "application/json"],
    )?;
    let fields =
        protocol::fields(&parse(&body)?, "the body").map_err(|error| problem_of(&error))?;
    apply(
        &app,
        &pass,
        &name,
        Change::Fields(fields),
        WriteOptions {
            existing: true,
            ..options(&headers)?
        },
    )
    .await
}

/// `PUT /api/topics/{topic}/config/{field}`.
pub async fn field(
    State(app): Shared,
    Extension(pass): Extension<Pass>,
    Path((name, field)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let (headers, body) = read(&app, request).await?;
    media_type(&headers, &["application/json"])?;
    let members =
        protocol::fields(&parse(&body)?, "the body").map_err(|error| problem_of(&error))?;
    let get = |key: &str| {
        members
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.clone())
    };
    let value = get("value").ok_or_else(|| unprocessable("\"value\" is missing in the body"))?;
    let mut options = WriteOptions {
        existing: true,
        ..options(&headers)?
    };
    let number = |key: &str| {
        get(key)
            .map(|value| protocol::device_number(key, &value))
            .transpose()
            .map_err(|error| problem_of(&error))
    };
    options.writer.device_id = number("deviceId")?.or(options.writer.device_id);
    options.writer.local_revision = number("localRevision")?.or(options.writer.local_revision);
    let writer = options.writer.clone();
    let receipt = write(
        &app,
        &pass,
        &name,
        Change::Fields(vec![(field.clone(), value.clone())]),
        options,
    )
    .await?;
    let revision = if receipt.changed {
        receipt.revision
    } else {
        field_revision(&app, &name, &field)?
    };
    Ok(Json(field_answer(&value, revision, &writer)).into_response())
}

fn field_revision(app: &App, name: &str, field: &str) -> Result<Revision, Problem> {
    let cell = find(app, name)?;
    Ok(cell
        .field(field)
        .map_or_else(|| cell.revision(), |(_, origin)| origin.revision))
}

/// `{"value", "serverRevision", "deviceId"?, "localRevision"?}`.
pub fn field_answer(value: &ExactJson, revision: Revision, writer: &Writer) -> Value {
    let mut answer = Map::new();
    answer.insert("value".to_owned(), value.value());
    answer.insert("serverRevision".to_owned(), revision.get().into());
    let named = [
        ("deviceId", writer.device_id),
        ("localRevision", writer.local_revision),
    ];
    answer.extend(
        named
            .into_iter()
            .filter_map(|(key, number)| Some((key.to_owned(), number?.into()))),
    );
    Value::Object(answer)
}

/// `DELETE /api/topics/{topic}`.
pub async fn delete(
    State(app): Shared,
    Extension(pass): Extension<Pass>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let _pass = host_pass(&pass)?;
    let expected = if_match(&headers)?;
    let deleted = app.hub.delete(&topic_name(&name)?, expected).await;
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
pub async fn broadcast(
    State(app): Shared,
    Extension(pass): Extension<Pass>,
    Path(name): Path<String>,
    request: Request,
) -> Answer {
    let _pass = host_pass(&pass)?;
    let cell = find(&app, &name)?;
    let (_, body) = read(&app, request).await?;
    let text = String::from_utf8(body.into())
        .map_err(|_| bad_request("the body is not UTF-8: viewers receive it as a text message"))?;
    Ok(Json(json!({ "viewers": app.hub.broadcast(&cell, text) })).into_response())
}

/// `POST /api/topics/{topic}/resend`.
pub async fn resend(
    State(app): Shared,
    Extension(pass): Extension<Pass>,
    Path(name): Path<String>,
) -> Answer {
    let _pass = host_pass(&pass)?;
    let cell = find(&app, &name)?;
    Ok(Json(json!({ "viewers": app.hub.send_again(&cell) })).into_response())
}

async fn apply(
    app: &App,
    pass: &Pass,
    name: &str,
    change: Change,
    options: WriteOptions,
) -> Answer {
    let receipt = write(app, pass, name, change, options).await?;
    let status = if receipt.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let body = receipt.session.to_json();
    Ok(answer(status, receipt.revision, Bytes::from(body)))
}

async fn write(
    app: &App,
    pass: &Pass,
    name: &str,
    change: Change,
    options: WriteOptions,
) -> Result<Receipt, Problem> {
    let _pass = host_pass(pass)?;
    app.hub
        .write(&topic_name(name)?, change, options)
        .await
        .map_err(|error| error.problem())
}

/// The whole body, within the limits of size and time.
async fn read(app: &App, request: Request) -> Result<(HeaderMap, Bytes), Problem> {
    let limit = app.hub.limits().session;
    let (parts, body) = request.into_parts();
    let too_large = || {
        Problem::new(
            413,
            "Content Too Large",
            format!("the body is over the limit of {limit} bytes (--max-session)"),
        )
    };
    let announced = parts
        .headers
        .get("content-length")
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let read =
        tokio::time::timeout(BODY_TIMEOUT, Limited::<Body>::new(body, limit).collect()).await;
    match read {
        Ok(Ok(whole)) => Ok((parts.headers, whole.to_bytes())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(bad_request(format!("the body broke off: {error}"))),
        Err(_) => Err(Problem::new(
            408,
            "Request Timeout",
            "the body took too long",
        )),
    }
}

fn parse(body: &[u8]) -> Result<ExactJson, Problem> {
    ExactJson::parse(body).map_err(|error| problem_of(&MessageError::Json(error)))
}

fn media_type<'a>(headers: &HeaderMap, known: &[&'a str]) -> Result<&'a str, Problem> {
    let Some(header) = headers.get(CONTENT_TYPE) else {
        return Ok(known[0]);
    };
    let given = header
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let found = known.iter().find(|name| **name == given).copied();
    found.ok_or_else(|| {
        Problem::new(
            415,
            "Unsupported Media Type",
            format!(
                "expected Content-Type {}, got {given:?}",
                known.join(" or ")
            ),
        )
    })
}

fn options(headers: &HeaderMap) -> Result<WriteOptions, Problem> {
    Ok(WriteOptions {
        writer: writer(headers)?,
        if_match: if_match(headers)?,
        existing: headers.get(IF_MATCH).is_some(),
    })
}

fn if_match(headers: &HeaderMap) -> Result<Option<Revision>, Problem> {
    let Some(header) = headers.get(IF_MATCH) else {
        return Ok(None);
    };
    match header.to_str().unwrap_or_default() {
        "*" => Ok(None),
        tag => match tag.trim_matches('"').parse() {
            Ok(revision) => Ok(Some(revision)),
            Err(error) => Err(bad_request(format!("If-Match: {error}"))),
        },
    }
}

fn writer(headers: &HeaderMap) -> Result<Writer, Problem> {
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    let number = |name, key| {
        let value = text(name).map(|text| {
            protocol::device_number(
                key,
                &ExactJson::parse(text.as_bytes()).unwrap_or_else(|_| ExactJson::string(text)),
            )
        });
        value
            .transpose()
            .map_err(|error| bad_request(format!("{name}: {error}")))
    };
    let source_id = text("onlooker-source-id").map(str::to_owned);
    if source_id
        .as_ref()
        .is_some_and(|id| id.len() > protocol::MAX_SOURCE_ID)
    {
        return Err(bad_request(format!(
            "onlooker-source-id: expected at most {} bytes",
            protocol::MAX_SOURCE_ID
        )));
    }
    Ok(Writer {
        source_id,
        device_id: number("onlooker-device-id", "deviceId")?,
        local_revision: number("onlooker-local-revision", "localRevision")?,
    })
}

fn bad_request(detail: impl Into<String>) -> Problem {
    Problem::new(400, "Bad Request", detail)
}

fn unprocessable(detail: impl Into<String>) -> Problem {
    Problem::new(422, "Unprocessable Content", detail)
}
