//! The library's face: a daemon inside any program.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Token;
use crate::cluster::{ClusterOptions, Connection};
use crate::discovery::address::{self, AddressError};
use crate::http::tls::Certificate;
use crate::http::{self, App, Current, Found, Live, Reported, Reports};
pub use crate::http::{Links, RelayStatus, Reloaded, Status, TopicStatus};
use crate::hub::cluster::Cluster;
use crate::hub::{Hub, Receipt, WriteError, WriteOptions};
use crate::options::{Invalid, Options, Page, Source};
use crate::source;
use crate::source::{demo, input};
use crate::state::json::{Json, JsonError};
use crate::state::name::{NameError, TopicName};
use crate::state::session::{Session, ShapeError};
use crate::state::topic::Change;
use crate::store::{Kept, Store, StoreError};
use crate::viewer::{ViewerInfo, Viewers};
use crate::wire::{self, MessageError};

/// Connections that wait to be accepted: a room full of phones that come back at once.
const BACKLOG: u32 = 4096;
/// How long stopping may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A running daemon. Dropping it stops it without waiting; [`Server::stop`] waits.
pub struct Server {
    app: Arc<App>,
    /// Ends the shards, once the last flush has left.
    close_viewers: CancellationToken,
    /// The flushers, which have to end before the shards.
    flushers: TaskTracker,
}

/// One topic, to be written.
#[derive(Clone)]
pub struct TopicHandle {
    hub: Hub,
    name: TopicName,
}

