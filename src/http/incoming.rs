//! A request that writes: who may, how, and what it brings.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH,
};
use hyper::http::request::Parts;

use super::app::App;
use crate::access::{HostPass, Pass};
use crate::hub::WriteOptions;
use crate::source::host::problem_of;
use crate::state::json::{Json, is_reserved};
use crate::state::revision::Revision;
use crate::state::topic::Writer;
use crate::wire::{self, MessageError, Problem};

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The head of a request that the gate lets write.
pub struct Host {
    /// That it may.
    pass: HostPass,
    headers: HeaderMap,
    /// Where it comes from.
    pub address: Option<IpAddr>,
}

/// The same with its body, read within the limits of size and time.
pub struct Incoming {
    /// Its head.
    pub host: Host,
    /// Its body, or why it could not be read.
    pub body: Result<Bytes, Problem>,
}

impl FromRequestParts<Arc<App>> for Host {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Host, Problem> {
        let pass = parts.extensions.get::<Pass>();
        let pass = pass.and_then(|pass| pass.host.clone());
        let headers = parts.headers.clone();
        let address = parts.extensions.get::<IpAddr>().copied();
        let pass = pass.ok_or_else(not_a_host)?;
        Ok(Host {
            pass,
            headers,
            address,
        })
    }
}

impl FromRequest<Arc<App>> for Incoming {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Incoming, Problem> {
        let (mut parts, body) = request.into_parts();
        let host = Host::from_request_parts(&mut parts, app).await?;
        let body = read(&host.headers, body, app.hub.limits().session).await;
        match host.pass.revoked().is_cancelled() {
            true => Err(not_a_host()),
            false => Ok(Incoming { host, body }),
        }
    }
}

async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the body is over the limit of {limit} bytes (--max-session)");
        Problem::new(413, "Content Too Large", detail)
    };
    let mut encodings = headers.get_all(CONTENT_ENCODING).into_iter();
    let encoded = |name: &&HeaderValue| !name.as_bytes().eq_ignore_ascii_case(b"identity");
    if let Some(encoding) = encodings.find(encoded) {
        return Err(unsupported(format!(
            "a body comes as it is, not with Content-Encoding {encoding:?}"
        )));
    }
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > limit) {
        return Err(too_large());
    }
    let whole = Limited::new(body, limit).collect();
    match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(bad_request(
            format!("the body broke off: {error}"),
            "the body broke off",
        )),
        Err(_) => Err(Problem::new(
            408,
            "Request Timeout",
            "the body took too long",
        )),
    }
}

impl Incoming {
    /// The body as JSON, if its media type is one of `known`, and which one; the first where
    /// none is told.
    ///
    /// # Errors
    /// 415, or 400 with line and column.
    pub fn json<'a>(&self, known: &[&'a str]) -> Result<(&'a str, Json), Problem> {
        let kind = self.host.media_type(known)?;
        let json = Json::parse(self.body.as_ref().map_err(Problem::clone)?);
        let json = json.map_err(|error| problem_of(&MessageError::Json(error)))?;
        Ok((kind, json))
    }

    /// The body as an object's members.
    ///
    /// # Errors
    /// As [`Incoming::json`], and 422 for another value.
    pub fn members(&self, known: &[&str]) -> Result<Vec<(String, Json)>, Problem> {
        let (_, json) = self.json(known)?;
        wire::fields(&json, "the body").map_err(|error| problem_of(&error))
    }
}

impl Host {
    fn media_type<'a>(&self, known: &[&'a str]) -> Result<&'a str, Problem> {
        let Some(header) = self.headers.get(CONTENT_TYPE) else {
            return Ok(known[0]);
        };
        let text = header.to_str().unwrap_or_default();
        let given = text.split(';').next().unwrap_or_default().trim();
        let found = known.iter().find(|name| name.eq_ignore_ascii_case(given));
        let known = known.join(" or ");
        let detail = || format!("expected Content-Type {known}, got {given:?}");
        found.copied().ok_or_else(|| unsupported(detail()))
    }

    /// How the change is to be written. `existing`: only to a topic that is there.
    ///
    /// # Errors
    /// 400 for a header that is not understood.
    pub fn options(&self, existing: bool) -> Result<WriteOptions, Problem> {
        Ok(WriteOptions {
            writer: Arc::new(self.writer()?),
            address: self.address,
            if_match: self.if_match()?,
            existing: existing || self.headers.contains_key(IF_MATCH),
        })
    }

    /// The revision that the writer believes in; none too where any will do.
    ///
    /// # Errors
    /// 400 for what is no revision.
    pub fn if_match(&self) -> Result<Option<Revision>, Problem> {
        match self.text("if-match") {
            None | Some("*") => Ok(None),
            Some(tag) => match tag.trim_matches('"').parse() {
                Ok(revision) => Ok(Some(revision)),
                Err(error) => Err(bad_request(format!("If-Match: {error}"), "If-Match")),
            },
        }
    }

    fn writer(&self) -> Result<Writer, Problem> {
        let source_id = self.text("onlooker-source-id").map(str::to_owned);
        if source_id
            .as_ref()
            .is_some_and(|id| id.len() > wire::MAX_SOURCE_ID)
        {
            let most = wire::MAX_SOURCE_ID;
            let detail = format!("onlooker-source-id: expected at most {most} bytes");
            return Err(bad_request(detail, "onlooker-source-id"));
        }
        if source_id.as_deref().is_some_and(is_reserved) {
            let detail = "onlooker-source-id: this text is reserved";
            return Err(bad_request(detail, detail));
        }
        Ok(Writer {
            source_id,
            device_id: self.number("onlooker-device-id", "deviceId")?,
            local_revision: self.number("onlooker-local-revision", "localRevision")?,
        })
    }

    fn number(&self, header: &'static str, key: &str) -> Result<Option<u64>, Problem> {
        let json = |text: &str| Json::parse(text.as_bytes()).unwrap_or_else(|_| Json::string(text));
        let number = self
            .text(header)
            .map(|text| wire::device_number(key, &json(text)));
        number
            .transpose()
            .map_err(|error| bad_request(format!("{header}: {error}"), header))
    }

    fn text(&self, header: &str) -> Option<&str> {
        let value = self.headers.get(header)?;
        Some(value.to_str().unwrap_or_default())
    }
}

fn not_a_host() -> Problem {
    Problem::new(401, "Unauthorized", "writing needs the host token")
}

fn unsupported(detail: String) -> Problem {
    Problem::new(415, "Unsupported Media Type", detail)
}

/// 400, and the cause for the log.
pub fn bad_request(detail: impl Into<String>, cause: &'static str) -> Problem {
    Problem::new(400, "Bad Request", detail).because(cause)
}
