//! The gate's rules, as tables.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use std::net::SocketAddr;

use futures_util::FutureExt;
use hyper::Request;

use super::guesses::{GUESSES, REMEMBERED, WAITING};
use super::*;
use crate::wire::TOKEN_SUBPROTOCOL;

fn access(options: &AccessOptions) -> Access {
    Access::new(options, vec!["studio".into()]).unwrap()
}

fn given(host: &str, viewer: Option<&str>) -> Access {
    let host_token = HostToken::Given(Token::new(host));
    access(&AccessOptions {
        host_token,
        viewer_token: viewer.map(Token::new),
        allow_origin: vec!["https://app.example".into()],
        ..Default::default()
    })
}

fn admit(access: &Access, need: Need, uri: &str, headers: &[(&str, &str)]) -> Result<Pass, u16> {
    let request = headers
        .iter()
        .fold(Request::get(uri), |request, (name, value)| {
            request.header(*name, *value)
        });
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let peer = "192.168.1.9:5000".parse().unwrap();
    let admitted = access.admit(&parts, peer, need).now_or_never();
    let admitted = admitted.expect("a trusted address need not wait");
    admitted.map_err(|problem| problem.status)
}

/// The status of a request from `peer` with this token.
async fn shown(access: &Access, need: Need, token: &str, peer: &str) -> u16 {
    let request = Request::get(format!("/?token={token}")).header("host", "localhost");
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let peer = SocketAddr::new(peer.parse().unwrap(), 5000);
    let admitted = access.admit(&parts, peer, need).await;
    admitted.map_or_else(|problem| problem.status, |_| 200)
}

/// The same, for a request that nothing may delay.
fn at_once(access: &Access, need: Need, token: &str, peer: &str) -> u16 {
    let status = shown(access, need, token, peer).now_or_never();
    status.expect("it is answered at once")
}

/// Shows so many wrong tokens from `peer` that more are refused.
fn guess(access: &Access, peer: &str) {
    for _ in 0..GUESSES {
        assert_eq!(at_once(access, Need::Host, "guess", peer), 401, "{peer}");
    }
    assert_eq!(at_once(access, Need::Host, "guess", peer), 429, "{peer}");
}

/// The pass that a token is given.
fn pass(access: &Access, need: Need, token: &str) -> Pass {
    admit(
        access,
        need,
        &format!("/?token={token}"),
        &[("host", "studio")],
    )
    .unwrap()
}

fn renewed(access: &Access, host: HostToken, viewer: Option<&str>) -> Access {
    let options = AccessOptions {
        host_token: host,
        viewer_token: viewer.map(Token::new),
        allow_origin: vec!["https://app.example".into()],
        ..Default::default()
    };
    access.renew(&options, vec!["studio".into()]).unwrap()
}

#[test]
fn passes_end_with_what_they_rest_on() {
    let given = |text: &str| HostToken::Given(Token::new(text));
    let access = self::given("host-1", None);
    let anybody = pass(&access, Need::Viewer, "x").viewer.unwrap();
    let host = pass(&access, Need::Host, "host-1").host.unwrap();
    let ended = |anybody: &ViewerPass, host: &HostPass| {
        (
            anybody.revoked().is_cancelled(),
            host.revoked().is_cancelled(),
        )
    };

    let same = renewed(&access, given("host-1"), None);
    assert_eq!(
        ended(&anybody, &host),
        (false, false),
        "nothing has changed"
    );
    let other_host = renewed(&same, given("host-2"), None);
    assert_eq!(ended(&anybody, &host), (false, true));
    let host = pass(&other_host, Need::Host, "host-2").host.unwrap();
    let guarded = renewed(&other_host, given("host-2"), Some("view-1"));
    assert_eq!(
        ended(&anybody, &host),
        (true, false),
        "a token is needed now"
    );
    let viewer = pass(&guarded, Need::Viewer, "view-1").viewer.unwrap();
    let through_host = pass(&guarded, Need::Viewer, "host-2").viewer.unwrap();
    let open = renewed(&guarded, given("host-3"), None);
    assert_eq!(
        ended(&viewer, &host),
        (false, true),
        "no token is needed any more"
    );
    assert!(through_host.revoked().is_cancelled());

    let host = pass(&open, Need::Host, "host-3").host.unwrap();
    let narrower = AccessOptions {
        host_token: given("host-3"),
        ..Default::default()
    };
    let narrower = open.renew(&narrower, vec!["studio".into()]).unwrap();
    assert_eq!(
        ended(&viewer, &host),
        (true, true),
        "an origin is no longer allowed"
    );
    assert!(
        !pass(&narrower, Need::Host, "host-3")
            .host
            .unwrap()
            .revoked()
            .is_cancelled()
    );
}

