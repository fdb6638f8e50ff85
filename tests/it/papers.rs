//! The documents tell the truth: their examples parse, every route is named, and what the
//! daemon really answers is what its schemas say.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::harness::{Daemon, LIMIT, Response, masked, opcode::*};

mod rooms;

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

fn document(name: &str) -> Value {
    serde_json::from_str(&text(&format!("docs/{name}.json"))).expect("a document is JSON")
}

/// What stands in fences of a language.
fn fences(paper: &str, language: &str) -> Vec<String> {
    let opening = format!("\n```{language}\n");
    let blocks = paper.split(&opening).skip(1);
    blocks
        .map(|rest| rest.split("\n```").next().unwrap_or_default().to_owned())
        .collect()
}

/// The paths of the routes, as the table in the source has them.
fn routes() -> BTreeSet<String> {
    let source: String = text("src/http/routes.rs").split_whitespace().collect();
    let rows = source.split(".route(\"").skip(1);
    rows.map(|row| row.split('"').next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn the_protocol_names_every_route() {
    let paper = text("docs/protocol.md");
    assert!(routes().len() > 20, "{:?}", routes());
    let missing: Vec<_> = routes()
        .into_iter()
        .filter(|path| !paper.contains(&format!("{path}`")))
        .collect();
    assert!(missing.is_empty(), "not in docs/protocol.md: {missing:?}");
}

#[test]
fn the_examples_of_the_papers_are_json() {
    let mut examples = 0;
    for name in ["protocol", "hosts", "interop"] {
        for block in fences(&text(&format!("docs/{name}.md")), "json") {
            for line in block.lines().filter(|line| !line.is_empty()) {
                let parsed = onlooker::internals::json::Json::parse(line.as_bytes());
                assert!(parsed.is_ok(), "docs/{name}.md: {line}: {parsed:?}");
                examples += 1;
            }
        }
    }
    assert!(examples > 10, "{examples} examples");
}

#[test]
fn the_examples_of_the_protocol_are_its_frames() {
    let schemas = document("asyncapi");
    for line in fences(&text("docs/protocol.md"), "json")
        .iter()
        .flat_map(|block| block.lines())
    {
        let example: Value = serde_json::from_str(line).unwrap();
        let of_room = rooms::name(&example);
        let name = match example["type"].as_str() {
            _ if of_room.is_some() => of_room.unwrap(),
            Some("session_update") if example["revision"].is_null() => "HostSessionUpdate",
            Some("config_update") if example["revision"].is_null() => "HostConfigUpdate",
            Some("session_update") => "SessionUpdate",
            Some("config_update") => "ConfigUpdate",
            Some("hello") => "Hello",
            Some("heartbeat") => "Heartbeat",
            Some("bye") => "Bye",
            Some("broadcast") => "HostBroadcast",
            Some("ack") => "Ack",
            Some("error") => "Error",
            _ if example["timestampMs"].is_u64() => "Invalidation",
            _ => continue,
        };
        check(&schema(&schemas, name), &example, name);
    }
}

#[test]
fn the_examples_of_responses_are_as_documented() {
    let schemas = document("openapi");
    let mut seen = BTreeSet::new();
    for line in fences(&text("docs/protocol.md"), "json")
        .iter()
        .flat_map(|block| block.lines())
    {
        let example: Value = serde_json::from_str(line).unwrap();
        let (example, name) = match &example {
            Value::Array(items) if items[0]["connectedMs"].is_u64() => (&items[0], "Viewer"),
            Value::Array(items) if items[0]["verdict"].is_string() => (&items[0], "Change"),
            Value::Array(items) => (&items[0], "TopicStatus"),
            _ if example["running"].is_boolean() => (&example, "Status"),
            _ if example["serverRevision"].is_u64() => (&example, "FieldAnswer"),
            _ if example["columns"].is_array() => (&example, "Rows"),
            _ if example["result"].is_array() && example["type"].is_null() => {
                (&example, "ActionResult")
            }
            _ if example["learned"].is_boolean() => (&example, "Fields"),
            _ if example["title"].is_string() => (&example, "Problem"),
            _ => continue,
        };
        check(&schema(&schemas, name), example, name);
        seen.insert(name);
    }
    assert_eq!(seen.len(), 9, "{seen:?}");
}

/// A schema of a document, with the others that it refers to.
fn schema(document: &Value, name: &str) -> Validator {
    inline(
        document,
        &json!({"$ref": format!("#/components/schemas/{name}")}),
    )
}

fn inline(document: &Value, schema: &Value) -> Validator {
    let mut whole = schema.clone();
    if let Some(members) = whole.as_object_mut() {
        members.insert(
            "components".to_owned(),
            json!({"schemas": document["components"]["schemas"]}),
        );
    }
    jsonschema::draft202012::new(&whole).expect("a schema")
}

#[track_caller]
fn check(schema: &Validator, value: &Value, what: &str) {
    let faults: Vec<String> = schema
        .iter_errors(value)
        .map(|fault| fault.to_string())
        .collect();
    assert!(faults.is_empty(), "{what}: {faults:?} in {value}");
}

/// Every `$ref` in a document, wherever.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            found.extend(
                members
                    .get("$ref")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
            members
                .values()
                .for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn the_documents_hang_together() {
    for name in ["openapi", "asyncapi"] {
        let document = document(name);
        assert_eq!(
            document["info"]["version"],
            json!(env!("CARGO_PKG_VERSION")),
            "{name}"
        );
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for reference in &found {
            let target = reference
                .strip_prefix('#')
                .and_then(|pointer| document.pointer(&pointer.replace("%7B", "{")));
            assert!(target.is_some(), "{name}: {reference} leads nowhere");
        }
        let components = document["components"].as_object().unwrap();
        for (kind, parts) in components
            .iter()
            .filter(|(kind, _)| *kind != "securitySchemes")
        {
            for part in parts.as_object().unwrap().keys() {
                let reference = format!("#/components/{kind}/{part}");
                assert!(
                    found.contains(&reference),
                    "{name}: nothing refers to {reference}"
                );
            }
        }
        for part in document["components"]["schemas"]
            .as_object()
            .unwrap()
            .keys()
        {
            schema(&document, part);
        }
    }
}

#[test]
fn openapi_is_a_proper_one() {
    let document = document("openapi");
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let paths = document["paths"].as_object().unwrap();
    let named: BTreeSet<&String> = paths.keys().collect();
    assert_eq!(named, routes().iter().collect(), "the paths are the routes");
    let mut ids = BTreeSet::new();
    for (path, item) in paths {
        let placeholders = path.matches('{').count();
        let shared = item["parameters"].as_array().map_or(0, Vec::len);
        assert_eq!(
            placeholders, shared,
            "{path}: a parameter for each placeholder"
        );
        for (method, operation) in item
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, _)| *key != "parameters")
        {
            let what = format!("{method} {path}");
            assert!(
                ["get", "put", "patch", "post", "delete"].contains(&method.as_str()),
                "{what}"
            );
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap()),
                "{what}: twice"
            );
            assert!(
                operation["summary"].is_string() && operation["security"].is_array(),
                "{what}"
            );
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(
                    (200..600).contains(&status.parse::<u16>().unwrap()),
                    "{what}"
                );
                assert!(
                    resolved(&document, response)["description"].is_string(),
                    "{what} {status}"
                );
            }
        }
    }
}

