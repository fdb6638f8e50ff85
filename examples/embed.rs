//! A host in ten lines: `cargo run --example embed`, then open the printed link.

use onlooker::Server;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::start(Default::default()).await?;
    println!("watch it at {}", server.links().page);
    let topic = server.topic("main")?;
    topic
        .set(&json!({"name": "Embedded", "data": {}, "config": {"ticks": 0}}))
        .await?;
    for tick in 1..=60 {
        topic.set_field("ticks", &tick).await?;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    server.stop().await;
    Ok(())
}
