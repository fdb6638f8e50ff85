//! NATS servers, and the bare client that the daemon uses.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use async_nats::jetstream::kv::{Config, Store, Watch};
use async_nats::jetstream::{self, stream::StorageType};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::runtime::Runtime;

use crate::process::{Running, free_port};

/// How long servers may take to become a cluster, or to agree on a leader.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);
const KEY: &str = "main";

/// NATS servers with JetStream, each a process that keeps its files in a folder of its own.
pub struct Servers {
    pub running: Vec<Running>,
    folder: PathBuf,
}

impl Servers {
    /// Starts so many, as one cluster.
    pub fn start(count: usize) -> Result<Servers> {
        let program = std::env::var("NATS_SERVER").unwrap_or_else(|_| "nats-server".to_owned());
        let folder = std::env::temp_dir().join(format!("onlooker-nats-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let ports: Vec<_> = (0..count).map(|_| free_port()).collect::<Result<_>>()?;
        let routes = ports.iter().map(|port| format!("nats://127.0.0.1:{port}"));
        let routes = routes.collect::<Vec<_>>().join(",");
        let mut servers = Servers {
            running: Vec::new(),
            folder,
        };
        for (number, route) in ports.iter().enumerate() {
            let (port, files) = (free_port()?, servers.folder.join(name(number)));
            let (name, files) = (name(number), files.display());
            let mut text = format!(
                "{program} -a 127.0.0.1 -p {port} -n {name} -js -sd {files} -l {files}.log"
            );
            if count > 1 {
                let cluster = format!("nats://127.0.0.1:{route}");
                text += &format!(" --cluster_name bench --cluster {cluster} --routes {routes}");
            }
            let command: Vec<_> = text.split(' ').map(str::to_owned).collect();
            let running = Running::start(&command, port, None);
            servers
                .running
                .push(running.context("NATS_SERVER names the program")?);
        }
        Ok(servers)
    }

    /// Where one of them is found: the first, or another one where there is one.
    pub fn url(&self, number: usize) -> String {
        let server = &self.running[number % self.running.len()];
        format!("nats://{}", server.address)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.running.clear();
        // What is left in the system's temporary directory does no harm.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn name(number: usize) -> String {
    format!("server{number}")
}

/// The bare client: one that puts at one server, and one that watches at another.
pub struct Bare {
    runtime: Runtime,
    store: Store,
    arrivals: Receiver<(u64, Instant)>,
    last: u64,
}

impl Bare {
    /// Makes a bucket on all servers, and watches it.
    pub fn start(servers: &Servers, bucket: &str) -> Result<Bare> {
        let runtime = Runtime::new()?;
        let (sender, arrivals) = channel();
        let store = runtime.block_on(async {
            let store = make(servers, bucket).await?;
            let other = jetstream::new(async_nats::connect(servers.url(1)).await?);
            let watch = other.get_key_value(bucket).await?.watch_all().await?;
            tokio::spawn(tell(watch, sender));
            anyhow::Ok(store)
        })?;
        Ok(Bare {
            runtime,
            store,
            arrivals,
            last: 0,
        })
    }

    /// Has the last of several servers lead a bucket: neither client is connected to it.
    pub fn lead(&self, servers: &Servers, bucket: &str) -> Result<()> {
        let count = servers.running.len();
        match count {
            1 => Ok(()),
            _ => {
                let leader = name(count - 1);
                self.runtime.block_on(lead(servers, bucket, &leader))
            }
        }
    }

    /// Puts by compare and set, as the daemon does; tells how long it was until that was acknowledged,
    /// and until the watcher had it.
    pub fn put(&mut self, value: String) -> Result<(Duration, Duration)> {
        let start = Instant::now();
        let put = self.store.update(KEY, Bytes::from(value), self.last);
        self.last = self.runtime.block_on(put)?;
        let acknowledged = start.elapsed();
        loop {
            let (number, at) = self.arrivals.recv_timeout(PATIENCE)?;
            if number == self.last {
                return Ok((acknowledged, at.saturating_duration_since(start)));
            }
        }
    }

    /// Puts for a while, into so many keys at the same time; tells how long each took.
    pub fn crowd(&self, keys: usize, value: &str, time: Duration) -> Result<Vec<Duration>> {
        let value = Bytes::from(value.to_owned());
        self.runtime.block_on(async {
            let put = |key| crowded(self.store.clone(), key, value.clone(), time);
            let writers: Vec<_> = (0..keys).map(|key| tokio::spawn(put(key))).collect();
            let mut times = Vec::new();
            for writer in writers {
                times.extend(writer.await??);
            }
            while self.arrivals.try_recv().is_ok() {}
            Ok(times)
        })
    }
}

async fn crowded(store: Store, key: usize, value: Bytes, time: Duration) -> Result<Vec<Duration>> {
    let (start, mut times) = (Instant::now(), Vec::new());
    let key = format!("crowd{key}");
    let mut last = store.put(&key, value.clone()).await?;
    while start.elapsed() < time {
        let asked = Instant::now();
        last = store.update(&key, value.clone(), last).await?;
        times.push(asked.elapsed());
    }
    Ok(times)
}

async fn make(servers: &Servers, bucket: &str) -> Result<Store> {
    let client = async_nats::connect(servers.url(0)).await?;
    let jetstream = jetstream::new(client);
    let begun = Instant::now();
    loop {
        let made = jetstream.create_key_value(Config {
            bucket: bucket.to_owned(),
            history: 1,
            storage: StorageType::File,
            num_replicas: servers.running.len(),
            ..Config::default()
        });
        match made.await {
            Ok(store) => return Ok(store),
            // They have not met yet.
            Err(_) if begun.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error).context("a bucket cannot be made"),
        }
    }
}

async fn lead(servers: &Servers, bucket: &str, leader: &str) -> Result<()> {
    let client = async_nats::connect(servers.url(0)).await?;
    let jetstream = jetstream::new(client.clone());
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let stream = jetstream.get_stream(format!("KV_{bucket}")).await?;
        let cluster = stream.cached_info().cluster.as_ref();
        if cluster.and_then(|cluster| cluster.leader.as_deref()) == Some(leader) {
            return Ok(());
        }
        let wish = format!(r#"{{"placement":{{"preferred":"{leader}"}}}}"#);
        let subject = format!("$JS.API.STREAM.LEADER.STEPDOWN.KV_{bucket}");
        client.request(subject, wish.into()).await?;
        tokio::time::sleep(PAUSE).await;
    }
    bail!("{leader} does not lead the bucket {bucket}")
}

async fn tell(mut watch: Watch, sender: Sender<(u64, Instant)>) {
    while let Some(Ok(entry)) = watch.next().await {
        if sender.send((entry.revision, Instant::now())).is_err() {
            return;
        }
    }
}
