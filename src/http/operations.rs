//! For those who run it: probes, metrics, and the code to scan.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};

use super::app::App;
use super::upgrade;
use crate::access::PageLink;
use crate::discovery::qr;
use crate::wire::Problem;

type Shared = State<Arc<App>>;

/// `GET /healthz`: the process is up.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: viewers will see something, and writes are taken.
pub async fn readyz(State(app): Shared) -> Result<String, Problem> {
    let shown = app
        .hub
        .topic(app.hub.default_topic())
        .is_some_and(|entry| entry.session().is_some());
    if !shown {
        return Err(super::answer::unavailable(
            "no session yet: the host has written nothing",
        ));
    }
    let Some(failure) = app.hub.store_failure() else {
        return Ok("ready\n".to_owned());
    };
    let text = format!("{} ({})", failure.text(), failure.error);
    match app.hub.serves_unkept() {
        true => Ok(format!("ready, but {text}\n")),
        false => Err(super::answer::unavailable(text)),
    }
}

/// `GET /qr.svg`: the page's link, of `?topic=` if it is there.
pub async fn qr_svg(State(app): Shared, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let image = qr::svg(&link(&app, query)?).map_err(|error| too_long(&error))?;
    Ok(picture("image/svg+xml", image))
}

/// `GET /qr.png`: the same, in pixels.
pub async fn qr_png(State(app): Shared, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let image = qr::png(&link(&app, query)?, 8).map_err(|error| too_long(&error))?;
    Ok(picture("image/png", image))
}

fn link(app: &App, query: Option<String>) -> Result<PageLink, Problem> {
    let topics = upgrade::topics(query.as_deref())?;
    let other = topics
        .iter()
        .find(|topic| *topic != app.hub.default_topic());
    let links = &app.live.get().links;
    Ok(other.map_or_else(|| links.page.clone(), |topic| links.page_of(topic)))
}

fn picture(kind: &'static str, image: impl IntoResponse) -> Response {
    let mut response = image.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn too_long(error: &qr::QrError) -> Problem {
    Problem::new(
        500,
        "Internal Server Error",
        format!("the link cannot be drawn: {error}"),
    )
}

/// `GET /metrics`, in Prometheus' text format.
pub async fn metrics(State(app): Shared) -> Response {
    let text = [work(&app), refusals(&app), store(&app)].concat();
    let headers = [
        (CONTENT_TYPE, "text/plain; version=0.0.4"),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, text).into_response()
}

fn work(app: &App) -> String {
    let counts = app.hub.counts();
    [
        gauge("viewers", "Connected viewers.", app.hub.viewers() as u64),
        gauge(
            "topics",
            "Topics that have a session.",
            app.topics().len() as u64,
        ),
        counter(
            "viewers_total",
            "Viewers that ever connected.",
            counts.viewers(),
        ),
        counter(
            "writes_total",
            "Changes that were accepted.",
            counts.writes(),
        ),
        counter(
            "refused_writes_total",
            "Changes that were refused.",
            counts.refusals(),
        ),
        counter("flushes_total", "Flushes to the viewers.", counts.flushes()),
        counter(
            "passed_over_texts_total",
            "Hosts' texts that a viewer could not be given.",
            counts.passed_over(),
        ),
    ]
    .concat()
}

fn refusals(app: &App) -> String {
    let notices = app.hub.notices();
    [
        counter(
            "lock_outs_total",
            "Addresses whose wrong tokens became too many.",
            app.live.get().access.lock_outs(),
        ),
        by_reason(
            "refused_total",
            "Connections, requests and messages that were refused.",
            &notices.refusals(),
        ),
        by_reason(
            "viewers_sent_away_total",
            "Viewers, readers of /sync and hosts that were sent away.",
            &notices.departures(),
        ),
    ]
    .concat()
}

fn store(app: &App) -> String {
    let Some(errors) = app.hub.store_errors() else {
        return String::new();
    };
    let failing = app.hub.store_failure().is_some();
    let help = "Whether changes are not kept.";
    gauge("store_failing", help, failing.into())
        + &counter("store_errors_total", "Commits that failed.", errors)
}

fn gauge(name: &str, help: &str, value: u64) -> String {
    metric("gauge", name, help, value)
}

fn counter(name: &str, help: &str, value: u64) -> String {
    metric("counter", name, help, value)
}

fn by_reason(name: &str, help: &str, values: &[(&str, u64)]) -> String {
    let line =
        |(reason, value): &(&str, u64)| format!("onlooker_{name}{{reason=\"{reason}\"}} {value}\n");
    let lines: String = values.iter().map(line).collect();
    format!("# HELP onlooker_{name} {help}\n# TYPE onlooker_{name} counter\n{lines}")
}

fn metric(kind: &str, name: &str, help: &str, value: u64) -> String {
    format!(
        "# HELP onlooker_{name} {help}\n# TYPE onlooker_{name} {kind}\nonlooker_{name} {value}\n"
    )
}
