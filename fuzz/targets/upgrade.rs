//! The way to a WebSocket: what gets a 101 is what RFC 6455 §4.2.1 asks for, and what is agreed
//! for compression is what RFC 7692 §7.1 lets answer the offer.

#![no_main]

use hyper::header::{HeaderMap, HeaderName, SEC_WEBSOCKET_EXTENSIONS};
use hyper::{Method, Request, Version};
use libfuzzer_sys::fuzz_target;
use onlooker::internals::access;
use onlooker::internals::{agreed_deflate, switching};

// A request's head, as it is on the wire.
fuzz_target!(|bytes: &[u8]| {
    let Some(request) = request(bytes) else {
        return;
    };
    match switching(&request) {
        Ok(response) => {
            assert_eq!(response.status(), 101);
            proper(&request);
            assert!(response.headers().contains_key("sec-websocket-accept"));
        }
        Err(problem) => assert!((400..500).contains(&problem.status)),
    }
    let offers = access::list(request.headers(), SEC_WEBSOCKET_EXTENSIONS);
    for offer in &offers {
        if let Some(answer) = agreed_deflate(offer) {
            answers(offer, answer.to_str().expect("a text"));
        }
    }
});

fn request(bytes: &[u8]) -> Option<Request<()>> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut first = std::str::from_utf8(lines.next()?).ok()?.split(' ');
    let mut request = Request::builder()
        .method(first.next()?)
        .uri(first.next()?)
        .version(match first.next()? {
            "HTTP/1.0" => Version::HTTP_10,
            _ => Version::HTTP_11,
        });
    for line in lines {
        let at = line.iter().position(|byte| *byte == b':')?;
        request = request.header(&line[..at], line[at + 1..].trim_ascii());
    }
    request.body(()).ok()
}

/// Told another way than the daemon does.
fn proper(request: &Request<()>) {
    let only = |name| match &all(request.headers(), name)[..] {
        [value] => value.clone(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(request.method(), Method::GET);
    assert_eq!(request.version(), Version::HTTP_11);
    only("host");
    assert_eq!(only("sec-websocket-version"), "13");
    let key = only("sec-websocket-key");
    assert!(key.len() == 24 && key.ends_with("=="), "{key}");
    let named = |name, word| {
        let values = all(request.headers(), name);
        let mut items = values.iter().flat_map(|value| value.split(','));
        items.any(|item| item.trim().eq_ignore_ascii_case(word))
    };
    assert!(named("upgrade", "websocket") && named("connection", "upgrade"));
}

fn all(headers: &HeaderMap, name: &'static str) -> Vec<String> {
    let values = headers.get_all(HeaderName::from_static(name)).into_iter();
    let text =
        |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
    values.map(text).collect()
}

/// Each parameter of an offer that is taken is known, written properly, and there once.
fn answers(offer: &str, answer: &str) {
    let mut items = offer.split(';').map(str::trim);
    assert!(
        items
            .next()
            .expect("a name")
            .eq_ignore_ascii_case("permessage-deflate")
    );
    let mut seen: Vec<String> = Vec::new();
    for item in items {
        let (name, value) = match item.split_once('=') {
            Some((name, value)) => (name.trim(), Some(unquoted(value.trim()))),
            None => (item, None),
        };
        let name = name.to_ascii_lowercase();
        match (name.as_str(), value) {
            ("server_no_context_takeover" | "client_no_context_takeover", None) => {}
            ("client_max_window_bits", None) => {}
            ("client_max_window_bits", Some(bits)) => {
                assert!((8..=15).any(|known| known.to_string() == bits), "{offer}");
            }
            ("server_max_window_bits", Some("15")) => {}
            other => panic!("{other:?} was agreed to"),
        }
        assert!(!seen.contains(&name), "{offer}");
        seen.push(name);
    }
    let limited = seen.iter().any(|name| name == "server_max_window_bits");
    assert_eq!(answer.contains("server_max_window_bits"), limited);
    assert!(answer.contains("server_no_context_takeover"));
    assert!(answer.contains("client_no_context_takeover"));
}

fn unquoted(value: &str) -> &str {
    let inside = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inside.unwrap_or(value)
}
