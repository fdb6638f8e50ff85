//! Group commit: how many durable writes a second one writer gets, and 64 writers together.
//! `cargo bench --bench store`. Disks and machines differ, so it is the ratio within one run that
//! counts.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use onlooker::Options;
use onlooker::{Server, TopicHandle};

const ROUNDS: usize = 5;
const BURST: Duration = Duration::from_millis(1500);

/// Writes until the time is up, waiting each time until the write is durable.
async fn write(topic: TopicHandle, field: String, until: Instant) -> u32 {
    let mut count = 0;
    while Instant::now() < until {
        let written = topic.set_field(&field, &count).await;
        written.expect("the disk has room");
        count += 1;
    }
    count
}

/// How many writes a second so many writers get.
async fn rate(topic: &TopicHandle, writers: usize) -> f64 {
    let until = Instant::now() + BURST;
    let field = |index| format!("writer{index}");
    let tasks: Vec<_> = (0..writers)
        .map(|index| tokio::spawn(write(topic.clone(), field(index), until)))
        .collect();
    let mut total = 0;
    for task in tasks {
        total += task.await.expect("no writer panics");
    }
    f64::from(total) / BURST.as_secs_f64()
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().expect("a directory");
    let options = Options {
        bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 0,
        store: Some(folder.path().join("store")),
        ..Options::default()
    };
    let server = Server::start(options).await.expect("it starts");
    let topic = server.topic("main").expect("a name");
    let config: serde_json::Map<_, _> = (0..64)
        .map(|index| (format!("writer{index}"), (-1).into()))
        .collect();
    let session = serde_json::json!({ "data": {}, "config": config });
    topic.set(&session).await.expect("the disk has room");
    let mut ratios = Vec::new();
    println!(
        "| round | 1 writer, writes/s | 64 writers, writes/s | ratio |\n| --- | ---: | ---: | ---: |"
    );
    for round in 1..=ROUNDS {
        let (one, many) = (rate(&topic, 1).await, rate(&topic, 64).await);
        ratios.push(many / one);
        println!("| {round} | {one:.0} | {many:.0} | {:.1} |", many / one);
    }
    ratios.sort_by(f64::total_cmp);
    println!("\nmedian ratio: {:.1}", ratios[ROUNDS / 2]);
    server.stop().await;
}
