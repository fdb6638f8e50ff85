//! `GET /sync` without an upgrade: Server-Sent Events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use hyper::Method;
use hyper::header::ALLOW;

use super::answer::{NO_STORE, wrong_method};
use super::app::App;
use super::peer::Peer;
use super::query::Query;
use crate::access::ViewerPass;
use crate::viewer::sync::Feed;
use crate::wire::{Invalidation, Problem};

/// Tells a reader what to fetch. One that comes back is told where every topic is, so
/// `Last-Event-ID` has nothing to add.
pub async fn events(
    State(app): State<Arc<App>>,
    Extension(pass): Extension<ViewerPass>,
    Extension(peer): Extension<Arc<Peer>>,
    method: Method,
    query: Query,
) -> Result<Response, Problem> {
    // A HEAD would wait for events that it is not to be sent.
    if method != Method::GET {
        return Ok(([(ALLOW, "GET")], wrong_method()).into_response());
    }
    let feed = Feed::new(&app.hub, query.topics()?, &pass)
        .await
        .ok_or_else(|| app.full())?;
    let stop = app.stop.clone();
    let events = stream::unfold((feed, stop), move |(mut feed, stop)| {
        let ip = peer.ip();
        async move {
            let event = stop.run_until_cancelled(feed.next_for(ip)).await??;
            Some((Ok::<_, Infallible>(sse(&event)), (feed, stop)))
        }
    });
    let alive = KeepAlive::new()
        .interval(app.hub.flow().ping.max(Duration::from_millis(1)))
        .text("ping");
    Ok(([NO_STORE], Sse::new(events).keep_alive(alive)).into_response())
}

fn sse(event: &Invalidation) -> Event {
    Event::default()
        .event("invalidation")
        .id(format!("{}@{}", event.topic, event.revision))
        .data(event.text())
}