#[test]
fn asyncapi_is_a_proper_one() {
    let document = document("asyncapi");
    assert_eq!(document["asyncapi"], json!("3.0.0"));
    let addresses: BTreeSet<&str> = document["channels"]
        .as_object()
        .unwrap()
        .values()
        .map(|channel| channel["address"].as_str().unwrap())
        .collect();
    let all = ["/", "/host", "/parties/{party}/{room}", "/sync"];
    assert_eq!(addresses, BTreeSet::from(all));
    for (name, operation) in document["operations"].as_object().unwrap() {
        let channel = operation["channel"]["$ref"].as_str().unwrap();
        let mut messages = operation["messages"].as_array().unwrap().clone();
        messages.extend(
            operation["reply"]["messages"]
                .as_array()
                .cloned()
                .unwrap_or_default(),
        );
        for message in messages {
            let reference = message["$ref"].as_str().unwrap();
            assert!(
                reference.starts_with(&format!("{channel}/messages/")),
                "{name}: {reference}"
            );
        }
    }
}

#[test]
fn both_are_served() {
    let daemon = Daemon::start();
    for name in ["openapi", "asyncapi"] {
        let answer = Response::to(daemon.connect(), "GET", &format!("/{name}.json"), &[], "");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.json(), document(name));
    }
}

