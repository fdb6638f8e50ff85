//! Measures the daemon beside a bare send loop, Bun, ws and the usual tokio recipe, and prints
//! Markdown tables. The method is told in `docs/performance.md`.

mod cluster;
mod frames;
mod host;
mod http;
mod limit;
mod load;
mod message;
mod nats;
mod parts;
mod peer;
mod person;
mod process;
mod recipe;
mod relay;
mod room;
mod rooms;
mod rounds;
mod start;
mod stats;
mod stream;
mod wide;
mod writers;

use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

use parts::Setting;
use process::Cores;

#[derive(Parser)]
#[command(about = "Measures onlooker beside what it is compared with")]
struct Arguments {
    #[command(subcommand)]
    part: Part,
    /// Rounds of alternating bursts
    #[arg(long, global = true, default_value_t = 25)]
    rounds: usize,
    /// How long one burst lasts, in milliseconds
    #[arg(long, global = true, default_value_t = 200)]
    burst: u64,
    /// Let the system choose the cores
    #[arg(long, global = true)]
    unpinned: bool,
}

#[derive(Subcommand)]
enum Part {
    /// Everything but the soak and the cluster
    All,
    /// One message at a time, at 100 B, 4 KiB and 100 KiB
    FanOut {
        #[arg(long, default_value_t = 1000)]
        viewers: usize,
        #[arg(long, value_delimiter = ',', default_value = "100,4096,102400")]
        sizes: Vec<usize>,
        /// Only the LIMIT, its twin, the daemon, and an earlier one (`ONLOOKER_BEFORE=path`)
        #[arg(long)]
        few: bool,
    },
    /// Sixteen messages on their way at a time
    Window {
        #[arg(long, default_value_t = 1000)]
        viewers: usize,
    },
    /// Five messages a second: how long until the first and the last viewer has one
    Latency {
        #[arg(long, default_value_t = 1000)]
        viewers: usize,
    },
    /// Compressed messages of 100 KiB
    Deflate {
        #[arg(long, default_value_t = 300)]
        viewers: usize,
    },
    /// What TLS costs
    Tls {
        #[arg(long, default_value_t = 1000)]
        viewers: usize,
    },
    /// Memory of a viewer that waits
    Idle {
        #[arg(long, default_value_t = 5000)]
        viewers: usize,
    },
    /// All viewers come back at once
    Storm {
        #[arg(long, default_value_t = 5000)]
        viewers: usize,
        #[arg(long, default_value_t = 3)]
        times: usize,
    },
    /// Memory behind viewers that do not read
    Slow {
        #[arg(long, default_value_t = 1000)]
        viewers: usize,
    },
    /// A newcomer's first frame, and one field of a session of 10 MB
    Session,
    /// A config of many fields: many changed at once, and one
    Wide,
    /// Rows that several people edit
    Rooms(rooms::Figures),
    /// What viewers at the end of relays cost the first daemon
    Relay {
        #[arg(long, default_value_t = 1000)]
        viewers: usize,
    },
    /// What several daemons add to the bucket that they share (`NATS_SERVER=path/to/nats-server`)
    Cluster(cluster::Figures),
    /// From the program's start to its first output
    Start,
    /// One change a second for a long time
    Soak {
        #[arg(long, default_value_t = 19_000)]
        viewers: usize,
        #[arg(long, default_value_t = 600)]
        seconds: u64,
    },
    /// The bare send loop, as a server
    #[command(hide = true)]
    Limit { port: u16 },
    /// The usual recipe, as a server
    #[command(hide = true)]
    Recipe { port: u16 },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    process::raise_file_limit()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let pinned = !arguments.unpinned && cores > 1;
    let setting = Setting {
        rounds: arguments.rounds,
        burst: Duration::from_millis(arguments.burst),
        cores: pinned.then_some(Cores { server: 0, load: 1 }),
    };
    match arguments.part {
        Part::All => parts::all(&setting),
        Part::FanOut {
            viewers,
            sizes,
            few,
        } => parts::fan_out(&setting, viewers, &sizes, few),
        Part::Window { viewers } => parts::window(&setting, viewers),
        Part::Latency { viewers } => parts::latency(&setting, viewers),
        Part::Deflate { viewers } => parts::deflate(&setting, viewers),
        Part::Tls { viewers } => parts::tls(&setting, viewers),
        Part::Idle { viewers } => parts::idle(&setting, viewers),
        Part::Storm { viewers, times } => parts::storm(&setting, viewers, times),
        Part::Slow { viewers } => parts::slow(&setting, viewers),
        Part::Session => parts::session(&setting),
        Part::Wide => wide::wide(&setting),
        Part::Rooms(figures) => rooms::rooms(&setting, &figures),
        Part::Relay { viewers } => relay::relay(&setting, viewers),
        Part::Cluster(figures) => cluster::cluster(&setting, &figures),
        Part::Start => start::start(),
        Part::Soak { viewers, seconds } => parts::soak(&setting, viewers, seconds),
        Part::Limit { port } => limit::run(port),
        Part::Recipe { port } => recipe::run(port),
    }
}
