//! The gate's rules, as tables.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::protocol::TOKEN_SUBPROTOCOL;
use hyper::Request;

fn access(options: &options::Access) -> Access {
    Access::new(options, vec!["studio".into()]).unwrap()
}

fn given(host: &str, viewer: Option<&str>) -> Access {
    let host_token = HostToken::Given(Token::new(host));
    access(&options::Access {
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
    access
        .admit(&parts, "192.168.1.9:5000".parse().unwrap(), need)
        .map_err(|problem| problem.status)
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

    let open = given("secret", None);
    for _ in 0..GUESSES {
        assert_eq!(status(&open, Need::Viewer), 200);
    }
    assert_eq!(status(&open, Need::Viewer), 429, "but it is counted");
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

#[test]
fn guessing_earns_a_pause() {
    let access = given("secret", None);
    for _ in 0..GUESSES {
        assert_eq!(
            admit(
                &access,
                Need::Host,
                "/?token=guess",
                &[("host", "localhost")]
            )
            .unwrap_err(),
            401
        );
    }
    assert_eq!(
        admit(
            &access,
            Need::Host,
            "/?token=secret",
            &[("host", "localhost")]
        )
        .unwrap_err(),
        429
    );
    assert!(
        admit(&access, Need::Viewer, "/", &[("host", "localhost")]).is_ok(),
        "who shows no token guesses none"
    );
}

#[test]
fn without_a_token_only_this_machine_writes() {
    let access = access(&options::Access {
        host_token: HostToken::LoopbackOnly,
        ..Default::default()
    });
    assert_eq!(
        admit(&access, Need::Host, "/", &[("host", "localhost")]).unwrap_err(),
        403
    );
    let (parts, ()) = Request::get("/")
        .header("host", "localhost")
        .body(())
        .unwrap()
        .into_parts();
    assert!(
        access
            .admit(&parts, "127.0.0.1:5".parse().unwrap(), Need::Host)
            .is_ok()
    );
}
