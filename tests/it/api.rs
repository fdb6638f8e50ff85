//! What a host can ask for over HTTP, and every answer it can get: each request of
//! `docs/protocol.md` with each of its status codes, the body checked.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::harness::{Daemon, LIMIT, Response};

const MAIN: &str = "/api/topics/main";
const DEMO: &str = r#"{"name":"Demo","data":{"list":[1,2]},"config":{"speed":1,"color":"red"},"metadata":{"by":"me"}}"#;

/// A daemon with a session, flushing soon.
fn demo() -> Daemon {
    let daemon = Daemon::start();
    daemon.put(DEMO);
    daemon
}

/// A daemon with these lines in its configuration file.
fn configured(toml: &str, args: &[&str]) -> Daemon {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("onlooker.toml");
    std::fs::write(&path, toml).unwrap();
    Daemon::with(
        &[
            &["--debounce", "0ms", "--config", path.to_str().unwrap()],
            args,
        ]
        .concat(),
    )
}

/// A request by the host with headers of its own.
fn ask_with(
    daemon: &Daemon,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let token = format!("Bearer {}", daemon.token);
    let headers = [&[("Authorization", token.as_str())], headers].concat();
    Response::to(daemon.connect(), method, path, &headers, body)
}

/// A request by nobody in particular.
fn stranger(
    daemon: &Daemon,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    Response::to(daemon.connect(), method, path, headers, body)
}

/// The whole answer to an upgrade that is refused.
fn no_socket(daemon: &Daemon, path: &str) -> Response {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    Response::to_raw(daemon.connect(), request.as_bytes())
}

fn patch_json(daemon: &Daemon, operations: &str) -> Response {
    ask_with(
        daemon,
        "PATCH",
        MAIN,
        &[("Content-Type", "application/json-patch+json")],
        operations,
    )
}

/// The session as it is now.
fn session(daemon: &Daemon) -> Value {
    daemon.ask("GET", MAIN, "").json()["data"].clone()
}

fn revision(answer: &Response) -> u64 {
    answer.json()["revision"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("a revision in a string")
}

/// The answer is a problem as RFC 9457 has it, of this status, and its detail says all of `words`.
#[track_caller]
fn problem(answer: &Response, status: u16, words: &[&str]) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{answer:?}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let body = answer.json();
    assert_eq!(body["type"], json!("about:blank"));
    assert_eq!(body["status"], json!(status));
    assert!(body["title"].is_string(), "{body}");
    let detail = body["detail"].as_str().expect("a detail");
    for word in words {
        assert!(detail.contains(word), "{word:?} is not in {detail:?}");
    }
    body
}