fn resolved<'a>(document: &'a Value, part: &'a Value) -> &'a Value {
    let reference = part["$ref"]
        .as_str()
        .and_then(|text| text.strip_prefix('#'));
    reference.map_or(part, |pointer| {
        document.pointer(pointer).expect("it leads somewhere")
    })
}

/// A daemon whose every answer is held against the document.
struct Examiner {
    daemon: Daemon,
    document: Value,
    /// Method, path and status that were seen.
    seen: BTreeSet<String>,
}

impl Examiner {
    fn new(args: &[&str]) -> Examiner {
        let daemon = Daemon::with(args);
        Examiner {
            daemon,
            document: document("openapi"),
            seen: BTreeSet::new(),
        }
    }

    /// A request by the host. `path` is as in the document, with values behind colons in the braces.
    fn host(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let token = format!("Bearer {}", self.daemon.token);
        let headers = [&[("Authorization", token.as_str())], headers].concat();
        self.anybody(method, path, &headers, body)
    }

    fn anybody(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let (template, actual) = spelled(path);
        let answer = Response::to(self.daemon.connect(), method, &actual, headers, body);
        self.examine(method, &template, &answer);
        answer
    }

    fn examine(&mut self, method: &str, template: &str, answer: &Response) {
        let what = format!("{} {template} {}", method.to_uppercase(), answer.status);
        let operation = &self.document["paths"][template][method.to_lowercase()];
        let response = &operation["responses"][answer.status.to_string()];
        assert!(
            response.is_object(),
            "{what} is not in the document: {answer:?}"
        );
        let response = resolved(&self.document, response);
        self.seen.insert(what.clone());
        for name in response["headers"]
            .as_object()
            .into_iter()
            .flat_map(|headers| headers.keys())
        {
            assert!(
                answer.header(&name.to_lowercase()).is_some(),
                "{what}: no {name}"
            );
        }
        let Some(content) = response["content"].as_object() else {
            assert!(
                answer.body.is_empty() || answer.status == 200,
                "{what}: {}",
                answer.body
            );
            return;
        };
        let kind = answer
            .header("content-type")
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default();
        let media = content
            .get(kind)
            .unwrap_or_else(|| panic!("{what}: {kind}"));
        if kind.ends_with("json") {
            check(
                &inline(&self.document, &media["schema"]),
                &answer.json(),
                &what,
            );
        }
    }
}

/// `/a/{b:c}` is `/a/{b}` in the document and `/a/c` on the wire; a query is only on the wire.
fn spelled(path: &str) -> (String, String) {
    let (mut template, mut actual) = (String::new(), String::new());
    let (plain, query) = path.split_once('?').unwrap_or((path, ""));
    for part in plain.split_inclusive('}') {
        let (before, hole) = part.split_once('{').unwrap_or((part, ""));
        template.push_str(before);
        actual.push_str(before);
        if let Some((name, value)) = hole.trim_end_matches('}').split_once(':') {
            template.push_str(&format!("{{{name}}}"));
            actual.push_str(value);
        }
    }
    if !query.is_empty() {
        actual.push_str(&format!("?{query}"));
    }
    (template, actual)
}

const TOPIC: &str = "/api/topics/{topic:main}";
const CONFIG: &str = "/api/topics/{topic:main}/config";
const FIELD: &str = "/api/topics/{topic:main}/config/{field:speed}";

