//! The running daemon, as the other commands reach it.

use std::time::Duration;

use clap::ArgMatches;
use http_body_util::{BodyExt, Empty};
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::Response;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tokio_util::either::Either;

use super::{Failure, arguments, pin, runtime_dir};
use crate::access::Token;
use crate::discovery::address;
use crate::options::HostToken;
use crate::program::config::{Loaded, ViewerToken};

/// How long the daemon may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to it, plain or not.
type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// A socket to it.
pub type Socket = WebSocketStream<Stream>;

/// Where it is, and what is shown to it.
pub struct Daemon {
    /// Host and port.
    authority: String,
    token: Option<Token>,
    tls: Option<TlsConnector>,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum Refusal {
    /// Nobody answers, or not now: trying again may help.
    Absent(String),
    /// It says no.
    Denied(String),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        let (Refusal::Absent(text) | Refusal::Denied(text)) = refusal;
        Failure::new(text)
    }
}

impl Daemon {
    /// The one on this machine, with what may write to it.
    ///
    /// # Errors
    /// The token is kept where others could have put it.
    pub fn to_write(loaded: &Loaded, matches: &ArgMatches) -> Result<Daemon, Failure> {
        let given = match &loaded.settings.options.access.host_token {
            HostToken::Given(token) => Some(token.clone()),
            _ => None,
        };
        Daemon::here(loaded, matches, given)
    }

    /// The one on this machine, with what may watch it.
    ///
    /// # Errors
    /// The token is kept where others could have put it.
    pub fn to_watch(loaded: &Loaded, matches: &ArgMatches) -> Result<Daemon, Failure> {
        let given = match &loaded.settings.viewer_token {
            ViewerToken::Given(token) => Some(token.clone()),
            _ => None,
        };
        Daemon::here(loaded, matches, given)
    }

    fn here(
        loaded: &Loaded,
        matches: &ArgMatches,
        configured: Option<Token>,
    ) -> Result<Daemon, Failure> {
        let options = &loaded.settings.options;
        let host = address::url_host(address::from_here(options.bind));
        let token = arguments::text(matches, "token").map(Token::new);
        let token = match token.or(configured) {
            Some(token) => Some(token),
            None => kept_token(options.port)?,
        };
        let tls = options
            .tls
            .as_ref()
            .map(|files| pin::connector(&files.cert));
        Ok(Daemon {
            authority: format!("{host}:{}", options.port),
            token,
            tls: tls.transpose().map_err(Failure::new)?,
        })
    }

    /// One anywhere.
    pub fn at(authority: String, token: Option<Token>) -> Daemon {
        Daemon {
            authority,
            token,
            tls: None,
        }
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Opens a socket at a path.
    ///
    /// # Errors
    /// Nobody answers, or says no.
    pub async fn socket(&self, path: &str) -> Result<Socket, Refusal> {
        let url = format!("ws://{}{path}", self.authority);
        let wrong = |error: Error| Refusal::Denied(format!("{url}: {error}"));
        let mut request = url.as_str().into_client_request().map_err(wrong)?;
        if let Some(value) = self.authorization().and_then(|text| text.parse().ok()) {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let tcp = self.connect().await?;
        // What the daemon accepts as a session it may send: its limits are not ours.
        let config = WebSocketConfig::default()
            .max_message_size(None)
            .max_frame_size(None);
        let upgrade = client_async_with_config(request, tcp, Some(config));
        match tokio::time::timeout(TIMEOUT, upgrade).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(Error::Http(response))) => Err(refused(&response)),
            Ok(Err(error)) => Err(self.garbled(&error)),
            Err(_) => Err(self.absent("no answer in time")),
        }
    }

    /// Fetches a path: the status and the body.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn get(&self, path: &str) -> Result<(StatusCode, Bytes), Refusal> {
        let exchange = async {
            let stream = TokioIo::new(self.connect().await?);
            let failed = |error: hyper::Error| self.garbled(&error);
            let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
                .await
                .map_err(failed)?;
            let answer = async {
                let response = sender
                    .send_request(self.request(path)?)
                    .await
                    .map_err(failed)?;
                let status = response.status();
                let body = response.into_body().collect().await.map_err(failed)?;
                Ok((status, body.to_bytes()))
            };
            tokio::pin!(connection);
            tokio::pin!(answer);
            tokio::select! {
                answer = &mut answer => answer,
                _ = &mut connection => answer.await,
            }
        };
        tokio::time::timeout(TIMEOUT, exchange)
            .await
            .unwrap_or_else(|_| Err(self.absent("no answer in time")))
    }

    fn request(&self, path: &str) -> Result<Request<Empty<Bytes>>, Refusal> {
        let mut request = Request::get(path).header(HOST, &self.authority);
        if let Some(value) = self.authorization() {
            request = request.header(AUTHORIZATION, value);
        }
        let wrong = |error| Refusal::Denied(format!("{path}: {error}"));
        request.body(Empty::new()).map_err(wrong)
    }

    fn authorization(&self) -> Option<String> {
        let bearer = |token: &Token| format!("Bearer {}", token.reveal());
        self.token.as_ref().map(bearer)
    }

    async fn connect(&self) -> Result<Stream, Refusal> {
        match tokio::time::timeout(TIMEOUT, self.connect_slowly()).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(self.absent(&error.to_string())),
            Err(_) => Err(self.absent("no answer in time")),
        }
    }

    async fn connect_slowly(&self) -> std::io::Result<Stream> {
        let tcp = TcpStream::connect(&self.authority).await?;
        // A frame is small and must not wait; without it, it is only slower.
        let _ = tcp.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return Ok(Either::Left(tcp));
        };
        let name = ServerName::IpAddress(tcp.peer_addr()?.ip().into());
        Ok(Either::Right(tls.connect(name, tcp).await?))
    }

    /// Somebody answers, in another language.
    fn garbled(&self, reason: &dyn std::fmt::Display) -> Refusal {
        Refusal::Absent(format!(
            "what answers at {} does not speak as onlooker does: {reason}; if it was given tls_cert, this command needs the same configuration (--config)",
            self.authority
        ))
    }

    fn absent(&self, reason: &str) -> Refusal {
        Refusal::Absent(format!(
            "no onlooker answers at {}: {reason}; start one with `onlooker serve`, or name its port with --port",
            self.authority
        ))
    }
}

/// The host token of the daemon on a port of this machine.
pub fn kept_token(port: u16) -> Result<Option<Token>, Failure> {
    runtime_dir::find(port).map_err(|error| Failure::new(format!("the kept token: {error}")))
}

/// What a refused upgrade says.
fn refused(response: &Response<Option<Vec<u8>>>) -> Refusal {
    let status = response.status();
    let body = response.body().as_deref().unwrap_or_default();
    let text = told(status.as_u16(), body);
    // Full, or too many wrong tokens: it may pass.
    match status.as_u16() {
        429 | 503 => Refusal::Absent(text),
        _ => Refusal::Denied(text),
    }
}

/// A problem's detail, for a person.
pub fn told(status: u16, body: &[u8]) -> String {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    match problem["detail"].as_str() {
        Some(detail) => format!("refused ({status}): {detail}"),
        None => format!("refused ({status})"),
    }
}
