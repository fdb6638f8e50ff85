//! `/check`: the page on which a phone tries its connection, and what it reports of that to a host
//! that asked (`onlooker doctor`).

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::response::Response;
use hyper::StatusCode;
use hyper::header::{HeaderMap, USER_AGENT};
use tokio::time::timeout;

use super::app::App;
use super::device;
use super::pages;
use super::peer::Peer;
use super::reports::Reported;
use crate::wire::{PhoneReport, Problem};

/// More is no report.
const LARGEST: usize = 8 * 1024;
/// How long one may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// The page, which learns whether somebody wants its reports.
pub async fn page(State(app): State<Arc<App>>) -> Response {
    pages::check(app.reports.is_some())
}

/// Takes a phone's report. There is a route to it only where somebody wants reports.
pub async fn report(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Arc<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let body = timeout(PATIENCE, to_bytes(body, LARGEST)).await;
    let body = body.map_err(|_| Problem::new(408, "the report took too long"))?;
    let body = body.map_err(|_| Problem::new(413, "a report is whole, and has 8 KiB at most"))?;
    let report = PhoneReport::read(&body).ok_or_else(|| {
        Problem::bad_request("expected a report: an object with id, lines and done")
    })?;
    let agent = headers
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    let reported = Reported {
        device: device::label(agent.unwrap_or_default()),
        address: peer.ip(),
        report,
    };
    let nobody = || Problem::not_found("nobody wants reports here");
    app.reports.as_ref().ok_or_else(nobody)?.take(reported)?;
    Ok(StatusCode::NO_CONTENT)
}