/// What needs a broken disk, a slow network, a crowd or another machine: told of, tried elsewhere.
const ELSEWHERE: [&str; 9] = [
    "408",
    "421",
    "429",
    "503",
    "504",
    "507",
    "/readyz 401",
    "/metrics 401",
    "DELETE /api/topics/{topic} 200",
];

#[test]
fn every_answer_is_as_documented() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("onlooker.toml");
    let fields = r#"
[fields]
speed = { type = "number", min = 0, max = 5, step = 0.5, label = "Speed" }
mode = { type = "string", options = ["a"] }
"#;
    fs::write(&path, [fields, rooms::CHANNELS].concat()).unwrap();
    let args = [
        "--debounce",
        "0ms",
        "--config",
        path.to_str().unwrap(),
        "--max-session",
        "4KiB",
        "--viewer-token",
        "0123456789abcdef0123456789",
    ];
    let mut examiner = Examiner::new(&args);
    good_answers(&mut examiner);
    rooms::good_answers(&mut examiner);
    refusals(&mut examiner);
    rooms::refusals(&mut examiner);
    strangers(&mut examiner);
    let documented = documented(&examiner.document);
    let unseen: Vec<_> = documented
        .iter()
        .filter(|what| !examiner.seen.contains(*what))
        .collect();
    let untried: Vec<_> = unseen
        .into_iter()
        .filter(|what| !ELSEWHERE.iter().any(|status| what.ends_with(status)))
        .collect();
    assert!(untried.is_empty(), "never seen: {untried:#?}");
}

fn documented(document: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let statuses = operation["responses"]
                .as_object()
                .into_iter()
                .flat_map(|responses| responses.keys());
            all.extend(statuses.map(|status| format!("{} {path} {status}", method.to_uppercase())));
        }
    }
    all
}

