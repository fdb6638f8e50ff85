//! The running daemon, as the other commands find it and talk to it.

use std::fmt::Display;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tokio_util::either::Either;

use super::arguments::DaemonArgs;
use super::failure::Failure;
use super::{pin, runtime_dir};
use crate::access::Token;
use crate::discovery::address;
use crate::options::{AccessOptions, HostToken, Options};
use crate::program::config::{Loaded, Place};

/// More than any answer of a daemon, in bytes: another program may have the port.
const LONGEST_ANSWER: usize = 64 * 1024 * 1024;
/// How long the daemon may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

type Stream = Either<TcpStream, TlsStream<TcpStream>>;

pub type Socket = WebSocketStream<Stream>;

/// Where it is, and what is shown to it.
pub struct Daemon {
    authority: String,
    token: Option<Token>,
    tls: Option<TlsConnector>,
    /// Whether it is one of this machine: there may be others.
    is_here: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Refusal {
    /// Nobody answers, or not now: trying again may help.
    Absent(String),
    Denied(String),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        let (Refusal::Absent(text) | Refusal::Denied(text)) = refusal;
        Failure::new(text)
    }
}

impl Daemon {
    /// The one on this machine, with the token that may write to it.
    pub fn to_write(args: &DaemonArgs) -> Result<Daemon, Failure> {
        Daemon::here(args, |access| match &access.host_token {
            HostToken::Given(token) => Some(token.clone()),
            HostToken::Random | HostToken::LoopbackOnly => None,
        })
    }

    /// The one on this machine, with the token that may watch it.
    pub fn to_watch(args: &DaemonArgs) -> Result<Daemon, Failure> {
        Daemon::here(args, |access| access.viewer_token.clone())
    }

    fn here(
        args: &DaemonArgs,
        configured: fn(&AccessOptions) -> Option<Token>,
    ) -> Result<Daemon, Failure> {
        let loaded = args.place.load()?;
        let port = port(&loaded)?;
        let options = Options {
            port,
            ..loaded.settings.options
        };
        let typed = args.token.as_deref().map(Token::new);
        let token = typed.or_else(|| configured(&options.access));
        Daemon::with(&options, token)
    }

    /// The one on this machine that has these options, with the token that may watch it.
    pub fn of(options: &Options) -> Result<Daemon, Failure> {
        Daemon::with(options, options.access.viewer_token.clone())
    }

    /// The one that has these options; without a token, it is shown the kept one.
    fn with(options: &Options, token: Option<Token>) -> Result<Daemon, Failure> {
        let host = address::url_host(address::from_here(options.bind));
        let tls = options.tls.as_ref();
        let tls = tls.map(|files| pin::connector(&files.cert)).transpose();
        Ok(Daemon {
            authority: format!("{host}:{}", options.port),
            token: match token {
                Some(token) => Some(token),
                None => kept_token(options.port)?,
            },
            tls: tls.map_err(Failure::new)?,
            is_here: true,
        })
    }

    /// One anywhere.
    pub fn at(authority: String, token: Option<Token>) -> Daemon {
        Daemon {
            authority,
            token,
            tls: None,
            is_here: false,
        }
    }

