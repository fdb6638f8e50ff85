//! What each row of the table needs, asked from elsewhere and from this machine.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use axum::body::Body;
use hyper::Method;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::access::{AccessOptions, HostToken, Token};
use crate::http::live::{Current, Found, Live};
use crate::http::options::{LinkOptions, Page};
use crate::http::peer::{Counted, Peer};
use crate::http::pending::Pending;
use crate::hub::{Hub, HubOptions};
use crate::viewer::Viewers;

const HERE: &str = "127.0.0.1:5000";
const THERE: &str = "192.168.1.9:5000";

fn app() -> Arc<App> {
    let access = AccessOptions {
        host_token: HostToken::Given(Token::new("write")),
        viewer_token: Some(Token::new("watch")),
        ..Default::default()
    };
    let (names, addresses, tls) = (Vec::new(), Vec::new(), None);
    let found = Found {
        names,
        addresses,
        tls,
    };
    let local = "127.0.0.1:9876".parse().unwrap();
    let live = Live::new((&access, &LinkOptions::default()), local, found).unwrap();
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let hub = Hub::new(&HubOptions::default(), None, tasks.clone(), stop.clone());
    Arc::new(App {
        viewers: Viewers::start(&hub, &tasks, &stop),
        live: Current::new(live),
        hub,
        page: Page::Viewer,
        local,
        tasks,
        stop,
        reports: None,
        addresses: Arc::default(),
    })
}

fn peer(address: &str) -> Arc<Peer> {
    let address: SocketAddr = address.parse().unwrap();
    let counts = Arc::new(Mutex::new(BTreeMap::new()));
    let (counted, _) = Counted::new(&counts, address.ip());
    Peer::new(address, Pending::new(8).slot(address.ip()), counted)
}

/// What a request without a body is answered.
async fn ask(app: &Arc<App>, line: (&str, &str), token: &str, from: &str) -> Response {
    let (method, path) = line;
    let request = Request::builder()
        .method(method.trim_end_matches('+'))
        .uri(format!("{path}?token={token}"))
        .header("host", "localhost")
        .extension(peer(from));
    let request = match method.strip_suffix('+') {
        Some(_) => request.header("upgrade", "websocket"),
        None => request,
    };
    let request = request.body(Body::empty()).unwrap();
    Routes::new(app).answer(request).await
}

/// Whether it gets to the function that answers.
async fn passes(app: &Arc<App>, line: (&str, &str), token: &str, from: &str) -> bool {
    ask(app, line, token, from).await.status() != StatusCode::UNAUTHORIZED
}

/// `GET+` is an upgrade.
#[tokio::test]
async fn each_row_asks_for_its_pass() {
    let app = app();
    let topic = "/api/topics/main";
    let rows = [
        (Nothing, ("GET", "/")),
        (Nothing, ("GET", "/host")),
        (Nothing, ("GET", "/check")),
        (Host, ("POST", "/check")),
        (Nothing, ("HEAD", "/healthz")),
        (Nothing, ("GET", "/nothing")),
        (Viewer, ("GET+", "/")),
        (Viewer, ("GET+", "/sync")),
        (Viewer, ("GET", "/sync")),
        (Viewer, ("GET", "/qr.svg")),
        (Viewer, ("GET", topic)),
        (Viewer, ("GET", "/api/topics/main/config/speed")),
        (Viewer, ("GET", "/api/nothing")),
        (Host, ("GET+", "/host")),
        (Host, ("GET+", "/api/viewers")),
        (Host, ("POST+", "/")),
        (Host, ("POST", "/")),
        (Host, ("PUT", topic)),
        (Host, ("PATCH", topic)),
        (Host, ("DELETE", topic)),
        (Host, ("PUT", "/api/topics/main/config/speed")),
        (Host, ("GET", "/api/viewers")),
        (Host, ("DELETE", "/api/viewers/1")),
        (Host, ("GET", "/api/viewers/1")),
        (Host, ("POST", "/nothing")),
        (Host, ("POST", "/healthz")),
    ];
    for (need, line) in rows {
        for from in [HERE, THERE] {
            assert!(passes(&app, line, "write", from).await, "{line:?}");
            let watching = passes(&app, line, "watch", from).await;
            assert_eq!(watching, need != Host, "{line:?} with the viewer token");
            let without = passes(&app, line, "", from).await;
            assert_eq!(without, need == Nothing, "{line:?} without a token");
        }
    }
}

#[tokio::test]
async fn whoever_probes_from_elsewhere_has_to_be_allowed_to_watch() {
    let app = app();
    for path in ["/readyz", "/metrics"] {
        let probe = ("GET", path);
        assert!(!passes(&app, probe, "old", THERE).await, "{path}");
        assert!(passes(&app, probe, "watch", THERE).await, "{path}");
        assert!(passes(&app, probe, "old", HERE).await, "{path}");
    }
}

#[tokio::test]
async fn only_405_names_the_methods_of_a_path() {
    let app = app();
    let allow = async |method: &str, token: &str| {
        let answer = ask(&app, (method, "/api/status"), token, HERE).await;
        let allow = answer.headers().get(ALLOW).cloned();
        (answer.status().as_u16(), allow.is_some())
    };
    let head = ask(&app, ("HEAD", "/sync"), "watch", HERE).await;
    assert_eq!(head.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(head.headers()[ALLOW], "GET");
    assert_eq!(allow("PUT", "write").await, (405, true));
    assert_eq!(allow("PUT", "wrong").await, (401, false));
    assert_eq!(allow(Method::OPTIONS.as_str(), "").await, (204, false));
}
