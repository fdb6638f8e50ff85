//! Opening a link in this machine's browser.

use std::io;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::timeout;

use crate::access::random_token;
use crate::program::doctor::system;

/// How long a browser may take to start.
const START: Duration = Duration::from_secs(60);
/// How long it may take to ask, once it has connected.
const ASK: Duration = Duration::from_secs(2);
/// How many connections are looked at at a time: more than a browser opens.
const PEERS: usize = 64;
/// More than the head of its request has, in bytes.
const HEAD: usize = 16 * 1024;

/// Opens a link in a browser, and waits until it is known whether that worked.
///
/// # Errors
/// Says why nothing was opened.
pub async fn open(link: &str) -> Result<(), String> {
    match link.contains('#') {
        true => open_privately(link).await,
        // What runs on for so long is the browser.
        false => timeout(START, hand_over(link)).await.unwrap_or(Ok(())),
    }
}

/// Every user of this machine can read what a program was started with, and a browser keeps that as
/// long as it runs. So a link with a token is not handed over: what is handed over leads to it
/// once, and on Linux only a program of this user. Elsewhere another user who is faster than the
/// browser could still be led there, and nobody afterwards.
async fn open_privately(link: &str) -> Result<(), String> {
    let reason = |error: io::Error| error.to_string();
    let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let door = door.map_err(reason)?;
    let word = random_token().map_err(|error| error.to_string())?;
    let path = format!("/{}", word.reveal());
    let port = door.local_addr().map_err(reason)?.port();
    let url = format!("http://127.0.0.1:{port}{path}");
    let led = lead_on(&door, &path, link);
    tokio::pin!(led);
    tokio::select! {
        led = &mut led => led.map_err(reason),
        opened = hand_over(&url) => {
            opened?;
            match timeout(START, led).await {
                Ok(led) => led.map_err(reason),
                Err(_) => Err("no browser has asked for it".to_owned()),
            }
        }
    }
}

/// Leads whoever asks for this path first to the link. Browsers connect more than once and ask on
/// any of the connections, so none waits for another.
async fn lead_on(door: &TcpListener, path: &str, link: &str) -> io::Result<()> {
    let mut peers = FuturesUnordered::new();
    loop {
        tokio::select! {
            peer = door.accept(), if peers.len() < PEERS => {
                peers.push(timeout(ASK, asked(peer?.0, path)));
            }
            // What fails here fails at the other end as well, where it is seen.
            Some(asked) = peers.next() => if let Ok(Ok(Some(peer))) = asked {
                let found = format!("303 See Other\r\nLocation: {link}\r\nCache-Control: no-store");
                if let Ok(Ok(())) = timeout(ASK, answer(peer, &found)).await {
                    return Ok(());
                }
            }
        }
    }
}

/// Reads one request; returns the peer that asks for the path, and answers all others.
async fn asked(mut peer: TcpStream, path: &str) -> io::Result<Option<TcpStream>> {
    let mut head = Vec::with_capacity(1024);
    // All of it: what is left unread could make the system take the answer back.
    while head.len() < HEAD && !head.ends_with(b"\r\n\r\n") {
        if peer.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    let is_meant = head.starts_with(format!("GET {path} ").as_bytes());
    if is_meant && !is_from_another_user(&peer).await? {
        return Ok(Some(peer));
    }
    answer(peer, "404 Not Found").await.map(|()| None)
}

async fn is_from_another_user(peer: &TcpStream) -> io::Result<bool> {
    let (other, here) = (peer.peer_addr()?, peer.local_addr()?);
    // The table can be long.
    let look = move || system::is_from_another_user(other, here);
    Ok(tokio::task::spawn_blocking(look).await?)
}

/// Ends the connection with an answer that begins like this.
async fn answer(mut peer: TcpStream, first: &str) -> io::Result<()> {
    let answer = format!("HTTP/1.1 {first}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    peer.write_all(answer.as_bytes()).await?;
    peer.shutdown().await
}

/// Starts what the system has for links; some of these end only with the browser.
async fn hand_over(link: &str) -> Result<(), String> {
    if !has_desktop() {
        return Err("there is no desktop here".to_owned());
    }
    let mut reason = "no browser was found".to_owned();
    for command in open::commands(link) {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut command = Command::from(command);
        // Nothing of it may reach our terminal: neither what it says nor, to it, a Ctrl-C.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        #[cfg(unix)]
        command.process_group(0);
        match command.status().await {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => reason = format!("{program}: {status}"),
            Err(_) => {}
        }
    }
    Err(reason)
}

/// Whether a browser has a place to appear. Without one, some openers start a browser for
/// terminals, in ours.
fn has_desktop() -> bool {
    const SIGNS: [&str; 4] = ["DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "BROWSER"];
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(any(windows, target_os = "macos")) || SIGNS.iter().any(is_set)
}
