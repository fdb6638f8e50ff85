//! Upstreams that are no good.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::spawn;

use serde_json::json;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Daemon, kind, own, relay_of, until};

const HELLO: &str = r#"{"type":"hello","protocol":1,"server":"x","topic":"main","revision":"0","resumed":"snapshot","heartbeatMs":5000}"#;

/// An upstream that takes every connection, upgrades it and says what it has to say.
fn upstream(said: impl Fn(usize, &mut TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    spawn(move || {
        let mut kept = Vec::new();
        for (count, tcp) in listener.incoming().map_while(Result::ok).enumerate() {
            let mut tcp = tcp;
            upgrade(&mut tcp);
            said(count, &mut tcp);
            kept.push(tcp);
        }
    });
    format!("ws://127.0.0.1:{port}")
}

fn upgrade(tcp: &mut TcpStream) {
    let mut lines = BufReader::new(tcp.try_clone().unwrap()).lines();
    let mut accept = String::new();
    while let Some(Ok(line)) = lines.next() {
        if let Some(key) = line.to_lowercase().strip_prefix("sec-websocket-key: ") {
            accept = derive_accept_key(&line.as_bytes()[line.len() - key.len()..]);
        }
        if line.is_empty() {
            break;
        }
    }
    let _ = write!(
        tcp,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: onlooker.v1\r\n\r\n"
    );
}

fn send(tcp: &mut TcpStream, text: &str) {
    let mut frame = vec![0x81];
    match text.len() {
        short @ 0..126 => frame.push(short as u8),
        medium @ 126..65536 => {
            frame.push(126);
            frame.extend((medium as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(text.as_bytes());
    let _ = tcp.write_all(&frame);
}

fn update(revision: u64, data: &str) -> String {
    format!(
        r#"{{"type":"session_update","topic":"main","revision":"{revision}","payload":{{"name":"n","data":{data},"config":{{"a":1}},"metadata":{{}}}}}}"#
    )
}

#[test]
fn what_is_no_onlooker_is_named() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let link = format!("ws://127.0.0.1:{}", silent.local_addr().unwrap().port());
    let relay = relay_of(&link);
    relay.logged("it does not answer in time");
    drop(silent);

    let other = upstream(|_, tcp| send(tcp, "hello"));
    relay_of(&other).logged("it does not greet its viewers");
    let garbage = upstream(|_, tcp| _ = tcp.write_all(&[0xff; 64]));
    relay_of(&garbage).logged("it breaks the rules of WebSockets");

    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let link = format!("ws://127.0.0.1:{}", listener.local_addr().unwrap().port());
    spawn(move || {
        for mut tcp in listener.incoming().map_while(Result::ok) {
            let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        }
    });
    relay_of(&link).logged("is it an onlooker?");
}

#[test]
fn what_is_too_large_is_refused_and_what_was_there_stays() {
    for large in [1 << 20, 4 << 20] {
        let link = upstream(move |count, tcp| {
            send(tcp, HELLO);
            send(tcp, &update(7, "1"));
            if count == 0 {
                send(tcp, &update(8, &format!("\"{}\"", "x".repeat(large))));
            }
        });
        let relay = Daemon::with(&[&link, "--max-session", "1MiB"]);
        let line = relay.logged("--max-session");
        assert!(line.contains(&link), "{line}");
        let body = relay.ask("GET", "/api/topics/main", "").body;
        assert!(body.contains(r#""data":1"#), "{body}");
    }
}

#[test]
fn nonsense_ends_the_connection_and_nothing_else() {
    for nonsense in [
        r#"{"type":"session_update","revision":"x","payload":{}}"#,
        r#"{"type":"session_update","revision":"9","payload":{"config":1,"data":1}}"#,
        r#"{"type":"config_update","revision":"9","payload":1}"#,
        r#"{"type":"heartbeat","way":[1]}"#,
    ] {
        let link = upstream(move |_, tcp| {
            send(tcp, HELLO);
            send(tcp, &update(7, "1"));
            send(tcp, nonsense);
        });
        let relay = relay_of(&link);
        relay.logged("it is not understood");
        let body = relay.ask("GET", "/api/topics/main", "").body;
        assert!(body.contains(r#""data":1"#), "{nonsense}: {body}");
    }
}

#[test]
fn a_revision_that_goes_back_is_taken() {
    let link = upstream(|_, tcp| {
        send(tcp, HELLO);
        send(tcp, &update(9_007_199_254_740_991, "1"));
        send(tcp, &update(7, "2"));
        send(
            tcp,
            r#"{"type":"config_update","revision":"8","payload":{"a":2}}"#,
        );
        // Old news is none.
        send(
            tcp,
            r#"{"type":"config_update","revision":"3","payload":{"a":9}}"#,
        );
        send(tcp, "\"done\"");
    });
    let relay = relay_of(&link);
    let mut viewer = own(&relay, "/");
    until(&mut viewer, |message| *message == json!("done"));
    let body = &relay.ask("GET", "/api/topics/main", "").json()["data"];
    assert_eq!(body["data"], json!(2));
    assert_eq!(body["config"], json!({"a": 2}));
}

/// Whoever is there is told by a hello that revisions begin anew, or it would take the session for old
/// news.
#[test]
fn viewers_that_are_there_go_back_with_their_upstream() {
    let (go, gone) = std::sync::mpsc::channel();
    let link = upstream(move |_, tcp| {
        send(tcp, HELLO);
        send(tcp, &update(900, "1"));
        let _ = gone.recv();
        send(tcp, &update(7, "2"));
    });
    let relay = relay_of(&link);
    let mut viewer = own(&relay, "/");
    let mut recipe = relay.socket("/", &[]);
    assert_eq!(
        kind(&mut viewer, "session_update")["revision"],
        json!("900")
    );
    assert_eq!(
        kind(&mut recipe, "session_update")["revision"],
        json!("900")
    );
    go.send(()).unwrap();
    assert_eq!(kind(&mut viewer, "hello")["revision"], json!("7"));
    let session = kind(&mut viewer, "session_update");
    assert_eq!(session["payload"]["data"], json!(2));
    assert_eq!(kind(&mut recipe, "session_update")["revision"], json!("7"));
}

#[test]
fn a_way_that_is_too_long_is_refused() {
    let way: Vec<String> = (0..16).map(|hop| format!("{hop}/main")).collect();
    let way = json!(way).to_string();
    let hello = HELLO.replace('}', &format!(",\"way\":{way}}}"));
    let link = upstream(move |_, tcp| send(tcp, &hello));
    let line = relay_of(&link).logged("more than 16 daemons");
    assert!(line.contains("0/main > 1/main"), "{line}");
}

#[test]
fn who_falls_silent_is_lost() {
    let hello = HELLO.replace("5000", "400");
    let link = upstream(move |_, tcp| {
        send(tcp, &hello);
        send(tcp, &update(7, "1"));
    });
    let relay = relay_of(&link);
    relay.logged("it has fallen silent");
    let mut viewer = own(&relay, "/");
    kind(&mut viewer, "hello");
    assert_eq!(kind(&mut viewer, "session_update")["revision"], json!("7"));
}
