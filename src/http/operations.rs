//! For those who run the daemon: probes, and the QR code.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::answer::NO_STORE;
use super::app::App;
use super::query::Query;
use crate::access::PageLink;
use crate::discovery::qr;
use crate::state::name::TopicName;
use crate::wire::Problem;

type Shared = State<Arc<App>>;

/// The process is up.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Viewers will see something, and writes are taken.
pub async fn readyz(State(app): Shared) -> Result<String, Problem> {
    let shown = app.hub.topic(app.hub.default_topic());
    if shown.is_none_or(|entry| entry.session().is_none()) {
        let detail = "no session yet: the host has written nothing";
        return Err(Problem::unavailable(detail));
    }
    if let Some(cluster) = app.hub.cluster()
        && cluster.state != "connected"
    {
        let error = cluster.error.unwrap_or_default();
        let detail = format!("NATS is lost: {error}: writes are refused until it is back (--nats)");
        return Err(Problem::unavailable(detail));
    }
    let Some(failure) = app.hub.store_failure() else {
        return Ok("ready\n".to_owned());
    };
    let text = format!("{} ({})", failure.text(), failure.error);
    match app.hub.serves_unkept() {
        true => Ok(format!("ready, but {text}\n")),
        false => Err(Problem::unavailable(text)),
    }
}

/// The link of the page, for the topic of `?topic=` if it is given.
pub async fn qr_svg(State(app): Shared, query: Query) -> Result<Response, Problem> {
    let image = qr::svg(&link(&app, &query)?).map_err(|error| too_long(&error))?;
    Ok(picture("image/svg+xml", image))
}

/// The same as a bitmap.
pub async fn qr_png(State(app): Shared, query: Query) -> Result<Response, Problem> {
    let image = qr::png(&link(&app, &query)?, 8).map_err(|error| too_long(&error))?;
    Ok(picture("image/png", image))
}

fn link(app: &App, query: &Query) -> Result<PageLink, Problem> {
    let topics = query.topics()?;
    let is_other = |topic: &&TopicName| *topic != app.hub.default_topic();
    let other = topics.iter().find(is_other);
    let links = &app.live.get().links;
    Ok(other.map_or_else(|| links.page.clone(), |topic| links.page_of(topic)))
}

fn picture(kind: &'static str, image: impl IntoResponse) -> Response {
    let kind = (CONTENT_TYPE, HeaderValue::from_static(kind));
    ([NO_STORE, kind], image).into_response()
}

fn too_long(error: &qr::QrError) -> Problem {
    Problem::new(500, format!("the link cannot be drawn: {error}"))
}