#[test]
fn a_new_token_forgets_guesses_but_not_how_often_they_were_too_many() {
    let access = given("host-1", None);
    guess(&access, "10.0.0.1");
    assert_eq!(access.lock_outs(), 1);
    let other = HostToken::Given(Token::new("host-2"));
    let access = renewed(&access, other, None);
    guess(&access, "10.0.0.1");
    assert_eq!(access.lock_outs(), 2);
}

#[test]
fn a_token_that_was_made_stays_and_a_given_one_does_not() {
    let access = access(&AccessOptions::default());
    let again = renewed(&access, HostToken::Random, None);
    assert_eq!(again.host_token, access.host_token);
    let given = renewed(&again, HostToken::Given(Token::new("given")), None);
    let made = renewed(&given, HostToken::Random, None);
    assert!(![given.host_token, access.host_token].contains(&made.host_token));
}

#[tokio::test(start_paused = true)]
async fn a_new_token_restarts_the_count_of_wrong_ones() {
    const NEAR: &str = "192.168.1.9";
    let before = given("host-1", None);
    guess(&before, NEAR);
    let token = |text: &str| HostToken::Given(Token::new(text));
    let same = renewed(&before, token("host-1"), Some("view"));
    assert_eq!(
        at_once(&same, Need::Host, "guess", NEAR),
        401,
        "a new viewer token counts too"
    );
    guess(&same, "192.168.1.10");
    let same = renewed(&same, token("host-1"), Some("view"));
    assert_eq!(at_once(&same, Need::Host, "guess", "192.168.1.10"), 429);
    let other = renewed(&same, token("host-2"), Some("view"));
    assert_eq!(at_once(&other, Need::Host, "guess", "192.168.1.10"), 401);
    // An address that was trusted with the old token is no longer trusted.
    assert_eq!(at_once(&other, Need::Host, "host-2", NEAR), 200);
    let last = renewed(&other, token("host-3"), Some("view"));
    guess(&last, NEAR);
}

fn host_status(host: &str) -> u16 {
    admit(&given("t", None), Need::Nothing, "/", &[("host", host)])
        .map_or_else(|status| status, |_| 200)
}

#[test]
fn hosts() {
    for good in [
        "127.0.0.1",
        "192.168.1.5:9876",
        "[::1]:9876",
        "localhost",
        "a.localhost:1",
        "STUDIO:80",
        "studio",
    ] {
        assert_eq!(host_status(good), 200, "{good}");
    }
    for foreign in [
        "evil.example",
        "evil.local",
        "studio.evil.local",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost.",
    ] {
        assert_eq!(host_status(foreign), 421, "{foreign}");
    }
    for malformed in [
        "",
        "a b",
        "[::1",
        "host:99999",
        "a@b",
        "host:x",
        "host:+80",
        "[::1]:+80",
        "host:-0",
    ] {
        assert_eq!(host_status(malformed), 400, "{malformed:?}");
    }
    assert_eq!(
        admit(&given("t", None), Need::Nothing, "/", &[]).unwrap_err(),
        400
    );
    assert_eq!(
        admit(
            &given("t", None),
            Need::Nothing,
            "/",
            &[("host", "a.local"), ("host", "a.local")]
        )
        .unwrap_err(),
        400
    );
}