/// Why a daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another program has the port.
    #[error(
        "{address} is in use: stop the other program, or choose another port (0 picks a free one)"
    )]
    AddressInUse {
        /// Where we wanted to listen.
        address: SocketAddr,
    },
    /// A source is not there, or cannot be one.
    #[error("{}: {reason}", path.display())]
    InputMissing {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An option has a value it cannot have.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The certificate or its key is of no use.
    #[error("{0}")]
    Certificate(String),
    /// The demo cannot be shown, by other options.
    #[error("the demo cannot be shown: {0}")]
    Demo(SetError),
    /// The store cannot be used; it is left as it is.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why a session was not written.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The value is not JSON.
    #[error("the value cannot be JSON: {0}")]
    Serialize(#[from] serde_json::Error),
    /// The value is JSON that no session can hold.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The value looks like a session and is none.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The fields are no object.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The topic refused it.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Server {
    /// Listens, starts the sources, and serves until [`Server::stop`].
    ///
    /// # Errors
    /// Says what is in the way and how to get around it.
    pub async fn start(options: Options) -> Result<Server, StartError> {
        Server::start_for(options, None).await
    }

    /// The same, for a program that wants to know what phones find out at `/check`. A receiver that
    /// does not keep up misses some of it.
    pub(crate) async fn start_for(
        mut options: Options,
        reports: Option<mpsc::Sender<Reported>>,
    ) -> Result<Server, StartError> {
        check(&options).await?;
        if options.page == Page::Demo {
            options.fields.get_or_insert_with(demo::fields);
        }
        let listener = listen(SocketAddr::new(options.bind, options.port))?;
        let local = listener.local_addr();
        let local = local.map_err(io_error("reading the port"))?;
        let (flushers, close_viewers) = (TaskTracker::new(), CancellationToken::new());
        let reports = reports.map(Reports::new);
        let app = build(&options, local, reports, (&flushers, &close_viewers)).await?;
        app.tasks.spawn(http::serve(app.clone(), listener));
        app.tasks.spawn(http::renew_certificate(app.clone()));
        app.tasks.spawn(http::disconnect_for_others(app.clone()));
        let server = Server {
            app,
            close_viewers,
            flushers,
        };
        server.start_sources(&options).await?;
        Ok(server)
    }

    async fn start_sources(&self, options: &Options) -> Result<(), StartError> {
        if options.page == Page::Demo {
            let topic = self.handle(options.topic.clone());
            let shown = topic.set(&demo::session()).await;
            shown.map_err(StartError::Demo)?;
        }
        for (source, topic) in options.sources_with_topics() {
            let (hub, stop) = (self.app.hub.clone(), self.app.stop.clone());
            match source {
                Source::File(path) => self
                    .app
                    .tasks
                    .spawn(source::file::run(path, hub, topic, stop)),
                Source::Stdin => self.app.tasks.spawn(source::stdin::run(hub, topic, stop)),
                Source::Relay(upstream) => self
                    .app
                    .tasks
                    .spawn(source::relay::run(upstream, hub, topic, stop)),
            };
        }
        Ok(())
    }

    /// Where the daemon listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.app.local
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.app.local.port()
    }

    /// What writers show; none when writers on this machine need nothing.
    pub fn host_token(&self) -> Option<Token> {
        self.app.live.get().access.host_token.clone()
    }

    /// Where people and programs find it.
    pub fn links(&self) -> Links {
        self.app.live.get().links.clone()
    }

    /// The daemon's state at a glance.
    pub fn status(&self) -> Status {
        self.app.status()
    }

    /// Is marked whenever [`Server::status`] may tell something else.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.app.hub.changes()
    }

    /// A topic to write; it need not exist yet.
    ///
    /// # Errors
    /// When the name cannot be a topic's.
    pub fn topic(&self, name: &str) -> Result<TopicHandle, NameError> {
        Ok(self.handle(name.parse()?))
    }

    fn handle(&self, name: TopicName) -> TopicHandle {
        let hub = self.app.hub.clone();
        TopicHandle { hub, name }
    }

    /// Sends a text to every viewer of the default topic, verbatim. Tells to how many: to none
    /// when the texts before it are still on their way.
    pub fn broadcast(&self, text: impl Into<String>) -> usize {
        let hub = &self.app.hub;
        hub.topic(hub.default_topic())
            .map_or(0, |entry| hub.try_broadcast(&entry, text.into()))
    }

    /// Everybody who watches, those connected the longest first.
    pub async fn viewers(&self) -> Vec<ViewerInfo> {
        self.app.viewers.list().await
    }

    /// Disconnects a viewer, which is told, also at another daemon of the cluster. Returns whether there was one with this id.
    pub async fn disconnect(&self, id: u64) -> bool {
        self.app.disconnect(id).await
    }

    /// Freezes what viewers and readers see of every topic, whatever is written, or lets go again:
    /// then they see the present state.
    pub fn freeze(&self, frozen: bool) {
        self.app.hub.freeze(frozen);
    }

    /// Whether viewers are frozen.
    pub fn is_frozen(&self) -> bool {
        self.app.hub.is_frozen()
    }

    /// Sends every topic's session to all of its viewers again. Returns how many there are.
    pub fn resend(&self) -> usize {
        self.app.resend()
    }

    /// Lets the links lead to the next of this machine's addresses, and after the last to the
    /// first. Returns them.
    pub fn next_address(&self) -> Links {
        self.app.next_address()
    }

    /// Takes over what can change meanwhile: who may connect ([`Options::access`]), the
    /// certificate and its key ([`Options::tls`]), and the address that is printed
    /// ([`Options::link`]); the other options stay as they were at the start. The files are read
    /// again, also where they are the same. [`HostToken::Random`](crate::options::HostToken::Random)
    /// keeps a token that was made.
    ///
    /// Who was let in by a token that has changed is told and closed with 1008, but no viewer
    /// where none is needed any more; so is everybody when an origin or name is allowed no more.
    /// Where a token has changed, what was counted of wrong ones is forgotten.
    ///
    /// # Errors
    /// Says what is wrong; then nothing has changed.
    pub async fn reload(&self, options: &Options) -> Result<Reloaded, StartError> {
        options.check_values()?;
        let known = self.app.live.get().tls.clone();
        let found = find(options, known.as_ref()).await?;
        let renewed = self
            .app
            .live
            .renew((&options.access, &options.link), self.app.local, found);
        let reloaded = renewed.map_err(no_token)?;
        self.app.viewers.check().await;
        self.app.hub.present_as(self.links().page.without_token());
        self.app.hub.mark_change();
        Ok(reloaded)
    }

    /// Flushes what waits, closes the viewers with 1001 and frees the port: within five seconds.
    pub async fn stop(self) {
        let orderly = async {
            self.app.stop.cancel();
            self.flushers.close();
            self.flushers.wait().await;
            self.close_viewers.cancel();
            self.app.tasks.close();
            self.app.tasks.wait().await;
            self.app.hub.close_store().await;
        };
        if tokio::time::timeout(STOP_TIMEOUT, orderly).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.app.stop.cancel();
        self.close_viewers.cancel();
    }
}

