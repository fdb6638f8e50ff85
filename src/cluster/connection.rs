//! The connection to NATS, which comes back by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::jetstream;
use async_nats::{Client, ConnectOptions, Event, Request, ServerAddr, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::watch;

use super::ended::Link;
use super::options::{ClusterOptions, NatsUrl};

/// How often the server is asked whether it is there; it is given up when two answers are missing.
const PING: Duration = Duration::from_secs(1);
/// How long a server may take to let us in.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer of JetStream may take. A new leader is found within it, most of the time.
const ANSWER: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Messages that wait to be read. What is dropped beyond them is noticed and fetched again.
const WAITING: usize = 4096;

/// The connection to a server of NATS.
pub struct Connection {
    client: Client,
    pub(super) jetstream: jetstream::Context,
    pub(super) options: ClusterOptions,
    link: watch::Receiver<Link>,
    /// How often no bucket could be made.
    pub(super) refusals: AtomicUsize,
}

/// What daemons say.
pub struct Heard(Subscriber);

impl Heard {
    /// The next thing that is said; none once the connection has been given up.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.0.next().await.map(|said| said.payload)
    }
}

/// What other daemons ask this one.
pub struct Questions(Subscriber);

/// Where an answer goes.
pub struct Asker(Subject);

impl Questions {
    /// The next question; none once the connection has been given up.
    pub async fn next(&mut self) -> Option<(Bytes, Asker)> {
        loop {
            let asked = self.0.next().await?;
            if let Some(to) = asked.reply {
                return Some((asked.payload, Asker(to)));
            }
        }
    }
}

impl Connection {
    /// Begins to connect, and goes on until there is a connection; also when it is lost.
    ///
    /// # Errors
    /// When the options cannot lead to one: a file of credentials that cannot be read.
    pub async fn start(options: ClusterOptions) -> Result<Connection, String> {
        let (said, link) = watch::channel(Link::default());
        let said = Arc::new(said);
        let mut connect = ConnectOptions::new()
            .name("onlooker")
            .retry_on_initial_connect()
            .ping_interval(PING)
            .connection_timeout(CONNECT)
            .request_timeout(Some(ANSWER))
            .subscription_capacity(WAITING)
            .reconnect_delay_callback(pause)
            .event_callback(move |event| {
                let said = said.clone();
                async move { hear(&said, &event) }
            });
        if let Some(path) = &options.credentials {
            let shown = path.display();
            let failed = |error: std::io::Error| format!("{shown}: {error} (--nats-creds)");
            let text = tokio::fs::read_to_string(path).await.map_err(failed)?;
            connect = connect.credentials(&text).map_err(failed)?;
        }
        // The client itself takes no heed of what stands in a URL; servers that it finds out about have none.
        connect = match options.servers.iter().find_map(NatsUrl::login) {
            Some((Some(user), password)) => connect.user_and_password(user, password),
            Some((None, token)) => connect.token(token),
            None => connect,
        };
        let servers = addresses(&options)?;
        let client = connect.connect(servers).await;
        let client = client.map_err(|error| format!("{error} (--nats)"))?;
        let jetstream = jetstream::context::ContextBuilder::new()
            .timeout(ANSWER)
            .ack_timeout(ANSWER)
            .build(client.clone());
        Ok(Connection {
            client,
            jetstream,
            options,
            link,
            refusals: AtomicUsize::new(0),
        })
    }

    /// How the connection is, and whenever that differs.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// Whose connection it is: the server's name and version.
    pub fn server(&self) -> Option<String> {
        let info = self.client.try_server_info()?;
        let name = match info.server_name == info.server_id {
            true => format!("{}:{}", info.host, info.port),
            false => info.server_name,
        };
        Some(format!("{name} (nats-server {})", info.version))
    }

    /// Why there is no connection, as far as that is known: which servers were tried, and the way out.
    pub fn why_not(&self) -> String {
        let servers: Vec<String> = self
            .options
            .servers
            .iter()
            .map(NatsUrl::to_string)
            .collect();
        let servers = servers.join(", ");
        let said = self.link.borrow().error.clone().unwrap_or_default();
        match said.contains("authorization") || said.contains("authentication") {
            true => format!(
                "{servers} refuses the user, the password, the token or the file of --nats-creds: {said}"
            ),
            // The client does not say what a handshake has failed at.
            false if servers.contains("tls://") => format!(
                "no server of NATS answers at {servers}, or its certificate is not trusted here: name its authority in SSL_CERT_FILE"
            ),
            false => format!("no server of NATS answers at {servers}"),
        }
    }

    /// Whether the server is one of several.
    pub(super) fn is_clustered(&self) -> bool {
        self.client
            .try_server_info()
            .is_some_and(|info| info.cluster.is_some())
    }

