//! Rooms: the socket of their people, and the rows and actions of the API.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::Span;

use super::answer::NO_STORE;
use super::app::App;
use super::opening::Opening;
use super::path::PathPart;
use super::peer::Peer;
use super::query::Query;
use super::upgraded::{line_peer, wire};
use super::write_request::WriteRequest;
use crate::access::{self, HostPass, ViewerPass};
use crate::hub::Hub;
use crate::hub::rooms::{Answer as Outcome, Asker, Denied, PATIENCE, RoomEntry, Rows, Sitter};
use crate::state::json::Json as ExactJson;
use crate::state::room::RoomName;
use crate::viewer::NewPerson;
use crate::wire::Problem;
use crate::wire::room::{Asked, ROWS_END};

type Shared = State<Arc<App>>;
type Answer = Result<Response, Problem>;
type Named = PathPart<(String, String, String)>;

/// `/parties/{party}/{room}`: one of a room's people.
pub async fn person(
    State(app): Shared,
    Extension(pass): Extension<ViewerPass>,
    host: Option<Extension<HostPass>>,
    Extension(peer): Extension<Arc<Peer>>,
    PathPart((party, room)): PathPart<(String, String)>,
    query: Query,
    opening: Opening,
) -> Answer {
    let name = name(&app.hub, &party, &room)?;
    let place = app.hub.place().ok_or_else(|| app.full())?;
    let usage = app.hub.use_room(&name).map_err(|error| error.problem())?;
    let device = opening.device().into_boxed_str();
    Span::current().record("topic", name.topic().as_str());
    let host = host.map(|Extension(pass)| pass);
    let sitter = Sitter {
        is_host: host.is_some(),
        address: peer.ip(),
        name: query.person(),
        device: device.clone(),
    };
    let seat = Arc::new(app.hub.sit_down(usage, sitter, place));
    let (viewers, peer_of_line) = (app.viewers.clone(), line_peer(&peer, device));
    let join = move |io| async move {
        if let Some((wire, early)) = wire(io) {
            let peer = peer_of_line;
            viewers
                .seat(NewPerson {
                    wire,
                    early,
                    pass,
                    host,
                    seat,
                    peer,
                })
                .await;
        }
    };
    Ok(opening.answer(&app, &peer, join))
}

/// A room that there may be.
/// Fails with 400 for a party without rooms or a name that cannot be a room's, 404 without any.
pub fn name(hub: &Hub, party: &str, room: &str) -> Result<RoomName, Problem> {
    if hub.channels().is_empty() {
        let detail = "no rooms are declared: [rooms.channels] in the configuration";
        return Err(Problem::not_found(detail).because("no rooms are declared"));
    }
    let name = RoomName::new(party, room).map_err(|error| {
        Problem::bad_request(error.to_string()).because("a name that no room can have")
    })?;
    match hub.has_party(party) {
        true => Ok(name),
        false => Err(Problem::bad_request(format!(
            "{party:?} is not a party: there is {} (parties under [rooms])",
            hub.parties().join(", ")
        ))
        .because("its party is not declared: parties under [rooms]")),
    }
}

/// The room and the place of the channel that a path names.
fn find(
    app: &App,
    (party, room, channel): &(String, String, String),
) -> Result<(RoomName, usize), Problem> {
    let name = name(&app.hub, party, room)?;
    let place = app.hub.channels().get_index_of(channel);
    let missing = || Problem::not_found(app.hub.no_channel(channel));
    Ok((name, place.ok_or_else(missing)?))
}

/// The rows of a channel, or those that changed at a time or later, the deleted ones among them.
pub async fn rows(
    State(app): Shared,
    PathPart(path): Named,
    query: Query,
    headers: HeaderMap,
) -> Answer {
    let (name, channel) = find(&app, &path)?;
    let from = query.from()?;
    let Some(room) = app.hub.room(&name) else {
        return Ok(answer(&app.hub, channel, 0, Vec::new()));
    };
    let tag = app.hub.rows_tag(room.book().head());
    let known = access::list(&headers, IF_NONE_MATCH);
    if known
        .iter()
        .any(|known| known == "*" || known.trim_start_matches("W/") == tag)
    {
        return Ok((StatusCode::NOT_MODIFIED, [NO_STORE], [(ETAG, tag)]).into_response());
    }
    let rows = Rows::new(&room, channel, from);
    Ok(answer(&app.hub, channel, rows.to(), rows.pieces()))
}

fn answer<I>(hub: &Hub, channel: usize, to: u64, pieces: I) -> Response
where
    I: IntoIterator<Item = Bytes>,
    I::IntoIter: Send + 'static,
{
    let declared = hub
        .channels()
        .get_index(channel)
        .map(|(_, channel)| channel);
    let columns: Vec<&str> = declared
        .into_iter()
        .flat_map(|channel| channel.names())
        .collect();
    let begin = format!(r#"{{"columns":{},"rows":["#, ExactJson::of(&columns));
    let tag = [(ETAG, hub.rows_tag(to))];
    (tag, stream_rows(begin, pieces)).into_response()
}

/// Rows between a beginning and the brackets that close it, encoded as they are sent.
fn stream_rows<I>(begin: String, pieces: I) -> Response
where
    I: IntoIterator<Item = Bytes>,
    I::IntoIter: Send + 'static,
{
    let begin = std::iter::once(Bytes::from(begin));
    let end = std::iter::once(Bytes::from_static(ROWS_END.as_bytes()));
    let pieces = begin.chain(pieces).chain(end).map(Ok::<_, Infallible>);
    let kind = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ([NO_STORE, kind], Body::from_stream(stream::iter(pieces))).into_response()
}

/// Runs one action, as a host.
pub async fn act(State(app): Shared, PathPart(path): Named, request: WriteRequest) -> Answer {
    let (name, _) = find(&app, &path)?;
    let (_, action) = request.json(&["application/json"])?;
    let usage = app.hub.use_room(&name).map_err(|error| error.problem())?;
    let asked = Asked {
        id: ExactJson::null(),
        channel: path.2,
        action,
    };
    let address = request.ip.to_string();
    let asker = Asker {
        name: &address,
        ..Asker::host(request.ip)
    };
    let (answer, answered) = oneshot::channel();
    let acted = async {
        app.hub.act(usage.room(), &asked, &asker, answer).await;
        answered.await
    };
    match timeout(PATIENCE, acted).await {
        Ok(Ok(outcome)) => result(usage.room(), outcome),
        Ok(Err(_)) => Err(Problem::unavailable("the daemon is stopping")),
        Err(_) => Err(Problem::new(
            504,
            "no answer within 9 s: it may still be done",
        )),
    }
}

fn result(room: &RoomEntry, outcome: Outcome) -> Answer {
    let done = outcome.map_err(Denied::problem)?;
    let rows = Rows::of(room, done.channel, &done.rows);
    Ok(stream_rows(r#"{"result":["#.to_owned(), rows.pieces()))
}
