//! The WebSockets: a viewer's, a host's, and `/sync`. That of a room's people is in `rooms`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use hyper_util::rt::TokioIo;
use tracing::Span;

use super::app::App;
use super::opening::Opening;
use super::peer::Peer;
use super::query::Query;
use super::rooms;
use super::upgraded::{line_peer, wire};
use crate::access::{HostPass, ViewerPass};
use crate::hub::{Place, TopicEntry};
use crate::source::host::Host;
use crate::source::room::RoomHost;
use crate::viewer::sync::Feed;
use crate::viewer::{Guest, NewViewer};
use crate::wire::Problem;

type Shared = State<Arc<App>>;
type Answer = Result<Response, Problem>;

/// `/`: a viewer.
pub async fn viewer(
    State(app): Shared,
    Extension(pass): Extension<ViewerPass>,
    host: Option<Extension<HostPass>>,
    Extension(peer): Extension<Arc<Peer>>,
    query: Query,
    mut opening: Opening,
) -> Answer {
    let topic = query.topic(&app)?;
    app.hub.show(&topic, true).await;
    app.hub.reach(&topic, query.since()).await;
    let entry = query.entry(&app)?;
    let id = query.id();
    let place = place(&app, &entry, id.as_deref()).await?;
    let presence = match host.is_some() && query.is_panel() {
        true => app.hub.enter_uncounted(&entry, place),
        false => app.hub.enter(&entry, place),
    };
    let device = opening.device().into_boxed_str();
    let (own, encoding) = opening.agree_on_encoding();
    Span::current().record("topic", entry.name().as_str());
    let guest = Guest {
        pass,
        presence,
        encoding,
        own,
        id,
        peer: line_peer(&peer, device),
    };
    let (viewers, since) = (app.viewers.clone(), query.since());
    let join = move |io| async move {
        if let Some((wire, early)) = wire(io) {
            let viewer = NewViewer {
                wire,
                early,
                since,
                guest,
            };
            viewers.join(viewer).await;
        }
    };
    Ok(opening.answer(&app, &peer, join))
}

/// A place for a viewer. Where all are taken, one that is there already may take its own again.
/// Fails with 503 for anybody else.
async fn place(app: &App, entry: &TopicEntry, id: Option<&str>) -> Result<Place, Problem> {
    if let Some(place) = app.hub.place() {
        return Ok(place);
    }
    match id {
        Some(id) if app.viewers.knows(entry.name(), id).await => Ok(app.hub.place_of_its_own()),
        _ => Err(app.full()),
    }
}

/// `/host`: a host that writes.
pub async fn host(
    State(app): Shared,
    Extension(pass): Extension<HostPass>,
    Extension(peer): Extension<Arc<Peer>>,
    query: Query,
    opening: Opening,
) -> Answer {
    if let Some(room) = query.room() {
        return room_host(&app, pass, &peer, &room, opening);
    }
    let topic = query.topic(&app)?;
    let source = app.hub.attach(&topic).map_err(|error| error.problem())?;
    Span::current().record("topic", topic.as_str());
    let host = Host {
        hub: app.hub.clone(),
        topic,
        source,
        address: peer.ip(),
        pass,
        stop: app.stop.clone(),
    };
    let serve = move |io| async move {
        host.run(TokioIo::new(io)).await;
        tracing::debug!("host left");
    };
    Ok(opening.answer(&app, &peer, serve))
}

/// `/host?room=`: a host that decides on what a room's people want.
fn room_host(app: &App, pass: HostPass, peer: &Peer, room: &str, opening: Opening) -> Answer {
    let (party, room) = room.split_once('/').unwrap_or((room, ""));
    let name = rooms::name(&app.hub, party, room)?;
    let line = app
        .hub
        .attach_to_room(&name)
        .map_err(|error| error.problem())?;
    Span::current().record("topic", name.topic().as_str());
    let host = RoomHost {
        hub: app.hub.clone(),
        line,
        address: peer.ip(),
        pass,
        stop: app.stop.clone(),
    };
    let serve = move |io| async move {
        host.run(TokioIo::new(io)).await;
        tracing::debug!("host of a room left");
    };
    Ok(opening.answer(app, peer, serve))
}

/// `/sync`: a reader that is told what to fetch.
pub async fn sync(
    State(app): Shared,
    Extension(pass): Extension<ViewerPass>,
    Extension(peer): Extension<Arc<Peer>>,
    query: Query,
    opening: Opening,
) -> Answer {
    let feed = Feed::new(&app.hub, query.topics()?, &pass)
        .await
        .ok_or_else(|| app.full())?;
    let (stop, ip) = (app.stop.clone(), peer.ip());
    let serve = move |io| async move {
        feed.serve(TokioIo::new(io), ip, stop).await;
        tracing::debug!("reader of /sync left");
    };
    Ok(opening.answer(&app, &peer, serve))
}

/// An upgrade at any other path.
pub async fn unknown(request: Request) -> Problem {
    let path = request.uri().path();
    Problem::not_found(format!(
        "there is no socket at {path}: viewers connect to /, hosts to /host, a room's people to /parties/{{party}}/{{room}}, /sync tells of changes"
    ))
}
