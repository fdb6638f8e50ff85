//! A stream whose peer may be slow, as long as it reads some of what it is sent.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::viewer::{LOOKS, Taking};

/// A stream that fails once its peer has taken nothing for as long as `limit` although something
/// waits to be written. Without that, it may be idle.
pub struct Patient<S> {
    stream: S,
    limit: Duration,
    left: fn(&S) -> Option<u32>,
    /// While the stream takes nothing: since when, and when to look again.
    stalled: Option<Box<(Taking, Pin<Box<Sleep>>)>>,
}

impl<S> Patient<S> {
    /// A stream whose peer may take nothing for `limit`. `left` returns how many bytes the peer
    /// has not acknowledged yet, if the system can tell.
    pub fn new(stream: S, limit: Duration, left: fn(&S) -> Option<u32>) -> Patient<S> {
        Patient {
            stream,
            limit,
            left,
            stalled: None,
        }
    }

    pub fn into_inner(self) -> S {
        self.stream
    }

    fn judge(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let every = self.limit / LOOKS;
        let (taking, look) = &mut **self.stalled.get_or_insert_with(|| {
            let taking = Taking::new(Instant::now(), 0);
            Box::new((taking, Box::pin(sleep(every))))
        });
        while look.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            taking.look(now, 0, self.limit, || (self.left)(&self.stream));
            if now - taking.since >= self.limit {
                return Poll::Ready(Err(ErrorKind::TimedOut.into()));
            }
            look.as_mut().reset(now + every);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_stays_and_a_stalled_one_does_not() {
        let (ours, mut theirs) = duplex(8);
        let mut ours = Patient::new(ours, LIMIT, |_| None);
        let takes_little = async {
            for _ in 0..64 {
                sleep(LIMIT - Duration::from_secs(1)).await;
                theirs.read_exact(&mut [0]).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(ours.write_all(&[0; 64]), takes_little);
        written.unwrap();
        sleep(2 * LIMIT).await;
        let written = ours.write_all(&[0; 64]).await;
        assert_eq!(written.unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
