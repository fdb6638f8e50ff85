//! The host's socket: each text is answered once, with its id, and says what became of the
//! session; whatever else comes, the connection ends. A line on stdin means the same.

#![no_main]

use std::net::SocketAddr;
use std::sync::LazyLock;

use futures_util::{SinkExt, StreamExt};
use libfuzzer_sys::fuzz_target;
use onlooker::internals::access::{Access, HostPass, Need};
use onlooker::internals::host::Host;
use onlooker::internals::name::TopicName;
use onlooker::internals::wire::HostMessage;
use onlooker::internals::{Hub, HubOptions};
use onlooker::{AccessOptions, HostToken};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::{Builder, Runtime};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const MOST: usize = 4096;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
});
static PASS: LazyLock<HostPass> = LazyLock::new(|| RUNTIME.block_on(pass()));

// Lines that are texts, then a NUL, then bytes as they are.
fuzz_target!(|bytes: &[u8]| {
    let cut = bytes.iter().position(|byte| *byte == 0);
    let (texts, rest) = bytes.split_at(cut.unwrap_or(bytes.len()));
    let texts: Vec<&str> = texts
        .split(|byte| *byte == b'\n')
        .filter_map(|text| std::str::from_utf8(text).ok())
        .collect();
    texts.iter().for_each(|text| same_on_stdin(text));
    let pass = PASS.clone();
    RUNTIME.block_on(talk(pass, &texts, rest.get(1..).unwrap_or_default()));
});

/// With a `type`, a line is read as a message is.
fn same_on_stdin(text: &str) {
    let (_, message) = HostMessage::parse(text.as_bytes(), "main");
    let line = HostMessage::parse_line(text.as_bytes(), "main");
    if let Ok(message) = message {
        assert_eq!(format!("{line:?}"), format!("Ok({message:?})"));
    }
}

async fn talk(pass: HostPass, texts: &[&str], rest: &[u8]) {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let mut options = HubOptions::default();
    options.limits.session = MOST;
    let hub = Hub::new(&options, None, tasks.clone(), stop.clone());
    let topic: TopicName = "main".parse().expect("a name");
    let host = Host {
        hub: hub.clone(),
        source: hub.attach(&topic).expect("room"),
        address: [127, 0, 0, 1].into(),
        topic: topic.clone(),
        pass,
        stop: stop.clone(),
    };
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let served = tokio::spawn(host.run(theirs));
    let mut socket = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
    for text in texts {
        let before = hub.topic(&topic).expect("the default one").revision();
        let answer = ask(&mut socket, text).await;
        let cell = hub.topic(&topic).expect("the default one");
        judge(text, &answer, cell.revision().get() - before.get());
        let size = cell
            .session()
            .map_or(0, |(_, session)| session.to_json().len());
        assert!(size <= MOST + 64, "{size} bytes");
    }
    let mut io = socket.into_inner();
    if io.write_all(rest).await.is_ok() {
        io.shutdown().await.expect("a pipe");
        let mut answers = Vec::new();
        let _ = io.read_to_end(&mut answers).await;
    }
    served.await.expect("it ends");
    stop.cancel();
    tasks.close();
    tasks.wait().await;
}

async fn ask(socket: &mut WebSocketStream<DuplexStream>, text: &str) -> Value {
    socket.send(Message::text(text)).await.expect("it listens");
    let answer = socket.next().await.expect("an answer").expect("a frame");
    let answer = answer.into_text().expect("a text");
    let mut reader = serde_json::Deserializer::from_str(&answer);
    reader.disable_recursion_limit();
    serde::Deserialize::deserialize(&mut reader).expect("JSON")
}

fn judge(text: &str, answer: &Value, steps: u64) {
    let (id, message) = HostMessage::parse(text.as_bytes(), "main");
    let told = answer.get("id").map(Value::to_string);
    let id = id.map(|id| {
        let mut reader = serde_json::Deserializer::from_str(id.as_str());
        reader.disable_recursion_limit();
        let id: Value = serde::Deserialize::deserialize(&mut reader).expect("JSON");
        id.to_string()
    });
    assert_eq!(told, id, "{answer}");
    match answer["type"].as_str() {
        Some("ack") => assert!(message.is_ok(), "{answer}"),
        Some("error") => {
            let status = answer["status"].as_u64().expect("a status");
            assert!([400, 413, 422].contains(&status), "{answer}");
            // What is refused is announced where there is a session; not JSON is no refusal.
            assert!(status != 400 || steps == 0);
        }
        _ => panic!("{answer}"),
    }
}

async fn pass() -> HostPass {
    let options = AccessOptions {
        host_token: HostToken::LoopbackOnly,
        ..AccessOptions::default()
    };
    let access = Access::new(&options, Vec::new()).expect("randomness");
    let request = hyper::Request::get("/host")
        .header("host", "localhost")
        .body(());
    let (parts, ()) = request.expect("a request").into_parts();
    let peer = SocketAddr::from(([127, 0, 0, 1], 5000));
    let pass = access
        .admit(&parts, peer, Need::Host)
        .await
        .expect("a pass");
    pass.host.expect("it may write")
}