    /// Servers before 2.10 are refused: several of them have been seen to acknowledge two writes that
    /// expect the same number, and a single one does not make a bucket for this client.
    ///
    /// # Errors
    /// For such a server.
    pub(super) fn check_version(&self) -> Result<(), String> {
        let info = self.client.try_server_info();
        match info.is_some_and(|info| is_old(&info.version)) {
            true => Err(format!(
                "{} is too old, and can lose writes: use version 2.10 of nats-server or a later one",
                self.server().unwrap_or_default()
            )),
            false => Ok(()),
        }
    }

    /// The largest message that the server takes, in bytes.
    pub(super) fn max_payload(&self) -> usize {
        self.client.max_payload()
    }

    /// The bytes that were sent and received.
    pub fn bytes(&self) -> (u64, u64) {
        let counts = self.client.statistics();
        let sent = counts.out_bytes.load(Ordering::Relaxed);
        (sent, counts.in_bytes.load(Ordering::Relaxed))
    }

    /// Tells the other daemons something, at most once.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub async fn say(&self, about: &str, text: String) -> Result<(), String> {
        let said = self.client.publish(self.subject(about), Bytes::from(text));
        let sent = tokio::time::timeout(ANSWER, said).await;
        let sent = sent.map_err(|_| "the connection is stuck".to_owned())?;
        sent.map_err(|error| error.to_string())
    }

    /// Hears what daemons say, this one among them.
    ///
    /// # Errors
    /// When that cannot be asked for.
    pub async fn hear(&self, about: &str) -> Result<Heard, String> {
        let heard = self.client.subscribe(self.subject(about)).await;
        heard.map(Heard).map_err(|error| error.to_string())
    }

    /// Asks one of the daemons that answer questions about something, at most once. None: there is none.
    ///
    /// # Errors
    /// When no answer comes within this time.
    pub async fn ask(
        &self,
        about: &str,
        text: String,
        patience: Duration,
    ) -> Result<Option<Bytes>, String> {
        let request = Request::new().payload(text.into()).timeout(Some(patience));
        match self.client.send_request(self.subject(about), request).await {
            Ok(answer) => Ok(Some(answer.payload)),
            Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Answers questions about something, each of them or one of the others that do.
    ///
    /// # Errors
    /// When that cannot be asked for.
    pub async fn questions(&self, about: &str) -> Result<Questions, String> {
        let subject = self.subject(about);
        let asked = self.client.queue_subscribe(subject, "onlooker".to_owned());
        asked
            .await
            .map(Questions)
            .map_err(|error| error.to_string())
    }

    /// Answers a question.
    ///
    /// # Errors
    /// When the answer cannot be sent.
    pub async fn answer(&self, to: Asker, text: String) -> Result<(), String> {
        let sent = self.client.publish(to.0, text.into()).await;
        sent.map_err(|error| error.to_string())
    }

    /// Sends what waits to be sent, as far as that is possible within a moment.
    pub async fn finish(&self) {
        let _ = tokio::time::timeout(ANSWER / 4, self.client.flush()).await;
    }

    fn subject(&self, about: &str) -> String {
        format!("onlooker.{}.{about}", self.options.bucket)
    }
}

fn addresses(options: &ClusterOptions) -> Result<Vec<ServerAddr>, String> {
    let address = |url: &NatsUrl| {
        let parsed = url.to_string().parse::<ServerAddr>();
        parsed.map_err(|_| format!("{url} is not the URL of a server of NATS (--nats)"))
    };
    options.servers.iter().map(address).collect()
}

/// Whether a server's version is before 2.10.
fn is_old(version: &str) -> bool {
    let mut parts = version.split('.').map(str::parse::<u64>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < (2, 10),
        _ => false,
    }
}

fn pause(attempts: usize) -> Duration {
    let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
    Duration::from_millis(50)
        .saturating_mul(attempts)
        .min(LONGEST_PAUSE)
}

fn hear(said: &watch::Sender<Link>, event: &Event) {
    said.send_if_modified(|link| {
        match event {
            Event::Connected => {
                (link.connected, link.error) = (true, None);
                link.connects += 1;
            }
            Event::Disconnected | Event::Closed => link.connected = false,
            Event::ServerError(error) => link.error = Some(error.to_string()),
            Event::ClientError(error) => link.error = Some(error.to_string()),
            _ => return false,
        }
        true
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_are_known_by_their_version() {
        for old in ["2.9.10", "2.9.10-beta", "1.4.1"] {
            assert!(is_old(old), "{old}");
        }
        for fit in ["2.10.0", "2.15.1", "3.0.0", "next", ""] {
            assert!(!is_old(fit), "{fit}");
        }
    }
}