impl TopicHandle {
    /// Replaces the session. A value with `data` or `config` is a session, any other its data.
    ///
    /// # Errors
    /// The last good session stays.
    pub async fn set(&self, session: &impl Serialize) -> Result<Receipt, SetError> {
        let session = Session::from_json(&json(session)?, self.name.as_str())?;
        self.write(Change::Replace(session)).await
    }

    /// Changes the session by a JSON Merge Patch (RFC 7396).
    ///
    /// # Errors
    /// The last good session stays.
    pub async fn patch(&self, patch: &impl Serialize) -> Result<Receipt, SetError> {
        self.write(Change::Merge(json(patch)?)).await
    }

    /// Sets one field of the config; null removes it.
    ///
    /// # Errors
    /// The last good session stays.
    pub async fn set_field(
        &self,
        field: &str,
        value: &impl Serialize,
    ) -> Result<Receipt, SetError> {
        self.write(Change::Fields(vec![(field.to_owned(), json(value)?)]))
            .await
    }

    /// Sets several fields at once, from an object.
    ///
    /// # Errors
    /// The last good session stays.
    pub async fn set_fields(&self, fields: &impl Serialize) -> Result<Receipt, SetError> {
        let fields = wire::fields(&json(fields)?, "the fields")?;
        self.write(Change::Fields(fields)).await
    }

    async fn write(&self, change: Change) -> Result<Receipt, SetError> {
        Ok(self
            .hub
            .write(&self.name, change, WriteOptions::default())
            .await?)
    }
}

fn json(value: &impl Serialize) -> Result<Json, SetError> {
    Ok(Json::parse(&serde_json::to_vec(value)?)?)
}

/// Everything but the listener and the sources.
async fn build(
    options: &Options,
    local: SocketAddr,
    reports: Option<Reports>,
    (flushers, close_viewers): (&TaskTracker, &CancellationToken),
) -> Result<Arc<App>, StartError> {
    let live = Live::new(
        (&options.access, &options.link),
        local,
        find(options, None).await?,
    )
    .map_err(no_token)?;
    let store = open_store(options.store.clone()).await?;
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let (hub_options, flushers) = (options.hub(), flushers.clone());
    let hub = match join(&options.cluster).await? {
        Some(cluster) => Hub::in_cluster(&hub_options, cluster, flushers, stop.clone()),
        None => Hub::new(&hub_options, store, flushers, stop.clone()),
    };
    hub.present_as(live.links.page.without_token());
    Ok(Arc::new(App {
        viewers: Viewers::start(&hub, &tasks, close_viewers),
        live: Current::new(live),
        hub,
        page: options.page.clone(),
        local,
        tasks,
        stop,
        reports,
        addresses: Arc::default(),
    }))
}

/// This daemon's part in a cluster, if there is to be one.
async fn join(options: &ClusterOptions) -> Result<Option<Cluster>, StartError> {
    if options.servers.is_empty() {
        return Ok(None);
    }
    let connection = Connection::start(options.clone()).await;
    let connection = connection.map_err(|reason| invalid("cluster.servers", reason))?;
    Ok(Some(Cluster::new(connection, &options.bucket)))
}

