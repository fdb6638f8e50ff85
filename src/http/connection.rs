//! Accepting connections, and serving one of them until it ends or becomes a WebSocket.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::app::App;
use super::gate::Gate;
use super::patience::Patient;
use super::pending::{Pending, Place};
use crate::access::Pass;
use crate::hub::notices::Reason;
use crate::viewer::unacknowledged;

/// How long to wait at the file limit before trying again.
const FILE_LIMIT_PAUSE: Duration = Duration::from_millis(100);

/// After so long without an error a new one is news.
const FILE_LIMIT_OVER: Duration = Duration::from_secs(10);

/// How long a request that is being answered may keep a stopping daemon.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// What the requests of one connection share.
pub struct Peer {
    /// Where it comes from.
    pub address: SocketAddr,
    /// Given back with the first request that is let in.
    place: Mutex<Option<Place>>,
    /// Its place in the count of its address; a viewer takes it along.
    pub counted: Arc<Counted>,
}

impl Peer {
    /// Its address as people know it.
    pub fn address(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }

    /// The connection has shown what it may do.
    pub fn settle(&self, pass: &Pass) {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = place.take()
            && pass.host.is_some()
        {
            place.know_host();
        }
    }
}

/// One of the connections of an address, until it is dropped.
pub struct Counted(Arc<Mutex<BTreeMap<IpAddr, usize>>>, IpAddr);

impl Counted {
    fn new(addresses: &Arc<Mutex<BTreeMap<IpAddr, usize>>>, address: IpAddr) -> (Counted, usize) {
        let mut counts = addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        *count += 1;
        (Counted(addresses.clone(), address), *count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

/// Accepts until the daemon stops. At the file limit it waits, says so once, and goes on.
pub async fn serve(app: Arc<App>, listener: TcpListener) {
    let door = Door {
        pending: Pending::new(app.hub.limits().unauthenticated),
        gate: Arc::new(Gate::new(app.clone())),
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

/// What newcomers pass.
struct Door {
    pending: Arc<Pending>,
    gate: Arc<Gate>,
}

impl Door {
    /// Serves a connection, unless its address has too many that have shown what they may do.
    fn enter(&self, tcp: TcpStream, address: SocketAddr) {
        let app = &self.gate.app;
        let from = address.ip().to_canonical();
        let (counted, count) = Counted::new(&app.addresses, from);
        if count > app.hub.limits().per_address && !self.pending.evict(address.ip()) {
            return refused(app, Reason::Address, from);
        }
        let place = self.pending.place(address.ip());
        let evicted = place.evicted.clone();
        let peer = Arc::new(Peer {
            address,
            place: Mutex::new(Some(place)),
            counted: Arc::new(counted),
        });
        let (app, served) = (app.clone(), connection(self.gate.clone(), tcp, peer));
        self.gate.app.tasks.spawn(async move {
            if evicted.run_until_cancelled(served).await.is_none() {
                refused(&app, Reason::Pending, from);
            }
        });
    }
}

/// A connection that gets no answer, or none of ours.
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

async fn connection(gate: Arc<Gate>, tcp: TcpStream, peer: Arc<Peer>) {
    // Small frames must not wait for the acknowledgement of earlier ones.
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    let app = gate.app.clone();
    bound_kernel_queue(&tcp, app.hub.flow().ping);
    let tcp = Patient::new(tcp, app.hub.limits().stall_timeout, unacknowledged);
    match app.live.get().tls.clone() {
        None => requests(gate, peer, tcp).await,
        // Apart, so that it does not make every plain connection larger.
        Some(tls) => {
            let serve = async {
                let shaken = timeout(app.hub.limits().head_timeout, tls.acceptor.accept(tcp)).await;
                if let Ok(Ok(stream)) = shaken {
                    requests(gate, peer, stream).await;
                }
            };
            Box::pin(serve).await;
        }
    }
}

/// How much the kernel may hold that has not begun to leave, in bytes, for it to take more: then
/// it takes what it is given at once, which may be far more. So this is small.
const UNSENT: u32 = 2 * 1024;

/// What waits in the kernel can neither be merged with what is newer, nor is it seen whether
/// the peer takes it. Where this cannot be set, both are only less good.
///
/// The kernel ends a connection whose peer has acknowledged nothing for as long as a silent one
/// is waited for.
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
async fn requests<S>(gate: Arc<Gate>, peer: Arc<Peer>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (app, address) = (gate.app.clone(), peer.address());
    let service = service_fn(move |request| {
        let (gate, peer) = (gate.clone(), peer.clone());
        async move { Ok::<_, Infallible>(gate.answer(&peer, request).await) }
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
        // How else a stranger's connection ends is no news.
        ended = connection.as_mut() => if ended.is_err_and(|error| error.is_parse()) {
            refused(&app, Reason::Malformed, address);
        },
        () = app.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(STOP_TIMEOUT, connection).await;
        }
    }
}
