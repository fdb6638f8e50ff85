//! A host that decides: it answers, refuses, is slow, is late, is wrong, or is gone.

use super::*;

/// What the host is asked next.
fn question(host: &mut Socket) -> Value {
    let question = next(host);
    assert_eq!(question["type"], "action", "{question}");
    question
}

#[test]
fn a_host_answers_refuses_and_is_gone() {
    let house = House::new(&[]);
    let (mut host, mut person, mut other) =
        (house.host(), house.person("?_pk=p"), house.person(""));
    for person in [&mut person, &mut other] {
        assert!(sync(person, "asked", &Value::Null).is_empty());
    }
    let action = json!({"type": "vote", "payload": [1, {"deep": null}]});
    ask(&mut person, "v1", "asked", &action);
    let asked = host.text().expect("a question");
    let id: Value = serde_json::from_str::<Value>(&asked).expect("JSON")["id"].clone();
    let device = house.daemon.ask("GET", "/api/viewers", "").json()[0]["device"].clone();
    let exact = format!(
        r#"{{"type":"action","id":{id},"channel":"asked","action":{action},"from":{{"id":"p","device":{device}}}}}"#
    );
    assert_eq!(asked, exact);
    say(
        &mut host,
        &json!({"type": "rows", "id": id, "rows": [["a", "yes"], ["b", "no"]]}),
    );
    let done = answer(&mut person);
    assert_eq!(
        (&done["type"], &done["id"]),
        (&json!("success"), &json!("v1"))
    );
    let told = next(&mut other);
    assert_eq!(told["payload"], done["result"], "it is told to the others");

    ask(&mut person, "v2", "asked", &action);
    let second = question(&mut host);
    ask(&mut person, "v3", "asked", &action);
    let third = question(&mut host);
    // In any order; the replies come in theirs.
    say(
        &mut host,
        &json!({"type": "rows", "id": third["id"], "rows": []}),
    );
    say(
        &mut host,
        &json!({"type": "refuse", "id": second["id"], "error": ["the vote", "is over"]}),
    );
    let refused = answer(&mut person);
    assert_eq!(refused["error"], json!(["the vote", "is over"]));
    let nothing = answer(&mut person);
    assert_eq!(
        (&nothing["id"], &nothing["result"]),
        (&json!("v3"), &json!([]))
    );

    ask(&mut person, "v4", "asked", &action);
    question(&mut host);
    host.abort();
    let gone = answer(&mut person);
    assert_eq!(
        gone["error"],
        json!(["the host has gone before it has answered"])
    );
    ask(&mut person, "v5", "asked", &action);
    assert_eq!(answer(&mut person)["type"], "error", "at once");
    assert_eq!(house.act("asked", &action).status, 422);
}