/// What the options depend on outside of them.
async fn find(options: &Options, known: Option<&Arc<Certificate>>) -> Result<Found, StartError> {
    let tls = match &options.tls {
        Some(files) => Some(Certificate::read(files, known).await),
        None => None,
    };
    let tls = tls.transpose().map_err(StartError::Certificate)?;
    let addresses = address::candidates(options.link.interface.as_deref());
    let addresses = addresses.map_err(|error| {
        let option = match &error {
            AddressError::Unknown { .. } => "link.interface",
            AddressError::System(_) => "link.advertise",
        };
        invalid(option, error.to_string())
    })?;
    Ok(Found {
        names: own_names(options),
        addresses,
        tls,
    })
}

fn no_token(error: getrandom::Error) -> StartError {
    io_error("making a token")(error.into())
}

/// The topics that the sources of these options feed.
pub(crate) fn source_topics(options: &Options) -> Vec<TopicName> {
    let topics = options.sources_with_topics().into_iter();
    topics.map(|(_, topic)| topic).collect()
}

async fn check(options: &Options) -> Result<(), StartError> {
    options.check()?;
    let (files, page) = (check_topics(options)?, options.page.clone());
    // A disk on the network may take its time.
    let checking = tokio::task::spawn_blocking(move || {
        files.iter().try_for_each(|path| check_file(path))?;
        check_page(&page)
    });
    let checked = checking.await;
    checked.map_err(|error| io_error("looking at the sources")(error.into()))?
}

