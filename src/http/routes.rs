//! Every route of the daemon, in one table: the path, what a request needs to get there, its
//! method, and the function that answers. To add a route, add a row; the gate that is put before
//! each row gives the function the pass that the row asks for.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use hyper::StatusCode;
use hyper::header::ALLOW;
use tower::ServiceExt;
use tower_http::compression::CompressionLayer;

use super::answer::wrong_method;
use super::app::App;
use super::gate::{gate, is_upgrade};
use super::{actions, check, events, metrics, operations, pages, read, rooms, sockets, write};
use crate::access::Need::{self, Host, Nothing, Probe, Viewer};

/// Everything that the daemon answers. A request brings its [`Peer`](super::peer::Peer) along as
/// an extension.
#[derive(Clone)]
pub struct Routes {
    requests: Router,
    sockets: Router,
}

impl Routes {
    pub fn new(app: &Arc<App>) -> Routes {
        let other = pages::other.layer(CompressionLayer::new());
        Routes {
            requests: reports(requests(Table::new(app)), app).or_else(other),
            sockets: sockets(Table::new(app)).or_else(sockets::unknown),
        }
    }

    pub async fn answer(self, request: Request) -> Response {
        let router = match is_upgrade(request.headers()) {
            true => self.sockets,
            false => self.requests,
        };
        let Ok(mut response) = router.oneshot(request).await;
        // The router names the methods of a path even if it was the gate that answered.
        if response.status() != StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().remove(ALLOW);
        }
        response
    }
}

/// Upgrades to a WebSocket.
#[rustfmt::skip]
fn sockets(table: Table) -> Table {
    table
        .route("/", Viewer, get(sockets::viewer))
        .route("/host", Host, get(sockets::host))
        .route("/sync", Viewer, get(sockets::sync))
        .route("/parties/{party}/{room}", Viewer, get(rooms::person))
}

/// All other requests. `GET` includes `HEAD`.
#[rustfmt::skip]
fn requests(table: Table) -> Table {
    table
        .route("/", Nothing, page(get(pages::index)))
        .route("/host", Nothing, page(get(pages::host)))
        .route("/check", Nothing, page(get(check::page)))
        .route("/onlooker.js", Nothing, page(get(pages::client)))
        .route("/rooms.js", Nothing, page(get(pages::rooms)))
        .route("/openapi.json", Nothing, page(get(pages::openapi)))
        .route("/asyncapi.json", Nothing, page(get(pages::asyncapi)))
        .route("/assets/{name}", Nothing, page(get(pages::asset)))
        .route("/healthz", Nothing, get(operations::healthz))
        .route("/readyz", Probe, get(operations::readyz))
        .route("/metrics", Probe, get(metrics::metrics))
        .route("/qr.svg", Viewer, get(operations::qr_svg))
        .route("/qr.png", Viewer, get(operations::qr_png))
        .route("/sync", Viewer, get(events::events))
        .route("/api/status", Viewer, get(read::status))
        .route("/api/topics", Viewer, get(read::topics))
        .route("/api/topics/{topic}", Viewer, get(read::topic))
        .route("/api/topics/{topic}", Host, put(write::replace))
        .route("/api/topics/{topic}", Host, patch(write::change))
        .route("/api/topics/{topic}", Host, delete(write::delete))
        .route("/api/topics/{topic}/config", Host, patch(write::config))
        .route("/api/topics/{topic}/config/{field}", Viewer, get(read::field))
        .route("/api/topics/{topic}/config/{field}", Host, put(write::field))
        .route("/api/topics/{topic}/fields", Viewer, get(read::fields))
        .route("/api/topics/{topic}/changes", Host, get(read::changes))
        .route("/api/topics/{topic}/broadcast", Host, post(write::broadcast))
        .route("/api/topics/{topic}/resend", Host, post(write::resend))
        .route("/api/rooms/{party}/{room}/{channel}", Viewer, get(rooms::rows))
        .route("/api/rooms/{party}/{room}/{channel}/actions", Host, post(rooms::act))
        .route("/api/viewers", Host, get(read::viewers))
        .route("/api/viewers/{id}", Host, delete(actions::disconnect))
        .route("/api/freeze", Host, post(actions::freeze))
        .route("/api/freeze", Host, delete(actions::let_go))
        .route("/api/resend", Host, post(actions::resend))
        .route("/api/next-address", Host, post(actions::next_address))
}

/// What a phone found out: only where somebody wants to know.
fn reports(table: Table, app: &App) -> Table {
    match app.reports {
        Some(_) => table.route("/check", Viewer, post(check::report)),
        None => table,
    }
}

/// Pages are worth compressing; state is compressed where it is shared, on the sockets.
fn page(answer: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
    answer.layer(CompressionLayer::new())
}

/// The rows so far, each behind its gate.
struct Table {
    app: Arc<App>,
    rows: Router<Arc<App>>,
}

impl Table {
    fn new(app: &Arc<App>) -> Table {
        Table {
            app: app.clone(),
            rows: Router::new(),
        }
    }

    fn route(mut self, path: &str, need: Need, answer: MethodRouter<Arc<App>>) -> Table {
        let gate = from_fn_with_state((self.app.clone(), Some(need)), gate);
        self.rows = self.rows.route(path, answer.route_layer(gate));
        self
    }

    /// The finished table; `other` answers where no path fits.
    fn or_else<H: Handler<T, Arc<App>>, T: 'static>(self, other: H) -> Router {
        let gate = from_fn_with_state((self.app.clone(), None), gate);
        self.rows
            // The router adds `Allow`.
            .method_not_allowed_fallback((async || wrong_method()).layer(gate.clone()))
            .fallback(other.layer(gate))
            .with_state(self.app)
    }
}

#[cfg(test)]
mod tests;