#[test]
fn topics_are_listed_once_they_have_a_session() {
    let daemon = Daemon::start();
    assert_eq!(daemon.ask("GET", "/api/topics", "").json(), json!([]));
    let main = daemon.put(DEMO).to_string();
    let stage = daemon.ask("PUT", "/api/topics/a-stage", r#"{"data":1}"#);
    let _viewer = daemon.viewer();
    assert_eq!(
        daemon.ask("GET", "/api/topics", "").json(),
        json!([
            {"topic": "main", "revision": main, "viewers": 1, "name": "Demo"},
            {"topic": "a-stage", "revision": stage.json()["revision"], "viewers": 0, "name": "a-stage"},
        ])
    );
}

#[test]
fn the_status_tells_the_facts() {
    let daemon = demo();
    let answer = stranger(&daemon, "GET", "/api/status", &[], "");
    let status = answer.json();
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(status["running"], json!(true));
    assert_eq!(status["port"], json!(daemon.port));
    assert_eq!(status["clientCount"], json!(0));
    assert!(status["localIp"].is_string() && status["version"].is_string());
    assert!(status["urls"].is_array());
    assert_eq!(
        status["topics"],
        daemon.ask("GET", "/api/topics", "").json()
    );
    assert_eq!(status["defaultTopic"], json!("main"));
    assert!(!answer.body.contains(&daemon.token), "nor the token");
    let named = Daemon::with(&["--topic", "scene"]);
    named.ask("PUT", "/api/topics/main", r#"{"data":1}"#);
    let status = named.ask("GET", "/api/status", "").json();
    assert_eq!(status["defaultTopic"], json!("scene"), "session or not");
}

#[test]
fn a_snapshot_has_a_tag() {
    let daemon = demo();
    let get = |headers: &[(&str, &str)]| stranger(&daemon, "GET", MAIN, headers, "");
    let answer = get(&[]);
    let tag = answer.header("etag").expect("a tag").to_owned();
    assert_eq!(tag, format!("\"{}\"", revision(&answer)));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(
        answer.body,
        format!(r#"{{"revision":{tag},"data":{DEMO}}}"#)
    );
    for same in [
        tag.clone(),
        format!("W/{tag}"),
        "*".into(),
        format!("\"1\", {tag}"),
    ] {
        let answer = get(&[("If-None-Match", &same)]);
        assert_eq!((answer.status, answer.body.as_str()), (304, ""), "{same}");
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
    }
    assert_eq!(get(&[("If-None-Match", "\"1\"")]).status, 200);
    let head = stranger(&daemon, "HEAD", MAIN, &[], "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("etag"), Some(tag.as_str()));
}

#[test]
fn replacing() {
    let daemon = Daemon::start();
    let first = daemon.ask("PUT", MAIN, DEMO);
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(
        first.body,
        format!(r#"{{"revision":"{}","data":{DEMO}}}"#, revision(&first))
    );
    let again = daemon.ask("PUT", MAIN, DEMO);
    assert_eq!(
        (again.status, &again.body),
        (200, &first.body),
        "nothing changed"
    );
    let other = daemon.ask("PUT", MAIN, "[1, 2]");
    assert_eq!(other.status, 200);
    assert!(revision(&other) > revision(&first));
    assert_eq!(
        other.json()["data"],
        json!({"name": "main", "data": [1, 2], "config": {}, "metadata": {}})
    );
    let wrong = daemon.ask("PUT", MAIN, r#"{"data":1,"config":[]}"#);
    problem(&wrong, 422, &["config", "expected an object", "got array"]);
    let wrong = daemon.ask("PUT", MAIN, r#"{"data":1,"name":7}"#);
    problem(&wrong, 422, &["name", "expected a string", "got number"]);
    assert_eq!(
        session(&daemon)["data"],
        json!([1, 2]),
        "the last good state stays"
    );
}

#[test]
fn merge_patches() {
    let daemon = demo();
    let merge = |patch: &str| {
        let kind = [(
            "Content-Type",
            "application/merge-patch+json; charset=utf-8",
        )];
        ask_with(&daemon, "PATCH", MAIN, &kind, patch)
    };
    let before = revision(&daemon.ask("GET", MAIN, ""));
    let answer = merge(
        r#"{"data":{"list":null,"more":{"deep":1}},"config":{"speed":2,"color":null},"metadata":{"by":null}}"#,
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(revision(&answer) > before);
    assert_eq!(
        answer.json()["data"],
        json!({"name": "Demo", "data": {"more": {"deep": 1}}, "config": {"speed": 2}, "metadata": {}})
    );
    assert_eq!(
        answer.header("etag"),
        Some(format!("\"{}\"", revision(&answer)).as_str())
    );
    let plain = daemon.ask("PATCH", MAIN, r#"{"name":"Other"}"#);
    assert_eq!(
        plain.json()["data"]["name"],
        json!("Other"),
        "application/json merges too"
    );
    assert_eq!(
        revision(&merge(r#"{"name":"Other"}"#)),
        revision(&plain),
        "what changes nothing gets no revision"
    );
    problem(
        &merge(r#"{"nmae":1}"#),
        422,
        &["\"nmae\"", "name, data, config, metadata"],
    );
    problem(
        &merge(r#"[{"op":"remove","path":"/data"}]"#),
        422,
        &["is an object, got array", "application/json-patch+json"],
    );
    problem(
        &merge(r#"{"config":3}"#),
        422,
        &["config: expected an object, got number"],
    );
    let absent = daemon.ask("PATCH", "/api/topics/absent", "{}");
    problem(&absent, 404, &["\"absent\""]);
}

#[test]
fn json_patches() {
    let daemon = demo();
    let answer = patch_json(
        &daemon,
        r#"[{"op":"test","path":"/name","value":"Demo"},
            {"op":"add","path":"/data/list/-","value":18446744073709551616},
            {"op":"replace","path":"/config/speed","value":1.50},
            {"op":"remove","path":"/config/color"},
            {"op":"copy","from":"/data/list/0","path":"/data/a~1b"},
            {"op":"move","from":"/metadata/by","path":"/metadata/of"}]"#,
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        answer.body.ends_with(r#""data":{"name":"Demo","data":{"list":[1,2,18446744073709551616],"a/b":1},"config":{"speed":1.50},"metadata":{"of":"me"}}}"#),
        "{}",
        answer.body
    );
    let before = revision(&answer);
    let failed = patch_json(
        &daemon,
        r#"[{"op":"replace","path":"/config/speed","value":9},{"op":"test","path":"/name","value":"Other"}]"#,
    );
    problem(&failed, 422, &["operation 1"]);
    problem(
        &patch_json(&daemon, r#"[{"op":"remove","path":"/nowhere"}]"#),
        422,
        &["operation 0"],
    );
    problem(
        &patch_json(&daemon, r#"[{"op":"dance","path":"/name"}]"#),
        400,
        &["RFC 6902"],
    );
    problem(
        &patch_json(&daemon, r#"{"op":"remove","path":"/name"}"#),
        400,
        &["RFC 6902"],
    );
    problem(
        &patch_json(&daemon, r#"[{"op":"replace","path":"/name","value":1}]"#),
        422,
        &["name: expected a string"],
    );
    problem(
        &patch_json(&daemon, r#"[{"op":"add","path":"/other","value":1}]"#),
        422,
        &["\"other\"", "name, data, config, metadata"],
    );
    let as_written = patch_json(
        &daemon,
        r#"[{"op":"test","path":"/config/speed","value":1.5}]"#,
    );
    problem(&as_written, 422, &["operation 0"]);
    assert_eq!(
        session(&daemon)["config"]["speed"],
        serde_json::from_str::<Value>("1.50").unwrap(),
        "all of it or nothing"
    );
    let now = revision(&daemon.ask("GET", MAIN, ""));
    assert!(
        now > before,
        "a refused write is announced under a new revision"
    );
}

#[test]
fn a_patch_cannot_blow_the_session_up() {
    let daemon = Daemon::with(&["--max-session", "64KiB"]);
    daemon.put(r#"{"data":{"a":"0123456789abcdef"}}"#);
    let copy = |index: usize| format!(r#"{{"op":"copy","from":"/data","path":"/data/x{index}"}}"#);
    let bomb: Vec<String> = (0..500).map(copy).collect();
    let answer = patch_json(&daemon, &format!("[{}]", bomb.join(",")));
    problem(&answer, 413, &["65536", "--max-session"]);
    let deeper = |_| r#"{"op":"copy","from":"/data","path":"/data/a"}"#.to_owned();
    let nested: Vec<String> = (0..200).map(deeper).collect();
    let answer = patch_json(&daemon, &format!("[{}]", nested.join(",")));
    problem(&answer, 422, &["nesting", "128"]);
    let level = r#"{"op":"add","path":"/data/a","value":[[[[[[[[[[]]]]]]]]]]}"#;
    assert_eq!(patch_json(&daemon, &format!("[{level}]")).status, 200);
    let deep = format!("{}1{}", "{\"a\":".repeat(120), "}".repeat(120));
    let merge = format!(r#"{{"data":{deep}}}"#);
    assert_eq!(daemon.ask("PATCH", MAIN, &merge).status, 200);
    let deepest = format!(
        r#"[{{"op":"copy","from":"/data","path":"/data{}"}}]"#,
        "/a".repeat(100)
    );
    problem(&patch_json(&daemon, &deepest), 422, &["nesting"]);
}

#[test]
fn fields_merge_into_the_config() {
    let daemon = demo();
    let path = "/api/topics/main/config";
    let answer = daemon.ask("PATCH", path, r#"{"speed":1.50,"new":[1]}"#);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        answer
            .body
            .contains(r#""config":{"speed":1.50,"color":"red","new":[1]}"#),
        "{}",
        answer.body
    );
    let answer = daemon.ask("PATCH", path, r#"{"new":null,"absent":null}"#);
    assert_eq!(
        answer.json()["data"]["config"],
        serde_json::from_str::<Value>(r#"{"speed":1.50,"color":"red"}"#).unwrap(),
        "null removes"
    );
    problem(
        &daemon.ask("PATCH", path, "[1]"),
        422,
        &["the body", "got array"],
    );
    let absent = daemon.ask("PATCH", "/api/topics/absent/config", r#"{"a":1}"#);
    problem(&absent, 404, &["\"absent\""]);
    let kind = [("Content-Type", "application/json-patch+json")];
    problem(
        &ask_with(&daemon, "PATCH", path, &kind, "[]"),
        415,
        &["application/merge-patch+json"],
    );
}

#[test]
fn one_field_is_read_and_written() {
    let daemon = demo();
    let path = "/api/topics/main/config/speed";
    let before = daemon.ask("GET", path, "").json();
    assert_eq!(
        before,
        json!({"value": 1, "serverRevision": revision(&daemon.ask("GET", MAIN, ""))})
    );
    let body = r#"{"value":1.50,"deviceId":100000000000000,"localRevision":9007199254740991}"#;
    let answer = daemon.ask("PUT", path, body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let written = answer.json();
    let at = written["serverRevision"].as_u64().expect("a number");
    assert!(at > before["serverRevision"].as_u64().unwrap());
    assert!(
        answer.body.contains("1.50"),
        "to the digit: {}",
        answer.body
    );
    let read = daemon.ask("GET", path, "");
    assert_eq!(
        read.body,
        format!(
            r#"{{"value":1.50,"serverRevision":{at},"deviceId":100000000000000,"localRevision":9007199254740991}}"#
        )
    );
    assert_eq!(read.header("cache-control"), Some("no-store"));
    let same = daemon.ask("PUT", path, body).json();
    assert_eq!(
        same["serverRevision"],
        json!(at),
        "unchanged: the same revision"
    );
    daemon.ask(
        "PUT",
        "/api/topics/main/config/color",
        r#"{"value":"blue"}"#,
    );
    assert_eq!(
        daemon.ask("GET", path, "").json()["serverRevision"],
        json!(at),
        "another field's write is not this one's"
    );
}

#[test]
fn a_field_can_be_odd_or_absent() {
    let daemon = demo();
    let odd = "/api/topics/main/config/a%2Fb%20%C3%A9";
    assert_eq!(daemon.ask("PUT", odd, r#"{"value":true}"#).status, 200);
    assert_eq!(daemon.ask("GET", odd, "").json()["value"], json!(true));
    assert_eq!(session(&daemon)["config"]["a/b é"], json!(true));
    let removed = daemon.ask("PUT", odd, r#"{"value":null}"#);
    assert_eq!(removed.json()["value"], json!(null));
    problem(&daemon.ask("GET", odd, ""), 404, &["a/b é"]);
    let path = "/api/topics/main/config/speed";
    problem(
        &daemon.ask("PUT", path, "{}"),
        422,
        &["\"value\" is missing"],
    );
    problem(&daemon.ask("PUT", path, "7"), 422, &["expected an object"]);
    let wrong = r#"{"value":1,"deviceId":100000000000001}"#;
    problem(
        &daemon.ask("PUT", path, wrong),
        422,
        &["deviceId", "100000000000000", "got 100000000000001"],
    );
    let wrong = r#"{"value":1,"localRevision":-1}"#;
    problem(
        &daemon.ask("PUT", path, wrong),
        422,
        &["localRevision", "got -1"],
    );
    let absent = "/api/topics/absent/config/speed";
    problem(
        &daemon.ask("PUT", absent, r#"{"value":1}"#),
        404,
        &["\"absent\""],
    );
    problem(&daemon.ask("GET", absent, ""), 404, &["\"absent\""]);
}

#[test]
fn writers_names_come_back_in_origins() {
    let daemon = demo();
    let mut viewer = daemon.viewer();
    viewer.json();
    let body = r#"{"value":2,"deviceId":7,"localRevision":3}"#;
    let source = [("Onlooker-Source-Id", "panel")];
    let path = "/api/topics/main/config/speed";
    let answer = ask_with(&daemon, "PUT", path, &source, body).json();
    let at = &answer["serverRevision"];
    let frame = viewer.json();
    assert_eq!(frame["payload"], json!({"speed": 2}));
    assert_eq!(
        frame["origins"],
        json!({"speed": {"revision": at, "sourceId": "panel", "deviceId": 7, "localRevision": 3}})
    );
    let headers = [
        ("Onlooker-Device-Id", "8"),
        ("Onlooker-Local-Revision", "4"),
    ];
    ask_with(
        &daemon,
        "PATCH",
        "/api/topics/main/config",
        &headers,
        r#"{"speed":3,"color":"blue"}"#,
    );
    let frame = viewer.json();
    assert_eq!(frame["origins"]["color"]["deviceId"], json!(8));
    assert_eq!(frame["origins"]["speed"]["localRevision"], json!(4));
    assert_eq!(frame["origins"]["speed"]["sourceId"], json!(null));
    daemon.ask("PUT", path, r#"{"value":4}"#);
    assert_eq!(
        viewer.json()["origins"],
        json!(null),
        "who gives no name has none"
    );
}

#[test]
fn a_writers_name_is_checked() {
    let daemon = demo();
    let with = |name: &str, value: &str| {
        ask_with(
            &daemon,
            "PATCH",
            "/api/topics/main/config",
            &[(name, value)],
            r#"{"speed":9}"#,
        )
    };
    for bad in ["100000000000001", "-1", "1.5", "seven", ""] {
        problem(
            &with("Onlooker-Device-Id", bad),
            400,
            &["onlooker-device-id"],
        );
    }
    problem(
        &with("Onlooker-Local-Revision", "9007199254740992"),
        400,
        &["onlooker-local-revision"],
    );
    problem(
        &with("Onlooker-Source-Id", &"x".repeat(129)),
        400,
        &["onlooker-source-id", "128"],
    );
    // The store would have it in a line that it does not read back.
    problem(
        &with("Onlooker-Source-Id", "$serde_json::private::Number"),
        400,
        &["onlooker-source-id", "reserved"],
    );
    assert_eq!(session(&daemon)["config"]["speed"], json!(1));
    assert_eq!(with("Onlooker-Source-Id", &"x".repeat(128)).status, 200);
}

#[test]
fn stale_writes_learn_the_present_revision() {
    let daemon = demo();
    let old = format!("\"{}\"", revision(&daemon.ask("GET", MAIN, "")));
    let now = daemon.put(r#"{"data":2,"config":{"speed":1}}"#);
    let writes = [
        ("PUT", MAIN, "{\"data\":3}"),
        ("PATCH", MAIN, "{\"data\":3}"),
        ("PATCH", "/api/topics/main/config", "{\"speed\":3}"),
        ("PUT", "/api/topics/main/config/speed", "{\"value\":3}"),
        ("DELETE", MAIN, ""),
    ];
    for (method, path, body) in writes {
        let answer = ask_with(&daemon, method, path, &[("If-Match", &old)], body);
        let refused = problem(&answer, 412, &[&now.to_string()]);
        assert_eq!(
            refused["revision"],
            json!(now.to_string()),
            "{method} {path}"
        );
    }
    let mut now = now;
    for (method, path, body) in writes {
        let tag = format!("\"{now}\"");
        let answer = ask_with(&daemon, method, path, &[("If-Match", &tag)], body);
        assert!(answer.status == 200 || answer.status == 204, "{answer:?}");
        if method != "DELETE" {
            daemon.ask(
                "PATCH",
                MAIN,
                &format!(r#"{{"metadata":{now},"config":{{"speed":1}}}}"#),
            );
            now = revision(&daemon.ask("GET", MAIN, ""));
        }
    }
    let any = ask_with(&daemon, "PUT", MAIN, &[("If-Match", "*")], "1");
    problem(&any, 404, &["\"main\""]);
    daemon.put(DEMO);
    assert_eq!(
        ask_with(&daemon, "PUT", MAIN, &[("If-Match", "*")], "1").status,
        200
    );
    let odd = ask_with(&daemon, "PUT", MAIN, &[("If-Match", "\"01\"")], "1");
    problem(&odd, 400, &["If-Match", "01"]);
}

#[test]
fn of_racing_conditional_writes_one_wins() {
    let daemon = demo();
    for round in 0..20 {
        let tag = format!("\"{}\"", revision(&daemon.ask("GET", MAIN, "")));
        let attempt = |writer: usize| {
            let body = format!(r#"{{"data":[{round},{writer}]}}"#);
            ask_with(&daemon, "PUT", MAIN, &[("If-Match", &tag)], &body).status
        };
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let start = |writer| scope.spawn(move || attempt(writer));
            let racing: Vec<_> = (0..4).map(start).collect();
            racing.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let won = statuses.iter().filter(|status| **status == 200).count();
        let lost = statuses.iter().filter(|status| **status == 412).count();
        assert_eq!((won, lost), (1, 3), "{statuses:?}");
    }
}

#[test]
fn topics_have_proper_names() {
    let daemon = Daemon::start();
    let long = "x".repeat(128);
    for good in ["a", "A.b_c-9", long.as_str(), "%61bc"] {
        let path = format!("/api/topics/{good}");
        assert_eq!(daemon.ask("PUT", &path, "1").status, 201, "{good}");
    }
    assert_eq!(daemon.ask("GET", "/api/topics/abc", "").status, 200);
    let longer = "x".repeat(129);
    for bad in ["a%20b", "a%2Fb", "%C3%A9", "%FF", "a%00", longer.as_str()] {
        let path = format!("/api/topics/{bad}");
        problem(&daemon.ask("PUT", &path, "1"), 400, &[]);
        problem(&daemon.ask("GET", &path, ""), 400, &[]);
        problem(&no_socket(&daemon, &format!("/?topic={bad}")), 400, &[]);
    }
}

#[test]
fn a_deleted_topic_is_gone_for_its_viewers() {
    let daemon = demo();
    daemon.ask("PUT", "/api/topics/stage", "1");
    let mut main = daemon.viewer();
    let mut stage = daemon.socket("/?topic=stage", &[]);
    main.json();
    stage.json();
    let answer = daemon.ask("DELETE", "/api/topics/stage", "");
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert_eq!(stage.close_code(), Some(4404));
    problem(
        &daemon.ask("GET", "/api/topics/stage", ""),
        404,
        &["\"stage\""],
    );
    problem(
        &daemon.ask("DELETE", "/api/topics/stage", ""),
        404,
        &["\"stage\""],
    );
    problem(&no_socket(&daemon, "/?topic=stage"), 404, &["\"stage\""]);
    assert_eq!(daemon.ask("DELETE", MAIN, "").status, 204);
    assert_eq!(main.close_code(), Some(4404));
    let mut waiting = daemon.viewer();
    daemon.put(r#"{"data":"anew"}"#);
    assert_eq!(
        waiting.json()["payload"]["data"],
        json!("anew"),
        "the default topic is there even without a session"
    );
}

#[test]
fn who_replaces_while_others_delete_is_never_told_404() {
    let daemon = Daemon::start();
    std::thread::scope(|scope| {
        let deletes = scope.spawn(|| {
            for _ in 0..300 {
                let status = daemon.ask("DELETE", "/api/topics/stage", "").status;
                assert!(status == 204 || status == 404, "{status}");
            }
        });
        let mut last = 0;
        for count in 0.. {
            let answer = daemon.ask("PUT", "/api/topics/stage", &format!("[{count}]"));
            assert!(answer.status == 200 || answer.status == 201, "{answer:?}");
            assert!(revision(&answer) > last, "{answer:?} after {last}");
            last = revision(&answer);
            if deletes.is_finished() {
                break;
            }
        }
    });
}

#[test]
fn racing_writers_are_each_told_of_their_own_write() {
    let daemon = demo();
    let told: std::collections::BTreeSet<u64> = std::thread::scope(|scope| {
        let write = |writer: usize| {
            let daemon = &daemon;
            move || -> Vec<u64> {
                let one = |count| {
                    let value = json!([writer, count]);
                    let body = json!({"data": value, "config": {"speed": 1}}).to_string();
                    let answer = daemon.ask("PUT", MAIN, &body);
                    assert_eq!(answer.json()["data"]["data"], value);
                    revision(&answer)
                };
                (0..100).map(one).collect()
            }
        };
        let racing: Vec<_> = (0..4).map(|writer| scope.spawn(write(writer))).collect();
        racing
            .into_iter()
            .flat_map(|one| one.join().unwrap())
            .collect()
    });
    assert_eq!(told.len(), 400, "as many revisions as writes");
}

#[test]
fn a_text_is_broadcast_as_it_is() {
    let daemon = demo();
    daemon.ask("PUT", "/api/topics/stage", "1");
    let (mut first, mut second) = (daemon.viewer(), daemon.viewer());
    let mut other = daemon.socket("/?topic=stage", &[]);
    first.json();
    second.json();
    other.json();
    let path = "/api/topics/main/broadcast";
    let text = " {\"any\": [text,\r\n\u{1F680}\u{0} ";
    let kind = [("Content-Type", "text/plain")];
    let answer = ask_with(&daemon, "POST", path, &kind, text);
    assert_eq!((answer.status, answer.json()), (200, json!({"viewers": 2})));
    assert_eq!(first.text().as_deref(), Some(text));
    assert_eq!(second.text().as_deref(), Some(text));
    daemon.ask("PUT", "/api/topics/stage", "2");
    assert_eq!(
        other.json()["payload"]["data"],
        json!(2),
        "other topics hear nothing"
    );
    let empty = daemon.ask("POST", "/api/topics/stage/broadcast", "");
    assert_eq!(empty.json(), json!({"viewers": 1}));
    problem(
        &daemon.ask("POST", "/api/topics/absent/broadcast", "x"),
        404,
        &["\"absent\""],
    );
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Length: 2\r\n\r\n",
        daemon.token
    );
    let bytes = [request.as_bytes(), b"\xff\xfe"].concat();
    problem(&Response::to_raw(daemon.connect(), &bytes), 400, &["UTF-8"]);
}

#[test]
fn a_session_can_be_sent_again() {
    let daemon = demo();
    let mut viewer = daemon.viewer();
    let first = viewer.text();
    let answer = daemon.ask("POST", "/api/topics/main/resend", "");
    assert_eq!((answer.status, answer.json()), (200, json!({"viewers": 1})));
    assert_eq!(
        viewer.text(),
        first,
        "the same frame under the same revision"
    );
    problem(
        &daemon.ask("POST", "/api/topics/absent/resend", ""),
        404,
        &["\"absent\""],
    );
}

#[test]
fn the_whitelist_can_be_read() {
    let daemon = demo();
    assert_eq!(
        daemon.ask("GET", "/api/topics/main/fields", "").json(),
        json!({"fields": {"speed": {"type": "number"}, "color": {"type": "string"}}, "learned": true})
    );
    let declared = configured(
        "[fields]\nspeed = { type = \"number\", min = 0, max = 5, step = 0.5, label = \"Speed\" }\nmode = { type = \"string\", options = [\"a\", \"b\"] }\n",
        &[],
    );
    let fields = declared.ask("GET", "/api/topics/main/fields", "").json();
    assert_eq!(fields["learned"], json!(false));
    assert_eq!(
        fields["fields"]["speed"],
        json!({"type": "number", "min": 0.0, "max": 5.0, "step": 0.5, "label": "Speed"})
    );
    assert_eq!(fields["fields"]["mode"]["options"], json!(["a", "b"]));
    problem(
        &daemon.ask("GET", "/api/topics/absent/fields", ""),
        404,
        &[],
    );
}

#[test]
fn viewers_are_listed_and_sent_away() {
    let daemon = demo();
    let agent = [("User-Agent", "Mozilla/5.0 (iPhone) Safari/604.1")];
    let mut viewer = daemon.socket("/", &agent);
    let at = viewer.json()["revision"].clone();
    let list = daemon.ask("GET", "/api/viewers", "").json();
    let line = &list[0];
    assert_eq!(
        (&line["topic"], &line["device"], &line["address"]),
        (
            &json!("main"),
            &json!("iPhone · Safari"),
            &json!("127.0.0.1")
        )
    );
    assert_eq!((&line["revision"], &line["current"]), (&at, &json!(true)));
    assert!(
        line["connectedMs"].is_u64() && line["bytes"].is_u64(),
        "{line}"
    );
    problem(
        &stranger(&daemon, "GET", "/api/viewers", &[], ""),
        401,
        &["host token"],
    );
    problem(
        &daemon.ask("DELETE", "/api/viewers/999999", ""),
        404,
        &["999999"],
    );
    problem(&daemon.ask("DELETE", "/api/viewers/me", ""), 400, &[]);
    let path = format!("/api/viewers/{}", line["id"]);
    assert_eq!(daemon.ask("DELETE", &path, "").status, 204);
    assert_eq!(viewer.close_code(), Some(1008));
    // It is on the list until it has answered the close, two seconds at most.
    let deadline = std::time::Instant::now() + LIMIT;
    while daemon.ask("GET", "/api/viewers", "").json() != json!([]) {
        assert!(std::time::Instant::now() < deadline, "it stays");
    }
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    let daemon = demo();
    let requests = [
        ("PUT", MAIN, "application/json"),
        ("PATCH", MAIN, "application/merge-patch+json"),
        ("PATCH", MAIN, "application/json-patch+json"),
        ("PATCH", "/api/topics/main/config", "application/json"),
        ("PUT", "/api/topics/main/config/speed", "application/json"),
    ];
    for (method, path, kind) in requests {
        let answer = ask_with(
            &daemon,
            method,
            path,
            &[("Content-Type", kind)],
            "{\n  \"a\": nul }",
        );
        problem(&answer, 400, &["line 2", "column"]);
        problem(
            &ask_with(&daemon, method, path, &[("Content-Type", kind)], ""),
            400,
            &["line 1"],
        );
        let answer = ask_with(
            &daemon,
            method,
            path,
            &[("Content-Type", "text/plain")],
            "{}",
        );
        problem(&answer, 415, &["application/", "text/plain"]);
    }
    assert_eq!(
        session(&daemon),
        serde_json::from_str::<Value>(DEMO).unwrap()
    );
}

#[test]
fn a_path_or_a_method_that_is_none() {
    let daemon = demo();
    for path in [
        "/api",
        "/api/nothing",
        "/api/topics/main/else",
        "/nothing",
        "/api/topics/",
    ] {
        problem(&daemon.ask("GET", path, ""), 404, &["there is nothing at"]);
    }
    problem(
        &daemon.ask("GET", "/api/topics/absent", ""),
        404,
        &["\"absent\""],
    );
    let wrong = [
        ("POST", MAIN, "GET,HEAD,PUT,PATCH,DELETE"),
        ("DELETE", "/api/topics", "GET,HEAD"),
        ("PUT", "/api/status", "GET,HEAD"),
        ("GET", "/api/topics/main/broadcast", "POST"),
        ("GET", "/api/topics/main/config", "PATCH"),
        ("POST", "/sync", "GET,HEAD"),
    ];
    for (method, path, allowed) in wrong {
        let answer = daemon.ask(method, path, "");
        problem(&answer, 405, &["method"]);
        let mut allow: Vec<&str> = answer
            .header("allow")
            .expect("RFC 9110")
            .split(',')
            .collect();
        let mut expected: Vec<&str> = allowed.split(',').collect();
        allow.sort_unstable();
        expected.sort_unstable();
        assert_eq!(allow, expected, "{method} {path}");
    }
    problem(&daemon.ask("BREW", MAIN, ""), 405, &["BREW"]);
}

#[test]
fn writing_needs_the_token() {
    let daemon = demo();
    let writes = [
        ("PUT", MAIN),
        ("PATCH", MAIN),
        ("DELETE", MAIN),
        ("PATCH", "/api/topics/main/config"),
        ("PUT", "/api/topics/main/config/speed"),
        ("POST", "/api/topics/main/broadcast"),
        ("POST", "/api/topics/main/resend"),
        ("DELETE", "/api/viewers/0"),
    ];
    for (method, path) in writes {
        let answer = stranger(&daemon, method, path, &[], "{\"value\":9}");
        problem(&answer, 401, &["host token", "Authorization: Bearer"]);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    problem(&no_socket(&daemon, "/host"), 401, &["host token"]);
    assert_eq!(
        session(&daemon),
        serde_json::from_str::<Value>(DEMO).unwrap()
    );
    let query = format!("{MAIN}?token={}", daemon.token);
    assert_eq!(stranger(&daemon, "PUT", &query, &[], "1").status, 200);
}

#[test]
fn watching_may_need_a_token_too() {
    let daemon = Daemon::with(&["--viewer-token", "0123456789abcdef0123456789"]);
    daemon.put(DEMO);
    let reads = [
        "/api/topics",
        MAIN,
        "/api/status",
        "/api/topics/main/config/speed",
        "/api/topics/main/fields",
        "/sync",
        "/qr.svg",
    ];
    for path in reads {
        problem(
            &stranger(&daemon, "GET", path, &[], ""),
            401,
            &["viewer token"],
        );
        if path != "/sync" {
            let query = format!("{path}?token=0123456789abcdef0123456789");
            assert_eq!(
                stranger(&daemon, "GET", &query, &[], "").status,
                200,
                "{path}"
            );
            assert_eq!(
                daemon.ask("GET", path, "").status,
                200,
                "the host may watch"
            );
        }
    }
    let write = stranger(
        &daemon,
        "PUT",
        &format!("{MAIN}?token=0123456789abcdef0123456789"),
        &[],
        "1",
    );
    problem(&write, 401, &["host token"]);
}

#[test]
fn without_a_host_token_this_machine_writes() {
    let daemon = Daemon::with(&["--host-token", "none"]);
    assert_eq!(stranger(&daemon, "PUT", MAIN, &[], DEMO).status, 201);
}

#[test]
fn guessing_tokens_ends_soon() {
    // Nobody has shown it the right token yet.
    let daemon = Daemon::start();
    let guess = || {
        stranger(
            &daemon,
            "PUT",
            MAIN,
            &[("Authorization", "Bearer guess")],
            "1",
        )
    };
    for _ in 0..10 {
        problem(&guess(), 401, &["host token"]);
    }
    let answer = guess();
    problem(&answer, 429, &["wait a minute"]);
    assert_eq!(answer.header("retry-after"), Some("60"));
    assert_eq!(
        stranger(&daemon, "GET", "/api/status", &[], "").status,
        200,
        "who shows none may watch"
    );
    assert_eq!(daemon.ask("PUT", MAIN, "1").status, 201, "late, but let in");
    problem(&guess(), 401, &["host token"]);
}

#[test]
fn a_page_cannot_lock_the_host_out() {
    let daemon = Daemon::start();
    for index in 0..20 {
        let picture = format!("/picture.png?token={index}");
        assert_eq!(stranger(&daemon, "GET", &picture, &[], "").status, 404);
        let old = format!("/api/status?token={index}");
        assert_eq!(stranger(&daemon, "GET", &old, &[], "").status, 200);
    }
    problem(
        &stranger(&daemon, "PUT", MAIN, &[("Authorization", "Bearer 1")], "1"),
        401,
        &["host token"],
    );
    daemon.put(DEMO);
}

#[test]
fn hosts_and_origins_are_checked() {
    let daemon = demo();
    for (origin, status) in [
        ("https://evil.example", 403),
        ("null", 403),
        ("http://localhost:5173", 200),
    ] {
        let answer = stranger(&daemon, "GET", MAIN, &[("Origin", origin)], "");
        assert_eq!(answer.status, status, "{origin}");
        if status == 403 {
            problem(&answer, 403, &[origin, "--allow-origin"]);
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    let rebound = b"GET /api/topics/main HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n";
    problem(
        &Response::to_raw(daemon.connect(), rebound),
        421,
        &["evil.example", "--allow-host"],
    );
    let doubled = b"GET /api/topics/main HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    problem(
        &Response::to_raw(daemon.connect(), doubled),
        400,
        &["exactly one Host"],
    );
}

#[test]
fn too_much_is_refused_by_name() {
    let daemon = Daemon::with(&["--max-session", "1KiB", "--max-topics", "2"]);
    let body = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
    assert_eq!(daemon.ask("PUT", MAIN, &body(1000)).status, 201);
    problem(
        &daemon.ask("PUT", MAIN, &body(1025)),
        413,
        &["1024", "--max-session"],
    );
    let chunked = format!(
        "PUT {MAIN} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n401\r\n{}\r\n0\r\n\r\n",
        daemon.token,
        body(1025)
    );
    problem(
        &Response::to_raw(daemon.connect(), chunked.as_bytes()),
        413,
        &["1024", "--max-session"],
    );
    let grow = format!(r#"{{"metadata":{}}}"#, body(900));
    problem(
        &daemon.ask("PATCH", MAIN, &grow),
        413,
        &["1024", "--max-session"],
    );
    assert_eq!(daemon.ask("PUT", "/api/topics/second", "1").status, 201);
    let third = daemon.ask("PUT", "/api/topics/third", "1");
    problem(&third, 503, &["2 topics", "--max-topics"]);
    assert!(third.header("retry-after").is_some());
}

#[test]
fn no_body_is_read_as_what_it_is_not() {
    let daemon = demo();
    let before = session(&daemon);
    let gzip = [("Content-Encoding", "gzip")];
    for (method, path) in [
        ("PUT", MAIN),
        ("PATCH", MAIN),
        ("PATCH", "/api/topics/main/config"),
        ("PUT", "/api/topics/main/config/speed"),
        ("POST", "/api/topics/main/broadcast"),
    ] {
        let body = r#"{"value":7}"#;
        let answer = ask_with(&daemon, method, path, &gzip, body);
        problem(&answer, 415, &["Content-Encoding", "gzip"]);
        let twice = [("Content-Encoding", "identity, br")];
        let answer = ask_with(&daemon, method, path, &twice, body);
        problem(&answer, 415, &["Content-Encoding", "br"]);
    }
    assert_eq!(session(&daemon), before);
    let plain = [("Content-Encoding", "Identity")];
    assert_eq!(ask_with(&daemon, "PUT", MAIN, &plain, DEMO).status, 200);
}

#[test]
fn refused_fields_are_all_named() {
    let daemon = configured(
        "[fields]\nspeed = { type = \"number\", min = 0, max = 5 }\nmode = { type = \"string\", options = [\"a\", \"b\"] }\non = \"boolean\"\n",
        &[],
    );
    daemon.put(r#"{"data":1,"config":{"speed":1,"mode":"a","on":true,"free":1}}"#);
    let bad = r#"{"speed":9,"mode":"c","on":null,"free":"anything"}"#;
    let expected = json!([
        {"field": "speed", "expected": "number from 0 to 5", "got": "9"},
        {"field": "mode", "expected": "one of \"a\", \"b\"", "got": "\"c\""},
        {"field": "on", "expected": "boolean", "got": "null"},
    ]);
    let replaced = daemon.ask("PUT", MAIN, &format!(r#"{{"data":2,"config":{bad}}}"#));
    assert_eq!(
        problem(&replaced, 422, &["speed", "mode", "on"])["errors"],
        expected
    );
    let merged = daemon.ask(
        "PATCH",
        "/api/topics/main/config",
        r#"{"speed":"1","mode":"c"}"#,
    );
    let errors = &problem(&merged, 422, &["speed", "mode"])["errors"];
    assert_eq!(errors[0]["got"], json!("\"1\""));
    assert_eq!(errors[1]["field"], json!("mode"));
    let one = daemon.ask("PUT", "/api/topics/main/config/speed", r#"{"value":1e400}"#);
    assert_eq!(problem(&one, 422, &[])["errors"][0]["got"], json!("1e400"));
    let patched = patch_json(
        &daemon,
        r#"[{"op":"replace","path":"/config/speed","value":-1}]"#,
    );
    assert_eq!(
        problem(&patched, 422, &[])["errors"][0]["field"],
        json!("speed")
    );
    assert_eq!(
        session(&daemon),
        json!({"name": "main", "data": 1, "config": {"speed": 1, "mode": "a", "on": true, "free": 1}, "metadata": {}})
    );
}

#[test]
fn ignored_parts_are_dropped_on_arrival() {
    let daemon = configured("ignore = [\"/metadata/ui\", \"/config/draft\"]\n", &[]);
    let first = daemon
        .put(r#"{"data":1,"config":{"draft":1,"speed":1},"metadata":{"ui":{"x":1},"by":"me"}}"#);
    assert_eq!(
        session(&daemon),
        json!({"name": "main", "data": 1, "config": {"speed": 1}, "metadata": {"by": "me"}})
    );
    let answer = daemon.ask(
        "PATCH",
        MAIN,
        r#"{"config":{"draft":2},"metadata":{"ui":7}}"#,
    );
    assert_eq!(revision(&answer), first, "and cause no frame");
}

#[test]
fn probes_and_metrics() {
    let daemon = Daemon::start();
    let get = |path: &str| stranger(&daemon, "GET", path, &[], "");
    assert_eq!(
        (get("/healthz").status, get("/healthz").body.as_str()),
        (200, "ok\n")
    );
    problem(&get("/readyz"), 503, &["no session yet"]);
    daemon.put(DEMO);
    assert_eq!(
        (get("/readyz").status, get("/readyz").body.as_str()),
        (200, "ready\n")
    );
    problem(&daemon.ask("PUT", MAIN, "{"), 400, &[]);
    daemon.ask("PATCH", MAIN, r#"{"nmae":1}"#);
    let metrics = get("/metrics").body;
    for line in [
        "onlooker_topics 1",
        "onlooker_writes_total 1",
        "onlooker_refused_writes_total 1",
    ] {
        assert!(metrics.contains(&format!("\n{line}\n")), "{metrics}");
    }
}

#[test]
fn every_answer_is_hardened() {
    let daemon = demo();
    for path in ["/", MAIN, "/api/nothing", "/qr.png"] {
        let headers: BTreeMap<String, String> = stranger(&daemon, "GET", path, &[], "")
            .headers
            .into_iter()
            .collect();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(
            headers["cross-origin-resource-policy"], "same-origin",
            "{path}"
        );
        assert!(
            headers["content-security-policy"].contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert!(
            !headers.contains_key("access-control-allow-origin"),
            "{path}"
        );
    }
}