#[test]
fn origins() {
    let status = |origin: &str| {
        let headers = [("host", "192.168.1.5:9876"), ("origin", origin)];
        admit(&given("t", None), Need::Nothing, "/", &headers).map_or_else(|status| status, |_| 200)
    };
    for good in [
        "http://192.168.1.5:9876",
        "http://192.168.1.5:3000",
        "http://localhost:5173",
        "capacitor://localhost",
        "https://app.example",
        "http://[::1]:80",
    ] {
        assert_eq!(status(good), 200, "{good}");
    }
    for bad in [
        "null",
        "https://evil.example",
        "http://192.168.1.6",
        "file://",
        "https://app.example.evil.example",
        "http://localhost.evil.example",
    ] {
        assert_eq!(status(bad), 403, "{bad}");
    }
}

#[test]
fn only_another_origin_gets_an_answer_to_it() {
    let cross = |origin| {
        admit(
            &given("t", None),
            Need::Nothing,
            "/",
            &[("host", "127.0.0.1:9876"), ("origin", origin)],
        )
        .unwrap()
        .cross_origin
    };
    assert!(cross("http://127.0.0.1:9876").is_none());
    assert_eq!(
        cross("http://localhost:5173").unwrap(),
        "http://localhost:5173"
    );
}

#[test]
fn tokens_in_all_three_places() {
    let access = given("secret", Some("watch"));
    let host = ("host", "localhost");
    let encoded = format!(
        "onlooker.v1, {TOKEN_SUBPROTOCOL}{}",
        URL_SAFE_NO_PAD.encode("secret")
    );
    assert!(
        admit(
            &access,
            Need::Host,
            "/",
            &[host, ("authorization", "Bearer secret")]
        )
        .is_ok()
    );
    assert!(admit(&access, Need::Host, "/?token=secret", &[host]).is_ok());
    assert!(
        admit(
            &access,
            Need::Host,
            "/",
            &[host, ("sec-websocket-protocol", &encoded)]
        )
        .is_ok()
    );
    assert!(admit(&access, Need::Viewer, "/?token=watch", &[host]).is_ok());
    assert!(admit(&access, Need::Viewer, "/?token=secret", &[host]).is_ok());
    assert_eq!(
        admit(&access, Need::Host, "/?token=watch", &[host]).unwrap_err(),
        401
    );
    assert_eq!(admit(&access, Need::Viewer, "/", &[host]).unwrap_err(), 401);
    assert!(admit(&access, Need::Nothing, "/", &[host]).is_ok());
}

#[test]
fn a_wrong_token_is_ignored_where_none_is_needed() {
    let status = |access: &Access, need| {
        let headers = [("host", "localhost"), ("authorization", "Bearer old")];
        admit(access, need, "/", &headers).map_or_else(|status| status, |_| 200)
    };
    let open = given("secret", None);
    assert_eq!(status(&open, Need::Nothing), 200);
    assert_eq!(status(&open, Need::Viewer), 200);
    assert_eq!(status(&open, Need::Host), 401);
    let closed = given("secret", Some("watch"));
    assert_eq!(status(&closed, Need::Nothing), 200);
    assert_eq!(status(&closed, Need::Viewer), 401);

    for _ in 0..2 * GUESSES {
        assert_eq!(status(&open, Need::Nothing), 200);
        assert_eq!(status(&open, Need::Viewer), 200);
        assert_eq!(status(&closed, Need::Nothing), 200);
    }
    for access in [&open, &closed] {
        assert_eq!(at_once(access, Need::Host, "secret", "192.168.1.9"), 200);
    }
}

#[test]
fn made_tokens_can_be_typed_after_a_flag() {
    for _ in 0..500 {
        let token = random_token().unwrap();
        let token = token.reveal();
        assert!(
            token.starts_with(|c: char| c.is_ascii_alphabetic()),
            "{token}"
        );
        assert_eq!(token.len(), 24);
    }
}