#[test]
fn what_a_host_says_wrongly_it_hears_of_and_so_does_who_waits() {
    let house = House::new(&["--max-row", "1KiB"]);
    let (mut host, mut person) = (house.host(), house.person(""));
    sync(&mut person, "asked", &Value::Null);
    let long = "x".repeat(2_000);
    for rows in [
        json!([["a"]]),
        json!([["a", 1]]),
        json!([{"id": "a"}]),
        json!([{"id": "a", "text": "x", "more": 1}]),
        json!([["a", "x"], 7]),
        json!([["a", long]]),
        json!({}),
        Value::Null,
    ] {
        ask(&mut person, 1, "asked", &json!({}));
        let id = question(&mut host)["id"].clone();
        say(&mut host, &json!({"type": "rows", "id": id, "rows": rows}));
        let error = next(&mut host);
        assert_eq!(
            (&error["type"], &error["status"], &error["id"]),
            (&json!("error"), &json!(422), &id)
        );
        let told = answer(&mut person);
        assert_eq!(told["type"], "error", "at once: {rows}");
    }
    assert!(house.rows("asked").is_empty());
    for (text, status) in [
        ("{", 400),
        ("7", 422),
        (r#"{"type":"vote"}"#, 422),
        (r#"{"type":"rows"}"#, 422),
        (r#"{"type":"rows","id":99,"rows":[]}"#, 422),
        (r#"{"type":"refuse","id":99}"#, 422),
        (r#"{"type":"rows","channel":"none","rows":[]}"#, 422),
    ] {
        send(&mut host, text);
        let error = next(&mut host);
        assert_eq!(
            (&error["type"], &error["status"]),
            (&json!("error"), &json!(status)),
            "{text}"
        );
    }
    host.send(&masked(FIN | BINARY, b"{}"));
    assert_eq!(next(&mut host)["status"], 415);
    // It is still there.
    let unasked =
        json!({"type": "rows", "channel": "todos", "id": "mine", "rows": [["a", "x", 1]]});
    say(&mut host, &unasked);
    assert_eq!(
        host.text().as_deref(),
        Some(r#"{"type":"ack","id":"mine"}"#)
    );
    assert_eq!(house.rows("todos").len(), 1);
}

#[test]
fn of_two_hosts_the_last_is_asked() {
    let house = House::new(&[]);
    let (mut first, mut last, mut person) = (house.host(), house.host(), house.person(""));
    ask(&mut person, 1, "asked", &json!({}));
    let asked = question(&mut last);
    // Only whoever was asked can answer.
    say(
        &mut first,
        &json!({"type": "refuse", "id": asked["id"], "error": ["not mine"]}),
    );
    assert_eq!(next(&mut first)["type"], "error");
    say(
        &mut last,
        &json!({"type": "rows", "id": asked["id"], "rows": [["a", "x"]]}),
    );
    assert_eq!(answer(&mut person)["type"], "success");
    last.abort();
    let hosts = || house.daemon.ask("GET", "/api/status", "").json()["rooms"][0]["hosts"].clone();
    while hosts() != 1 {
        std::thread::yield_now();
    }
    ask(&mut person, 2, "asked", &json!({}));
    assert_ne!(question(&mut first)["id"], asked["id"]);
}

/// The 9 seconds of a host that says nothing, for everything that has to wait for them.
#[test]
fn a_slow_host_keeps_nobody_beyond_nine_seconds() {
    let house = House::new(&["--ping", "1s", "--max-actions", "1000"]);
    let (mut host, mut person) = (house.host(), house.person(""));
    for channel in ["asked", "todos"] {
        sync(&mut person, channel, &Value::Null);
    }
    const MANY: usize = 200;
    let (told, questions) = std::sync::mpsc::channel();
    let mut listening = host.another();
    let listen = move || {
        while let Some(text) = listening.message() {
            let told = told.send(serde_json::from_str::<Value>(&text).expect("JSON"));
            told.expect("the test goes on");
        }
    };
    let listen = std::thread::spawn(listen);
    std::thread::scope(|scope| {
        let over_http = scope.spawn(|| house.act("asked", &json!({"over": "HTTP"})));
        let first = questions.recv().expect("a question");
        assert_eq!(first["action"], json!({"over": "HTTP"}));
        ask(&mut person, 0, "asked", &json!({}));
        let late = questions.recv().expect("a question")["id"].clone();
        for id in 1..MANY {
            ask(&mut person, id, "asked", &json!({}));
        }
        ask(&mut person, MANY, "todos", &create("a", "x"));
        // Meanwhile it answers its pings, and nobody else waits.
        done(&mut house.person(""), "todos", &create("b", "x"));
        let slow = json!(["no answer within 9 s: it may still be done"]);
        for id in 0..MANY {
            let reply = answer(&mut person);
            assert_eq!((&reply["id"], &reply["error"]), (&json!(id), &slow));
        }
        let reply = answer(&mut person);
        let done = (&reply["id"], &reply["type"]);
        assert_eq!(done, (&json!(MANY), &json!("success")));
        assert_eq!(over_http.join().expect("an answer").status, 504);
        let mut other = house.person("");
        sync(&mut other, "asked", &Value::Null);
        let rows = json!({"type": "rows", "id": late, "rows": [["late", "x"]]});
        say(&mut host, &rows);
        for person in [&mut person, &mut other] {
            loop {
                let told = next(person);
                if told["channel"] == "asked" {
                    assert_eq!(told["payload"][0][0], "late");
                    break;
                }
            }
        }
    });
    host.abort();
    listen.join().expect("it only listens");
}