fn check_page(page: &Page) -> Result<(), StartError> {
    match page {
        Page::Directory(directory) if !directory.is_dir() => Err(missing(
            directory,
            "is not a directory, so it cannot be served as the page (--viewer)".to_owned(),
        )),
        Page::Directory(directory) if !directory.join("index.html").is_file() => {
            let directory = directory.display();
            tracing::warn!(
                "{directory} has no index.html, so the link leads to nothing (--viewer)"
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The files among the sources, each with a topic of its own.
fn check_topics(options: &Options) -> Result<Vec<PathBuf>, StartError> {
    let topics = options.sources_with_topics();
    for (index, (source, topic)) in topics.iter().enumerate() {
        let earlier = topics[..index].iter().find(|(_, earlier)| earlier == topic);
        if let Some((earlier, _)) = earlier {
            let topic = topic.as_str();
            return Err(invalid(
                "sources",
                format!(
                    "{earlier} and {source} would both write the topic {topic:?}: rename one of the files, or relay them by separate daemons"
                ),
            ));
        }
    }
    let file = |(source, _)| match source {
        Source::File(path) => Some(path),
        Source::Stdin | Source::Relay(_) => None,
    };
    Ok(topics.into_iter().filter_map(file).collect())
}

fn check_file(path: &Path) -> Result<(), StartError> {
    let found = input::check(path).map_err(|reason| missing(path, reason))?;
    match found.is_file() {
        true => Ok(()),
        false => Err(missing(path, input::PIPE.to_owned())),
    }
}

async fn open_store(path: Option<PathBuf>) -> Result<Option<(Store, Kept)>, StartError> {
    let Some(path) = path else { return Ok(None) };
    let opening = tokio::task::spawn_blocking(move || Store::open(&path));
    let opened = opening
        .await
        .map_err(|error| io_error("opening the store")(error.into()))?;
    Ok(Some(opened?))
}

fn invalid(option: &'static str, reason: String) -> StartError {
    StartError::Invalid(Invalid { option, reason })
}

fn missing(path: &Path, reason: String) -> StartError {
    StartError::InputMissing {
        path: path.to_owned(),
        reason,
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let what = format!("listening on {address}");
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    };
    let listening = socket.and_then(|socket| {
        socket.set_reuseaddr(cfg!(unix))?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    });
    listening.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => StartError::AddressInUse { address },
        _ => io_error(&what)(error),
    })
}

fn io_error(what: &str) -> impl Fn(std::io::Error) -> StartError + use<> {
    let what = what.to_owned();
    move |source| StartError::Io {
        what: what.clone(),
        source,
    }
}

/// Names under which requests may know this machine.
fn own_names(options: &Options) -> Vec<String> {
    let machine = gethostname::gethostname().to_string_lossy().into_owned();
    let advertised = options
        .link
        .advertise
        .as_deref()
        .map(|text| text.rsplit_once(':').map_or(text, |(host, _)| host));
    let is_name = |name: &&str| name.parse::<IpAddr>().is_err();
    // The name that it has by mDNS (RFC 6762).
    let label = machine.split('.').next().unwrap_or_default();
    let in_the_network = format!("{label}.local");
    [machine, in_the_network]
        .into_iter()
        .chain(advertised.filter(is_name).map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{AccessOptions, HostToken};

    #[tokio::test]
    async fn links_carry_tokens_but_not_into_debug() {
        let options = Options {
            bind: IpAddr::from([127, 0, 0, 1]),
            port: 0,
            access: AccessOptions {
                host_token: HostToken::Given(Token::new("swordfish")),
                viewer_token: Some(Token::new("open-sesame")),
                ..AccessOptions::default()
            },
            ..Options::default()
        };
        let mut shown = format!("{options:?}");
        let server = Server::start(options).await.unwrap();
        let (links, status) = (server.links(), server.status());
        assert!(links.page.ends_with("/#t=open-sesame"));
        assert!(links.host.ends_with("/host#h=swordfish"));
        assert_eq!(status.urls[0], links.page);
        shown += &format!("{links:?} {status:?} {:?}", server.host_token());
        server.stop().await;
        for secret in ["swordfish", "open-sesame"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[tokio::test]
    async fn a_program_is_told_the_same_of_its_sources() {
        for (path, told) in [
            ("http://localhost/a.json", "is a URL"),
            ("/", "is a folder, not a file"),
            ("no-such.yaml", "there is no such file"),
        ] {
            let options = Options {
                sources: vec![Source::File(path.into())],
                ..Options::default()
            };
            let error = Server::start(options).await.err();
            let text = error.as_ref().map(ToString::to_string).unwrap_or_default();
            assert!(
                matches!(error, Some(StartError::InputMissing { .. })),
                "{text}"
            );
            assert!(text.starts_with(&format!("{path}: {told}")), "{text}");
        }
    }

    #[tokio::test]
    async fn a_reload_takes_over_all_or_nothing() {
        let mut options = Options {
            bind: IpAddr::from([127, 0, 0, 1]),
            port: 0,
            ..Options::default()
        };
        let server = Server::start(options.clone()).await.unwrap();
        let (token, links) = (server.host_token(), server.links());
        let same = server.reload(&options).await.unwrap();
        assert_eq!(same, Reloaded::default());
        assert_eq!(server.host_token(), token, "the one that was made stays");

        options.access.viewer_token = Some(Token::new("open-sesame"));
        options.access.host_token = HostToken::Given(Token::new("swordfish"));
        let (cert, key) = ("no-such.pem".into(), "no-such.key".into());
        options.tls = Some(crate::options::TlsFiles { cert, key });
        let wrong = server.reload(&options).await.unwrap_err().to_string();
        assert!(wrong.contains("no-such.pem"), "{wrong}");
        assert_eq!((server.host_token(), server.links()), (token, links));

        options.tls = None;
        let changes = server.changes();
        let reloaded = server.reload(&options).await.unwrap();
        assert!(reloaded.links && !reloaded.certificate);
        assert!(changes.has_changed().unwrap());
        assert_eq!(server.host_token(), Some(Token::new("swordfish")));
        assert!(server.status().urls[0].ends_with("/#t=open-sesame"));
        server.stop().await;
    }
}

#[cfg(test)]
#[path = "server/histories/tests.rs"]
mod histories;