#[tokio::test(start_paused = true)]
async fn the_right_token_is_let_in_among_wrong_ones() {
    const HOME: &str = "192.168.1.9";
    let access = given("secret", Some("watch"));
    guess(&access, HOME);
    assert_eq!(at_once(&access, Need::Viewer, "old", HOME), 429);
    assert_eq!(at_once(&access, Need::Nothing, "old", HOME), 200);
    assert_eq!(at_once(&access, Need::Viewer, "watch", "192.168.1.8"), 200);
    let mut late = Box::pin(shown(&access, Need::Host, "secret", HOME));
    assert!(late.as_mut().now_or_never().is_none(), "not at once");
    assert_eq!(late.await, 200);
    assert_eq!(at_once(&access, Need::Host, "secret", HOME), 200, "trusted");
    assert_eq!(at_once(&access, Need::Host, "guess", HOME), 401);
}

#[test]
fn an_address_that_showed_the_right_token_is_not_counted() {
    let access = given("secret", Some("watch"));
    for (need, token, peer) in [
        (Need::Host, "secret", "192.168.1.9"),
        (Need::Viewer, "watch", "2001:db8::9"),
    ] {
        assert_eq!(at_once(&access, need, token, peer), 200);
        for _ in 0..2 * GUESSES {
            assert_eq!(at_once(&access, need, "old", peer), 401);
        }
        assert_eq!(at_once(&access, need, token, peer), 200);
    }
    for _ in 0..2 * GUESSES {
        let status = at_once(&access, Need::Host, "watch", "192.168.1.8");
        assert_eq!(status, 401, "not enough, but not a guess");
    }
}

#[tokio::test(start_paused = true)]
async fn few_may_wait_at_a_time() {
    let access = given("secret", None);
    guess(&access, "192.168.1.9");
    let late = || Box::pin(shown(&access, Need::Host, "secret", "192.168.1.9"));
    let mut waiting: Vec<_> = (0..WAITING).map(|_| late()).collect();
    for one in &mut waiting {
        assert!(one.as_mut().now_or_never().is_none());
    }
    assert_eq!(late().now_or_never(), Some(429));
    // One that goes away makes room.
    waiting[0] = late();
    assert!(waiting[0].as_mut().now_or_never().is_none());
    for one in waiting {
        assert_eq!(one.await, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_tokens_are_forgotten_after_a_while() {
    let access = given("secret", None);
    guess(&access, "192.168.1.9");
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    assert_eq!(at_once(&access, Need::Host, "secret", "192.168.1.9"), 200);
}

#[test]
fn a_network_of_ipv6_counts_as_one_address() {
    let access = given("secret", None);
    for host in 0..u64::from(GUESSES) {
        let peer = format!("2001:db8:1:2:{host:x}::1");
        assert_eq!(at_once(&access, Need::Host, "guess", &peer), 401);
    }
    let status = |peer| at_once(&access, Need::Host, "guess", peer);
    assert_eq!(status("2001:db8:1:2:ffff::1"), 429);
    assert_eq!(status("2001:db8:1:3::1"), 401);
    assert_eq!(status("::ffff:192.168.1.9"), 401);
    for _ in 1..GUESSES {
        assert_eq!(
            status("192.168.1.9"),
            401,
            "the same address in either form"
        );
    }
    assert_eq!(status("::ffff:192.168.1.9"), 429);
}

#[test]
fn strangers_beyond_the_limit_are_counted_together() {
    let access = given("secret", None);
    let guess = |peer: u32| {
        let peer = std::net::Ipv4Addr::from_bits(peer).to_string();
        at_once(&access, Need::Host, "guess", &peer)
    };
    let first = 0x0a00_0001;
    let crowd = first + u32::try_from(REMEMBERED).unwrap();
    for peer in (first..crowd).chain(crowd..crowd + GUESSES) {
        assert_eq!(guess(peer), 401);
    }
    assert_eq!(guess(crowd + GUESSES), 429);
    assert_eq!(guess(first), 401, "a known address is counted alone");
}

#[test]
fn without_a_token_only_this_machine_writes() {
    let access = access(&AccessOptions {
        host_token: HostToken::LoopbackOnly,
        ..Default::default()
    });
    assert_eq!(
        admit(&access, Need::Host, "/", &[("host", "localhost")]).unwrap_err(),
        403
    );
    for _ in 0..2 * GUESSES {
        let status = at_once(&access, Need::Host, "old", "127.0.0.1");
        assert_eq!(status, 200, "where no token is needed, none is wrong");
    }
}
