//! A connection that has become a WebSocket.

use bytes::Bytes;
use hyper::upgrade::{Parts, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tracing::Span;

use super::patience::Patient;
use super::peer::Peer;
use super::tls;
use crate::viewer::{self, Wire};

/// Who is at the other end, for its shard.
pub fn line_peer(peer: &Peer, device: Box<str>) -> viewer::Peer {
    viewer::Peer {
        address: peer.address.ip(),
        device,
        span: Span::current(),
        _admission: peer.counted.clone(),
    }
}

/// The socket itself, and what arrived behind the request.
pub fn wire(upgraded: Upgraded) -> Option<(Wire, Bytes)> {
    let upgraded = match upgraded.downcast::<TokioIo<Patient<TcpStream>>>() {
        Ok(Parts { io, read_buf, .. }) => {
            return Some((Wire::Plain(io.into_inner().into_inner()), read_buf));
        }
        Err(other) => other,
    };
    tls::wire(upgraded)
}
