//! What a host may do besides writing. Keys of the terminal, the panel, the API and the library
//! all call these.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use hyper::StatusCode;
use serde_json::{Value, json};

use super::answer::NO_STORE;
use super::app::App;
use super::links::Links;
use super::path::PathPart;
use crate::access::HostPass;
use crate::wire::Problem;

type Shared = State<Arc<App>>;
type Pass = Extension<HostPass>;

impl App {
    /// Sends every topic's session to all of its viewers again. Returns how many there are.
    pub fn resend(&self) -> usize {
        let topics = self.hub.topics();
        topics.iter().map(|entry| self.hub.resend_all(entry)).sum()
    }

    /// Disconnects a viewer, also at another daemon of the cluster. Returns whether there was one.
    pub async fn disconnect(&self, id: u64) -> bool {
        self.viewers.disconnect(id).await || self.hub.disconnect_elsewhere(id).await
    }

    /// Lets the links lead to the next of this machine's addresses.
    pub fn next_address(&self) -> Links {
        let links = self.live.next_address();
        self.hub.mark_change();
        links
    }
}

/// Disconnects viewers for the hosts of other daemons of the cluster, until this one stops.
pub async fn disconnect_for_others(app: Arc<App>) {
    let Some(mut wanted) = app.hub.disconnects() else {
        return;
    };
    let obey = async {
        while let Some(id) = wanted.next().await {
            if app.viewers.disconnect(id).await {
                wanted.done(id).await;
            }
        }
    };
    app.stop.run_until_cancelled(obey).await;
}

/// `POST /api/freeze`.
pub async fn freeze(State(app): Shared, _: Pass) -> StatusCode {
    app.hub.freeze(true);
    StatusCode::NO_CONTENT
}

/// `DELETE /api/freeze`.
pub async fn let_go(State(app): Shared, _: Pass) -> StatusCode {
    app.hub.freeze(false);
    StatusCode::NO_CONTENT
}

/// `POST /api/resend`.
pub async fn resend(State(app): Shared, _: Pass) -> Json<Value> {
    Json(json!({ "viewers": app.resend() }))
}

/// `POST /api/next-address`.
pub async fn next_address(State(app): Shared, _: Pass) -> impl IntoResponse {
    app.next_address();
    ([NO_STORE], Json(app.status()))
}

/// `DELETE /api/viewers/{id}`.
pub async fn disconnect(
    State(app): Shared,
    PathPart(id): PathPart<u64>,
    _: Pass,
) -> Result<StatusCode, Problem> {
    match app.disconnect(id).await {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found(format!("there is no viewer {id}"))),
    }
}
