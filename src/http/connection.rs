//! Accepting connections, and serving one of them until it ends or becomes a WebSocket.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};
use tracing::{Instrument, Span, field::Empty};

use super::app::App;
use super::patience::Patient;
use super::peer::{Counted, Peer};
use super::pending::Pending;
use super::routes::Routes;
use crate::hub::notices::Reason;
use crate::viewer::unacknowledged;

/// How long to wait at the file limit before trying again.
const FILE_LIMIT_PAUSE: Duration = Duration::from_millis(100);

/// After this long without an error, the next one is worth a line again.
const FILE_LIMIT_OVER: Duration = Duration::from_secs(10);

/// How long a request that is being answered may delay a stopping daemon.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Accepts until the daemon stops. At the file limit it says so once, waits, and goes on.
pub async fn serve(app: Arc<App>, listener: TcpListener) {
    let door = Door {
        pending: Pending::new(app.hub.limits().unauthenticated),
        routes: Routes::new(&app),
        app: app.clone(),
    };
    let mut failed: Option<Instant> = None;
    while let Some(accepted) = app.stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((tcp, address)) => door.enter(tcp, address),
            Err(error) if is_peers_fault(&error) => {}
            Err(error) => {
                if failed.is_none_or(|at| at.elapsed() > FILE_LIMIT_OVER) {
                    tracing::error!(%error, "no more connections can be accepted for now: raise the open-file limit (ulimit -n)");
                }
                tokio::time::sleep(FILE_LIMIT_PAUSE).await;
                failed = Some(Instant::now());
            }
        }
    }
}

struct Door {
    app: Arc<App>,
    pending: Arc<Pending>,
    routes: Routes,
}

impl Door {
    /// Serves a connection, unless its address has too many that have shown what they may do.
    fn enter(&self, tcp: TcpStream, address: SocketAddr) {
        let (app, from) = (self.app.clone(), address.ip().to_canonical());
        let (counted, count) = Counted::new(&app.addresses, from);
        if count > app.hub.limits().per_address && !self.pending.evict(address.ip()) {
            return refused(&app, Reason::Address, from);
        }
        let slot = self.pending.slot(address.ip());
        let evicted = slot.evicted.clone();
        let span = span(slot.number, address);
        let peer = Peer::new(address, slot, counted);
        let served = connection(app.clone(), self.routes.clone(), tcp, peer);
        let serve = async move {
            if evicted.run_until_cancelled(served).await.is_none() {
                refused(&app, Reason::Pending, from);
            }
        };
        self.app.tasks.spawn(serve.instrument(span));
    }
}

/// All lines about one connection carry it, once somebody asks for such detail (`-v`). A
/// WebSocket adds its topic and device.
fn span(id: u64, peer: SocketAddr) -> Span {
    tracing::debug_span!("connection", id, %peer, topic = Empty, device = Empty)
}

/// Counts and logs a connection that is closed before a route has answered.
fn refused(app: &App, reason: Reason, address: IpAddr) {
    if app.hub.notices().refused(reason, address) {
        let why = match reason {
            Reason::Address => "its address has too many (--max-per-address)",
            Reason::Pending => "it made room for a newer one before it had shown anything",
            _ => "what came is not HTTP/1.1",
        };
        let reason = reason.label();
        tracing::info!(%address, %reason, "connection refused: {why}");
    }
}

fn is_peers_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

async fn connection(app: Arc<App>, routes: Routes, tcp: TcpStream, peer: Arc<Peer>) {
    // Small frames must not wait for the acknowledgement of earlier ones.
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    bound_kernel_queue(&tcp, app.hub.flow().ping);
    let tcp = Patient::new(tcp, app.hub.limits().stall_timeout, unacknowledged);
    match app.live.get().tls.clone() {
        None => requests(app, routes, peer, tcp).await,
        // Boxed, so that it does not make every plain connection larger.
        Some(tls) => {
            let serve = async {
                let shaken = timeout(app.hub.limits().head_timeout, tls.accept(tcp)).await;
                if let Ok(Ok(stream)) = shaken {
                    requests(app.clone(), routes, peer, stream).await;
                }
            };
            Box::pin(serve).await;
        }
    }
}

/// The kernel takes more only while it holds less than this that has not been sent, in bytes. It
/// then takes whatever it is given at once, which may be far more, so this is small.
const UNSENT: u32 = 2 * 1024;

/// Keeps the queue in the kernel short: what waits there cannot be merged with what is newer, and
/// hides whether the peer is still reading. Where this cannot be set, both work less well.
///
/// The kernel is also told to end a connection whose peer has acknowledged nothing for as long as
/// a silent viewer is tolerated.
fn bound_kernel_queue(tcp: &TcpStream, ping: Duration) {
    let silent = 2 * ping + Duration::from_secs(5);
    #[cfg(any(target_os = "android", target_os = "linux"))]
    {
        let socket = socket2::SockRef::from(tcp);
        let _ = socket.set_tcp_notsent_lowat(UNSENT);
        let _ = socket.set_tcp_user_timeout(Some(silent));
    }
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    let _ = (tcp, silent, UNSENT);
}

/// Serves requests until the connection ends, is upgraded, or the daemon stops.
async fn requests<S>(app: Arc<App>, routes: Routes, peer: Arc<Peer>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ip = peer.ip();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let answer = routes.clone().answer(request.map(Body::new));
        async { Ok::<_, Infallible>(answer.await) }
    });
    let limits = app.hub.limits();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.header.max(8 * 1024))
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // Any other end of a stranger's connection is not worth a line.
        ended = connection.as_mut() => if ended.is_err_and(|error| error.is_parse()) {
            refused(&app, Reason::Malformed, ip);
        },
        () = app.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(STOP_TIMEOUT, connection).await;
        }
    }
}
