//! The gate: any head gets an answer, a stranger's name or origin never gets in, and
//! nobody writes without the token.

#![no_main]

use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use arbitrary::Arbitrary;
use hyper::Request;
use hyper::header::SEC_WEBSOCKET_PROTOCOL;
use libfuzzer_sys::fuzz_target;
use onlooker::Token;
use onlooker::internals::access::{self, Access, Need};
use onlooker::{AccessOptions, HostToken};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    method: u8,
    uri: &'a str,
    host: Option<&'a [u8]>,
    origin: Option<&'a [u8]>,
    authorization: Option<&'a [u8]>,
    protocol: Option<&'a [u8]>,
    twice: bool,
    need: u8,
}

const SECRET: &str = "kaleidoscope-of-tokens";

fn access() -> Access {
    let options = AccessOptions {
        host_token: HostToken::Given(Token::new(SECRET)),
        ..AccessOptions::default()
    };
    Access::new(&options, vec!["studio".to_owned()]).expect("randomness")
}

fuzz_target!(|input: Input<'_>| {
    let Some(request) = request(&input) else {
        return;
    };
    let (parts, ()) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    access::queries(query, "topic");
    access::list(&parts.headers, SEC_WEBSOCKET_PROTOCOL);
    let needs = [Need::Nothing, Need::Probe, Need::Viewer, Need::Host];
    let need = needs[usize::from(input.need % 4)];
    let peer = SocketAddr::from(([192, 168, 1, 9], 5000));
    // A new one for each: nobody has to wait after wrong tokens.
    let access = access();
    let admitted = pin!(access.admit(&parts, peer, need));
    let Poll::Ready(admitted) = admitted.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("it waits");
    };
    match admitted {
        Ok(pass) => {
            assert!(input.host.is_some() && !input.twice);
            let shown = format!("{input:?}");
            // Percent-encoding and base64 can spell the token otherwise: only plain heads are judged.
            let spelled = shown.contains(SECRET) || shown.contains('%') || input.protocol.is_some();
            assert!(pass.host.is_none() || spelled, "a writer without the token");
            assert!(ours(&pass.authority), "{:?}", pass.authority);
        }
        Err(problem) => assert!((400..500).contains(&problem.status)),
    }
});

/// Told another way than the gate does: no foreign name ends so.
fn ours(authority: &str) -> bool {
    let name = authority
        .rsplit_once(':')
        .map_or(authority, |(name, port)| {
            if port.bytes().all(|byte| byte.is_ascii_digit()) {
                name
            } else {
                authority
            }
        });
    let address = name.trim_start_matches('[').trim_end_matches(']');
    address.parse::<std::net::IpAddr>().is_ok()
        || name == "localhost"
        || name == "studio"
        || name.ends_with(".localhost")
}

fn request(input: &Input<'_>) -> Option<Request<()>> {
    let method = ["GET", "PUT", "OPTIONS", "HEAD", "POST", "BREW"][usize::from(input.method % 6)];
    let mut request = Request::builder().method(method).uri(input.uri);
    let headers = [
        ("host", input.host),
        ("origin", input.origin),
        ("authorization", input.authorization),
        ("sec-websocket-protocol", input.protocol),
    ];
    for (name, value) in headers {
        let Some(value) = value else { continue };
        request = request.header(name, value);
        if input.twice && name == "host" {
            request = request.header(name, value);
        }
    }
    request.body(()).ok()
}
