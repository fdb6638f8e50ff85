//! The usual recipe: a task per viewer that selects over a broadcast channel and its socket.

use std::net::Ipv4Addr;

use anyhow::Result;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

/// Serves until standard input ends.
pub fn run(port: u16) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve(port))
}

async fn serve(port: u16) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let (sender, _) = broadcast::channel::<String>(64);
    let mut lines = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                // Nobody listens: then there is nobody to tell.
                Some(line) => _ = sender.send(line),
                None => return Ok(()),
            },
            accepted = listener.accept() => if let Ok((tcp, _)) = accepted {
                tokio::spawn(viewer(tcp, sender.subscribe()));
            },
        }
    }
}

async fn viewer(tcp: TcpStream, mut messages: broadcast::Receiver<String>) {
    let Ok(mut socket) = accept_async(tcp).await else {
        return;
    };
    loop {
        tokio::select! {
            message = messages.recv() => {
                let Ok(text) = message else { return };
                if socket.send(Message::text(text)).await.is_err() {
                    return;
                }
            }
            inbound = socket.next() => if !matches!(inbound, Some(Ok(_))) {
                return;
            },
        }
    }
}