fn good_answers(examiner: &mut Examiner) {
    examiner.anybody("GET", "/readyz", &[], "");
    examiner.host(
        "PUT",
        TOPIC,
        &[],
        r#"{"name":"Demo","data":{"deep":[1e400,-0]},"config":{"speed":1,"mode":"a"}}"#,
    );
    let answer = examiner.host(
        "PUT",
        TOPIC,
        &[],
        r#"{"data":1,"config":{"speed":1,"mode":"a"}}"#,
    );
    let tag = answer.header("etag").unwrap().to_owned();
    examiner.host(
        "PATCH",
        TOPIC,
        &[("Content-Type", "application/merge-patch+json")],
        r#"{"data":2}"#,
    );
    examiner.host(
        "PATCH",
        TOPIC,
        &[("Content-Type", "application/json-patch+json")],
        r#"[{"op":"add","path":"/data","value":3}]"#,
    );
    examiner.host("PATCH", CONFIG, &[], r#"{"speed":2}"#);
    examiner.host(
        "PUT",
        FIELD,
        &[],
        r#"{"value":3,"deviceId":7,"localRevision":1}"#,
    );
    examiner.host("GET", FIELD, &[], "");
    examiner.host("GET", TOPIC, &[("If-None-Match", "*")], "");
    examiner.host("GET", TOPIC, &[("If-None-Match", &tag)], "");
    let mut viewer = examiner
        .daemon
        .socket("/?token=0123456789abcdef0123456789", &[]);
    viewer.json();
    let list = examiner.host("GET", "/api/viewers", &[], "").json();
    for path in [
        "/api/topics",
        "/api/status",
        "/api/topics/{topic:main}/fields",
        "/api/topics/{topic:main}/changes",
        "/qr.svg",
        "/qr.png?topic=main",
        "/",
        "/host",
        "/check",
        "/onlooker.js",
        "/rooms.js",
        "/assets/{name:viewer.js}",
        "/openapi.json",
        "/asyncapi.json",
        "/healthz",
        "/readyz",
        "/metrics",
    ] {
        examiner.host("GET", path, &[], "");
    }
    examiner.host(
        "POST",
        "/api/topics/{topic:main}/broadcast",
        &[("Content-Type", "text/plain")],
        "hello",
    );
    examiner.host("POST", "/api/topics/{topic:main}/resend", &[], "");
    examiner.host(
        "DELETE",
        &format!("/api/viewers/{{id:{}}}", list[0]["id"]),
        &[],
        "",
    );
    examiner.host("PUT", "/api/topics/{topic:stage}", &[], "1");
    examiner.host("DELETE", "/api/topics/{topic:stage}", &[], "");
    let head = Response {
        body: String::new(),
        ..event_stream(&examiner.daemon)
    };
    examiner.examine("GET", "/sync", &head);
}

/// The head of an event stream.
fn event_stream(daemon: &Daemon) -> Response {
    use std::io::{Read, Write};
    let mut tcp = daemon.connect();
    tcp.write_all(
        b"GET /sync?token=0123456789abcdef0123456789 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    )
    .unwrap();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && tcp.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).unwrap();
    let mut lines = text.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .unwrap();
    let header = |line: &str| {
        line.split_once(": ")
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    Response {
        status,
        headers: lines.filter_map(header).collect(),
        body: String::new(),
    }
}

const WRITES: [(&str, &str); 4] = [
    ("PUT", TOPIC),
    ("PATCH", TOPIC),
    ("PATCH", CONFIG),
    ("PUT", FIELD),
];

fn refusals(examiner: &mut Examiner) {
    let large = "x".repeat(5000);
    for (method, path) in WRITES {
        let absent = path.replace("main", "absent");
        examiner.host(method, path, &[], "{");
        examiner.host(method, path, &[("Content-Type", "text/plain")], "{}");
        examiner.host(method, path, &[], &large);
        examiner.host(method, path, &[("If-Match", "\"1\"")], r#"{"value":1}"#);
        examiner.host(method, &absent, &[("If-Match", "*")], r#"{"value":1}"#);
    }
    examiner.host("PUT", TOPIC, &[], r#"{"data":1,"config":{"speed":9}}"#);
    examiner.host(
        "PATCH",
        TOPIC,
        &[],
        r#"{"config":{"speed":"fast","mode":"c"}}"#,
    );
    examiner.host("PATCH", CONFIG, &[], r#"{"speed":-1}"#);
    examiner.host("PUT", FIELD, &[], r#"{"value":[]}"#);
    examiner.host("POST", "/api/topics/{topic:main}/broadcast", &[], &large);
    examiner.host(
        "POST",
        "/api/topics/{topic:main}/broadcast",
        &[("Content-Encoding", "gzip")],
        "hello",
    );
    examiner.host("DELETE", TOPIC, &[("If-Match", "\"1\"")], "");
    for (method, path) in [
        ("GET", "/api/topics/{topic:absent}"),
        ("DELETE", "/api/topics/{topic:absent}"),
        ("GET", "/api/topics/{topic:main}/config/{field:absent}"),
        ("GET", "/api/topics/{topic:absent}/fields"),
        ("POST", "/api/topics/{topic:absent}/broadcast"),
        ("POST", "/api/topics/{topic:absent}/resend"),
        ("POST", "/api/freeze"),
        ("DELETE", "/api/freeze"),
        ("POST", "/api/resend"),
        ("POST", "/api/next-address"),
        ("GET", "/api/topics/{topic:absent}/changes"),
        ("DELETE", "/api/viewers/{id:999999}"),
        ("GET", "/assets/{name:nothing.js}"),
    ] {
        examiner.host(method, path, &[], "");
    }
}

/// What the gate says to those who may not, at every path.
fn strangers(examiner: &mut Examiner) {
    for what in documented(&examiner.document.clone()) {
        let parts: Vec<&str> = what.split(' ').collect();
        let (method, path) = (parts[0], parts[1].replace('}', ":x}"));
        match parts[2] {
            "400" => _ = examiner.anybody(method, &path, &[("Host", "127.0.0.1")], ""),
            "401" => _ = examiner.anybody(method, &path, &[], ""),
            "403" => _ = examiner.anybody(method, &path, &[("Origin", "https://evil.example")], ""),
            _ => {}
        }
    }
}

#[test]
fn every_message_is_as_documented() {
    let schemas = document("asyncapi");
    let daemon = Daemon::with(&["--debounce", "0ms"]);
    let mut sync = daemon.socket("/sync", &[]);
    let mut plain = daemon.viewer();
    let mut own = daemon.socket("/", &[("Sec-WebSocket-Protocol", "onlooker.v1")]);
    let token = format!("Bearer {}", daemon.token);
    let mut host = daemon.socket("/host", &[("Authorization", &token)]);
    let mut tell = |message: &str, sent: &str, answered: &str| {
        check(
            &schema(&schemas, sent),
            &serde_json::from_str(message).unwrap(),
            sent,
        );
        host.send(&masked(FIN | TEXT, message.as_bytes()));
        check(&schema(&schemas, answered), &host.json(), answered);
    };
    tell(
        r#"{"type":"session_update","payload":{"data":1,"config":{"speed":1}},"id":1}"#,
        "HostSessionUpdate",
        "Ack",
    );
    tell(
        r#"{"type":"config_update","payload":{"speed":2},"sourceId":"panel","deviceId":7,"localRevision":3}"#,
        "HostConfigUpdate",
        "Ack",
    );
    tell(
        r#"{"type":"config_update","payload":{"speed":3}}"#,
        "HostConfigUpdate",
        "Ack",
    );
    tell(
        r#"{"type":"broadcast","text":"{\"type\":\"hello\"}","id":null}"#,
        "HostBroadcast",
        "Ack",
    );
    host.send(&masked(FIN | TEXT, b"{}"));
    check(&schema(&schemas, "Error"), &host.json(), "Error");
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        seen.insert(examine_frame(&schemas, &plain.json()));
        check(
            &schema(&schemas, "Invalidation"),
            &sync.json(),
            "Invalidation",
        );
    }
    let deadline = std::time::Instant::now() + LIMIT;
    while !seen.contains("Heartbeat") {
        assert!(std::time::Instant::now() < deadline);
        let frame = own.json();
        // The broadcast of above says hello too, but not as ours does.
        if frame.get("server").is_some() || frame["type"] != json!("hello") {
            seen.insert(examine_frame(&schemas, &frame));
        }
    }
    daemon.ask("DELETE", "/api/topics/main", "");
    while !seen.contains("Bye") {
        seen.insert(examine_frame(&schemas, &own.json()));
    }
    for name in ["SessionUpdate", "ConfigUpdate", "Hello", "Heartbeat", "Bye"] {
        assert!(seen.contains(name), "{name} was not seen: {seen:?}");
    }
}

fn examine_frame(schemas: &Value, frame: &Value) -> String {
    let name: String = match frame["type"].as_str().unwrap() {
        "session_update" => "SessionUpdate",
        "config_update" => "ConfigUpdate",
        "hello" => "Hello",
        "heartbeat" => "Heartbeat",
        "bye" => "Bye",
        other => panic!("{other}"),
    }
    .to_owned();
    check(&schema(schemas, &name), frame, &name);
    name
}

#[test]
fn the_golden_frames_are_as_documented() {
    let schemas = document("asyncapi");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frames");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let golden: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let of_room = rooms::name(&golden["frame"]);
        let schema_name = match (golden["frame"]["type"].as_str(), name.split('_').next()) {
            // Those of other daemons, and those that a viewer has to pass over.
            (_, Some("ignored")) => continue,
            (_, Some("room")) if of_room.is_some() => of_room.unwrap(),
            (None, _) => continue,
            _ if name.ends_with("_plain") => continue,
            (Some("session_update"), Some("host")) => "HostSessionUpdate",
            (Some("config_update"), Some("host")) => "HostConfigUpdate",
            (Some("broadcast"), _) => "HostBroadcast",
            (Some("ack"), _) => "Ack",
            (Some("error"), _) => "Error",
            _ => {
                examine_frame(&schemas, &golden["frame"]);
                continue;
            }
        };
        check(&schema(&schemas, schema_name), &golden["frame"], &name);
    }
}
