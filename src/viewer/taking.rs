//! Whether a peer takes what it is sent, by what its socket takes and what it has acknowledged,
//! which the kernel is asked: the kernel takes far more from us at once than a narrow link carries
//! in many seconds, and then nothing for as long, though the peer takes all that it can.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

/// How often the kernel is asked in the time during which a peer may take nothing.
pub const LOOKS: u32 = 4;

/// Since when a peer has taken nothing of what it is being sent.
pub struct Taking {
    /// How many bytes its socket had taken at the last look.
    pub sent: u64,
    /// When it last took any, as far as anybody has looked.
    pub since: Instant,
    /// When the kernel was last asked what the peer has acknowledged.
    asked: Instant,
    /// How many bytes it had not acknowledged then.
    pub left: Option<u32>,
}

impl Taking {
    /// Begins at a time when so many bytes had been taken.
    pub fn new(now: Instant, sent: u64) -> Taking {
        Taking {
            sent,
            since: now,
            asked: now,
            left: None,
        }
    }

    /// Whether anything was taken since the last look. `left` tells how many bytes are not
    /// acknowledged; it is asked only a few times within `stall`.
    pub fn look(
        &mut self,
        now: Instant,
        sent: u64,
        stall: Duration,
        left: impl FnOnce() -> Option<u32>,
    ) -> bool {
        if sent != self.sent {
            *self = Taking::new(now, sent);
            return true;
        }
        if now - self.asked < stall / LOOKS {
            return false;
        }
        self.asked = now;
        let first = self.left.is_none();
        let less = self.acknowledged(left());
        if less || (first && self.left.is_some()) {
            self.since = now;
        }
        less
    }

    /// Whether less is left than the last time.
    pub fn acknowledged(&mut self, left: Option<u32>) -> bool {
        let before = std::mem::replace(&mut self.left, left);
        before.zip(left).is_some_and(|(before, left)| left < before)
    }
}

/// How many of the bytes that the socket was given its peer has not acknowledged. None where the
/// kernel does not tell.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub fn unacknowledged(tcp: &TcpStream) -> Option<u32> {
    use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
    let question = diag::question(tcp.local_addr().ok()?, tcp.peer_addr().ok()?);
    let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
    let protocol = Some(net::netlink::SOCK_DIAG);
    let kernel = net::socket_with(family, SocketType::RAW, flags, protocol).ok()?;
    net::send(&kernel, &question, SendFlags::empty()).ok()?;
    // The kernel answers before `send` returns.
    let mut answer = [0; 512];
    let (_, length) = net::recv(&kernel, &mut answer, RecvFlags::DONTWAIT).ok()?;
    diag::unacknowledged(answer.get(..length)?)
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub fn unacknowledged(_: &TcpStream) -> Option<u32> {
    None
}

/// Questions about one socket (sock_diag(7)).
#[cfg(any(target_os = "android", target_os = "linux"))]
mod diag {
    use std::net::{IpAddr, SocketAddr};

    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const NLM_F_REQUEST: u16 = 1;
    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    const IPPROTO_TCP: u8 = 6;
    /// `struct nlmsghdr` and `struct inet_diag_req_v2`.
    const LENGTH: u32 = 16 + 56;
    /// Where `idiag_wqueue` is in an answer.
    const QUEUE: usize = 16 + 60;

    pub fn question(ours: SocketAddr, theirs: SocketAddr) -> Vec<u8> {
        let (family, scope) = match ours {
            SocketAddr::V4(_) => (AF_INET, 0),
            SocketAddr::V6(ours) => (AF_INET6, ours.scope_id()),
        };
        let mut bytes = Vec::with_capacity(LENGTH as usize);
        bytes.extend(LENGTH.to_ne_bytes());
        bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        bytes.extend(NLM_F_REQUEST.to_ne_bytes());
        bytes.extend([0; 8]); // sequence number and port
        bytes.extend([family, IPPROTO_TCP, 0, 0]);
        bytes.extend(u32::MAX.to_ne_bytes()); // in every state
        bytes.extend(ours.port().to_be_bytes());
        bytes.extend(theirs.port().to_be_bytes());
        bytes.extend(octets(ours.ip()));
        bytes.extend(octets(theirs.ip()));
        bytes.extend(scope.to_ne_bytes());
        bytes.extend([u8::MAX; 8]); // without a cookie
        bytes
    }

    fn octets(address: IpAddr) -> [u8; 16] {
        match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            }
            IpAddr::V6(address) => address.octets(),
        }
    }

    pub fn unacknowledged(answer: &[u8]) -> Option<u32> {
        let kind = answer.get(4..6)?.try_into().ok()?;
        let queue = answer.get(QUEUE..QUEUE + 4)?.try_into().ok()?;
        (u16::from_ne_bytes(kind) == SOCK_DIAG_BY_FAMILY).then(|| u32::from_ne_bytes(queue))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_does_not_fit_the_peer_is_not_acknowledged() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        use tokio::net::TcpListener;

        for address in ["127.0.0.1", "::1", "::"] {
            let listener = TcpListener::bind((address, 0)).await.unwrap();
            // Through `::` a connection by IPv4 is served as well.
            let to = if address == "::" {
                "127.0.0.1"
            } else {
                address
            };
            let to = (to, listener.local_addr().unwrap().port());
            let mut theirs = TcpStream::connect(to).await.unwrap();
            let (mut ours, _) = listener.accept().await.unwrap();
            assert_eq!(unacknowledged(&ours), Some(0), "{address}");
            ours.writable().await.unwrap();
            let mut sent = 0;
            while let Ok(more) = ours.try_write(&[0; 65_536]) {
                sent += more;
            }
            assert!(unacknowledged(&ours) > Some(0), "{address}");
            ours.shutdown().await.unwrap();
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).await.unwrap();
            assert_eq!(all.len(), sent, "{address}");
        }
    }

    #[test]
    fn slow_is_not_stalled() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let mut taking = Taking::new(start, 0);
        // Looks once a second, and tells for how long nothing was taken.
        let mut at = |seconds: std::ops::RangeInclusive<u32>, sent, left: Option<u32>| {
            let end = start + *seconds.end() * second;
            for seconds in seconds {
                taking.look(start + seconds * second, sent, 20 * second, || left);
            }
            end - taking.since
        };
        assert_eq!(at(0..=19, 0, None), 19 * second);
        assert_eq!(at(20..=20, 1, None), Duration::ZERO, "a byte is enough");
        assert_eq!(at(21..=40, 1, None), 20 * second);
        assert_eq!(at(41..=41, 2, None), Duration::ZERO);
        assert_eq!(at(42..=61, 2, Some(65_536)), 15 * second);
        assert_eq!(at(62..=71, 2, Some(65_535)), 5 * second, "here too");
        assert_eq!(at(72..=86, 2, Some(65_535)), 20 * second);
    }
}