    pub async fn socket(&self, path: &str) -> Result<Socket, Refusal> {
        let url = format!("ws://{}{path}", self.authority);
        let wrong = |error: Error| Refusal::Denied(format!("{url}: {error}"));
        let mut request = url.as_str().into_client_request().map_err(wrong)?;
        if let Some(value) = self.authorization().and_then(|text| text.parse().ok()) {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        // The daemon may send whatever it accepts as a session: its limits are not ours.
        let config = WebSocketConfig::default()
            .max_message_size(None)
            .max_frame_size(None);
        self.in_time(async {
            let stream = self.connect().await?;
            match client_async_with_config(request, stream, Some(config)).await {
                Ok((socket, _)) => Ok(socket),
                Err(Error::Http(response)) => {
                    let body = response.body().as_deref().unwrap_or_default();
                    Err(refused(response.status().as_u16(), body))
                }
                Err(error) => Err(self.garbled(&error)),
            }
        })
        .await
    }

    pub async fn get(&self, path: &str) -> Result<Bytes, Refusal> {
        let mut request = Request::get(path).header(HOST, &self.authority);
        if let Some(value) = self.authorization() {
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(Empty::<Bytes>::new());
        let request = request.map_err(|error| Refusal::Denied(format!("{path}: {error}")))?;
        self.in_time(async {
            let failed = |error: hyper::Error| self.garbled(&error);
            let stream = TokioIo::new(self.connect().await?);
            let (mut sender, connection) = http1::handshake(stream).await.map_err(failed)?;
            let answer = async {
                let response = sender.send_request(request).await.map_err(failed)?;
                let status = response.status();
                let body = Limited::new(response.into_body(), LONGEST_ANSWER);
                let body = body.collect().await;
                let body = body.map_err(|error| Refusal::Denied(format!("{path}: {error}")))?;
                match status.is_success() {
                    true => Ok(body.to_bytes()),
                    false => Err(refused(status.as_u16(), &body.to_bytes())),
                }
            };
            tokio::pin!(connection, answer);
            tokio::select! {
                answer = &mut answer => answer,
                _ = &mut connection => answer.await,
            }
        })
        .await
    }

    /// What it says of itself.
    pub async fn status(&self) -> Result<Value, Failure> {
        let body = self.get("/api/status").await?;
        serde_json::from_slice(&body).map_err(|error| {
            let authority = &self.authority;
            Failure::new(format!(
                "what answers at {authority} is not onlooker: {error}"
            ))
        })
    }

    fn authorization(&self) -> Option<String> {
        let token = self.token.as_ref()?;
        Some(format!("Bearer {}", token.reveal()))
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        let done = tokio::time::timeout(TIMEOUT, work).await;
        done.unwrap_or_else(|_| Err(self.absent(&"no answer in time")))
    }

    async fn connect(&self) -> Result<Stream, Refusal> {
        let opened = async {
            let tcp = TcpStream::connect(&self.authority).await?;
            // A frame is small and must not wait; without this it is only slower.
            let _ = tcp.set_nodelay(true);
            let Some(tls) = &self.tls else {
                return Ok(Either::Left(tcp));
            };
            let name = ServerName::IpAddress(tcp.peer_addr()?.ip().into());
            Ok(Either::Right(tls.connect(name, tcp).await?))
        };
        opened
            .await
            .map_err(|error: std::io::Error| self.absent(&error))
    }

    /// Something answers that speaks differently.
    fn garbled(&self, reason: &dyn Display) -> Refusal {
        Refusal::Absent(format!(
            "whatever is listening at {} does not speak onlooker's protocol: {reason}; if it was given tls_cert, this command needs the same configuration (--config)",
            self.authority
        ))
    }

    fn absent(&self, reason: &dyn Display) -> Refusal {
        let others = match self.is_here {
            true => elsewhere(),
            false => String::new(),
        };
        Refusal::Absent(format!(
            "no onlooker answers at {}: {reason}; start one with `onlooker serve`, or name its port with --port{others}",
            self.authority
        ))
    }
}

/// The port that is meant: the one that was named, or else the usual one, or else that of the only
/// daemon that this user runs here.
pub fn port(loaded: &Loaded) -> Result<u16, Failure> {
    let options = &loaded.settings.options;
    let usual = options.port;
    if *loaded.place("port") != Place::Default {
        return Ok(usual);
    }
    match runtime_dir::running().as_slice() {
        ports if ports.contains(&usual) => Ok(usual),
        [] => Ok(usual),
        [only] => Ok(*only),
        several => Err(Failure::new(format!(
            "onlooker runs here at the ports {}, and not at {usual}: name one of them with --port",
            listed(several)
        ))),
    }
}

/// `9876, 9877 and 9878`.
fn listed(ports: &[u16]) -> String {
    let texts: Vec<String> = ports.iter().map(u16::to_string).collect();
    match texts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

/// What to say where no daemon answers: the ports of those that run.
pub fn elsewhere() -> String {
    match runtime_dir::running().as_slice() {
        [] => String::new(),
        ports => format!(" (one runs at port {})", listed(ports)),
    }
}

/// The host token of the daemon on a port of this machine.
pub fn kept_token(port: u16) -> Result<Option<Token>, Failure> {
    runtime_dir::find(port).map_err(|error| Failure::new(format!("the kept token: {error}")))
}

/// A problem (RFC 9457), for a person.
fn refused(status: u16, body: &[u8]) -> Refusal {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = match problem["detail"].as_str() {
        Some(detail) => format!("refused ({status}): {detail}"),
        None => format!("refused ({status})"),
    };
    // It is full, or there were too many wrong tokens: that may pass.
    match status {
        429 | 503 => Refusal::Absent(text),
        _ => Refusal::Denied(text),
    }
}
