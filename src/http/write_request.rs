//! A request that writes: what its headers ask for, and what its body holds.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH,
};

use super::app::App;
use super::peer::Peer;
use crate::access::HostPass;
use crate::hub::WriteOptions;
use crate::source::host::problem_of;
use crate::state::json::{Json, is_reserved};
use crate::state::revision::Revision;
use crate::state::topic::Writer;
use crate::wire::{self, MessageError, Problem};

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A request that the gate has let in to write, read within the limits of size and time.
pub struct WriteRequest {
    headers: HeaderMap,
    pub ip: IpAddr,
    /// Its body, or why it could not be read.
    pub body: Result<Bytes, Problem>,
}

impl FromRequest<Arc<App>> for WriteRequest {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<WriteRequest, Response> {
        let (mut parts, body) = request.into_parts();
        let pass = Extension::<HostPass>::from_request_parts(&mut parts, app).await;
        let pass = pass.map_err(IntoResponse::into_response)?;
        let peer = Extension::<Arc<Peer>>::from_request_parts(&mut parts, app).await;
        let ip = peer.map_err(IntoResponse::into_response)?.ip();
        let headers = parts.headers;
        let body = read(&headers, body, app.hub.limits().session).await;
        // The host may have been sent away while its body was on its way.
        match pass.revoked().is_cancelled() {
            true => Err(Problem::new(401, "writing needs the host token").into_response()),
            false => Ok(WriteRequest { headers, ip, body }),
        }
    }
}

async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the body is over the limit of {limit} bytes (--max-session)");
        Problem::new(413, detail)
    };
    let mut encodings = headers.get_all(CONTENT_ENCODING).into_iter();
    let is_encoded = |name: &&HeaderValue| !name.as_bytes().eq_ignore_ascii_case(b"identity");
    if let Some(encoding) = encodings.find(is_encoded) {
        let detail = format!("send the body without Content-Encoding, not as {encoding:?}");
        return Err(Problem::new(415, detail));
    }
    let announced = headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > limit) {
        return Err(too_large());
    }
    let whole = Limited::new(body, limit).collect();
    match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            let detail = format!("the body is incomplete: {error}");
            Err(Problem::bad_request(detail).because("the body is incomplete"))
        }
        Err(_) => Err(Problem::new(408, "the body took too long")),
    }
}

impl WriteRequest {
    /// The body as JSON, and which of the `known` media types it has: the first if it names none.
    /// Fails with 415, or 400 with line and column.
    pub fn json<'a>(&self, known: &[&'a str]) -> Result<(&'a str, Json), Problem> {
        let kind = self.media_type(known)?;
        let json = Json::parse(self.body.as_ref().map_err(Problem::clone)?);
        let json = json.map_err(|error| problem_of(&MessageError::Json(error)))?;
        Ok((kind, json))
    }

    /// The body as an object's members.
    /// Fails as [`WriteRequest::json`], and 422 for anything but an object.
    pub fn members(&self, known: &[&str]) -> Result<Vec<(String, Json)>, Problem> {
        let (_, json) = self.json(known)?;
        wire::fields(&json, "the body").map_err(|error| problem_of(&error))
    }

    fn media_type<'a>(&self, known: &[&'a str]) -> Result<&'a str, Problem> {
        let Some(header) = self.headers.get(CONTENT_TYPE) else {
            return Ok(known[0]);
        };
        let text = header.to_str().unwrap_or_default();
        let given = text.split(';').next().unwrap_or_default().trim();
        let found = known.iter().find(|name| name.eq_ignore_ascii_case(given));
        let known = known.join(" or ");
        let detail = || format!("expected Content-Type {known}, got {given:?}");
        found.copied().ok_or_else(|| Problem::new(415, detail()))
    }

    /// How the change is to be written. `existing`: only to a topic that exists.
    /// Fails with 400 for a header that is not understood.
    pub fn options(&self, existing: bool) -> Result<WriteOptions, Problem> {
        Ok(WriteOptions {
            writer: Arc::new(self.writer()?),
            address: Some(self.ip),
            if_match: self.if_match()?,
            existing: existing || self.headers.contains_key(IF_MATCH),
            ..WriteOptions::default()
        })
    }

    /// Who asks, as far as that is known of a request that is not understood.
    pub fn author(&self) -> WriteOptions {
        WriteOptions {
            writer: Arc::new(self.writer().unwrap_or_default()),
            address: Some(self.ip),
            ..WriteOptions::default()
        }
    }

    /// The revision that the writer expects; `None` if any will do.
    /// Fails with 400 if it is not a revision.
    pub fn if_match(&self) -> Result<Option<Revision>, Problem> {
        match self.text("if-match") {
            None | Some("*") => Ok(None),
            Some(tag) => match tag.trim_matches('"').parse() {
                Ok(revision) => Ok(Some(revision)),
                Err(error) => Err(unreadable("If-Match", error)),
            },
        }
    }

    fn writer(&self) -> Result<Writer, Problem> {
        const NAME: &str = "onlooker-source-id";
        let source_id = self.text(NAME);
        if source_id.is_some_and(|id| id.len() > wire::MAX_SOURCE_ID) {
            let most = wire::MAX_SOURCE_ID;
            return Err(unreadable(NAME, format!("expected at most {most} bytes")));
        }
        if source_id.is_some_and(is_reserved) {
            return Err(unreadable(NAME, "this text is reserved"));
        }
        Ok(Writer {
            source_id: source_id.map(str::to_owned),
            device_id: self.number("onlooker-device-id", "deviceId")?,
            local_revision: self.number("onlooker-local-revision", "localRevision")?,
        })
    }

    fn number(&self, header: &'static str, key: &str) -> Result<Option<u64>, Problem> {
        let json = |text: &str| Json::parse(text.as_bytes()).unwrap_or_else(|_| Json::string(text));
        let number = self.text(header);
        let number = number.map(|text| wire::device_number(key, &json(text)));
        number
            .transpose()
            .map_err(|error| unreadable(header, error))
    }

    fn text(&self, header: &str) -> Option<&str> {
        let value = self.headers.get(header)?;
        Some(value.to_str().unwrap_or_default())
    }
}

/// 400 for a header; the log learns only which one.
fn unreadable(header: &'static str, error: impl Display) -> Problem {
    Problem::bad_request(format!("{header}: {error}")).because(header)
}
