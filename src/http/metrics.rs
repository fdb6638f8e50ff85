//! `GET /metrics`, in Prometheus' text format.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::answer::NO_STORE;
use super::app::App;

/// To add a metric, add a line to one of the lists below.
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = [
        work(&app),
        refusals(&app),
        store(&app),
        cluster(&app),
        rooms(&app),
        relays(&app),
    ]
    .concat();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4");
    ([NO_STORE, (CONTENT_TYPE, kind)], text).into_response()
}

#[rustfmt::skip]
fn work(app: &App) -> String {
    let (counts, viewers, topics) = (app.hub.counts(), app.hub.viewers(), app.topics().len());
    [
        gauge("viewers", "Connected viewers.", viewers as u64),
        gauge("topics", "Topics that have a session.", topics as u64),
        counter("viewers_total", "Viewers that ever connected.", counts.viewers()),
        counter("writes_total", "Changes that were accepted.", counts.writes()),
        counter("refused_writes_total", "Changes that were refused.", counts.refusals()),
        counter("flushes_total", "Flushes to the viewers.", counts.flushes()),
        counter("passed_over_texts_total", "Hosts' texts that a viewer could not be given.", counts.passed_over()),
    ]
    .concat()
}

#[rustfmt::skip]
fn refusals(app: &App) -> String {
    let (notices, lock_outs) = (app.hub.notices(), app.live.get().access.lock_outs());
    [
        counter("lock_outs_total", "Addresses that sent too many wrong tokens.", lock_outs),
        by_reason("refused_total", "Connections, requests and messages that were refused.", &notices.refusals()),
        by_reason("viewers_sent_away_total", "Viewers, people of rooms, readers of /sync and hosts that were sent away.", &notices.departures()),
    ]
    .concat()
}

fn store(app: &App) -> String {
    let Some(errors) = app.hub.store_errors() else {
        return String::new();
    };
    let failing = app.hub.store_failure().is_some().into();
    [
        gauge("store_failing", "Whether changes are not kept.", failing),
        counter("store_errors_total", "Commits that failed.", errors),
    ]
    .concat()
}

#[rustfmt::skip]
fn cluster(app: &App) -> String {
    let (Some(state), Some([races, losses, sent, received])) = (app.hub.cluster(), app.hub.cluster_counts()) else {
        return String::new();
    };
    let connected = (state.state == "connected").into();
    [
        gauge("nats_connected", "Whether this daemon is in step with the bucket of the cluster.", connected),
        gauge("daemons", "Daemons of the cluster.", state.daemons.len() as u64),
        counter("nats_losses_total", "How often NATS was lost.", losses),
        counter("nats_races_total", "Writes that were tried again because another daemon was faster.", races),
        counter("nats_sent_bytes_total", "Bytes sent to NATS.", sent),
        counter("nats_received_bytes_total", "Bytes received from NATS.", received),
    ]
    .concat()
}

/// Where no channels are declared there can be none of it, as there is nothing of a store without
/// one.
#[rustfmt::skip]
fn rooms(app: &App) -> String {
    let (hub, counts) = (&app.hub, app.hub.counts());
    if hub.channels().is_empty() {
        return String::new();
    }
    let rooms = hub.rooms();
    let people: usize = rooms.iter().map(|room| room.people()).sum();
    let rows: usize = rooms.iter().flat_map(|room| room.row_counts()).sum();
    [
        gauge("rooms", "Rooms that somebody uses or that have rows.", rooms.len() as u64),
        gauge("people", "Connected people of all rooms.", people as u64),
        gauge("rows", "Rows of all rooms, without deleted ones.", rows as u64),
        gauge("rows_bytes", "Roughly what they take in memory, and deleted ones that are still known.", hub.rows_size() as u64),
        counter("actions_total", "Actions in rooms that were done, and what rooms' hosts wrote unasked.", counts.actions()),
        counter("refused_actions_total", "Actions in rooms that were refused.", counts.refused_actions()),
    ]
    .concat()
}

/// Where nothing is relayed there can be none of it.
#[rustfmt::skip]
fn relays(app: &App) -> String {
    let relays = app.hub.relays();
    if relays.is_empty() {
        return String::new();
    }
    let lost = relays.iter().filter(|(_, relay)| relay.lost.is_some()).count();
    let connections = relays.iter().map(|(_, relay)| relay.connections).sum();
    [
        gauge("relays", "Topics that are relayed from another daemon.", relays.len() as u64),
        gauge("relays_lost", "Those whose upstream is lost.", lost as u64),
        counter("relay_connections_total", "Connections to upstreams that were made; more than relays: made again.", connections),
    ]
    .concat()
}

fn gauge(name: &str, help: &str, value: u64) -> String {
    metric("gauge", name, help, &format!("onlooker_{name} {value}\n"))
}

fn counter(name: &str, help: &str, value: u64) -> String {
    metric("counter", name, help, &format!("onlooker_{name} {value}\n"))
}

fn by_reason(name: &str, help: &str, values: &[(&str, u64)]) -> String {
    let line =
        |(reason, value): &(&str, u64)| format!("onlooker_{name}{{reason=\"{reason}\"}} {value}\n");
    let lines: String = values.iter().map(line).collect();
    metric("counter", name, help, &lines)
}

fn metric(kind: &str, name: &str, help: &str, lines: &str) -> String {
    format!("# HELP onlooker_{name} {help}\n# TYPE onlooker_{name} {kind}\n{lines}")
}
