//! Every row of the table of the wire, to the byte.

use super::*;

fn exactly(socket: &mut Socket, text: &str) {
    assert_eq!(socket.text().as_deref(), Some(text));
}

/// The time in a row's text, from its end: `…,1,2,null]]}` has 2.
fn time_in(text: &str) -> u64 {
    let mut numbers = text.rsplit(',');
    numbers.next();
    let time = numbers.next().expect("a time");
    time.parse().expect("milliseconds")
}

#[test]
fn actions_and_what_follows() {
    let house = House::new(&[]);
    let (mut writer, mut other) = (house.person("?_pk=w"), house.person("?_pk=o"));
    for socket in [&mut writer, &mut other] {
        send(socket, r#"{"channel":"todos","sync":true,"from":null}"#);
        exactly(socket, r#"{"sync":true,"channel":"todos","payload":[]}"#);
    }
    send(
        &mut writer,
        r#"{"id":"UxtiwM2l","channel":"todos","rpc":true,"action":{"type":"create","payload":{"completed":0,"id":"x1","text":"mil\u006b"}}}"#,
    );
    let made = writer.text().expect("a reply");
    let at = time_in(&made);
    let row = format!(r#"["x1","mil\u006b",0,{at},{at},null]"#);
    assert_eq!(
        made,
        format!(
            r#"{{"type":"success","rpc":true,"channel":"todos","id":"UxtiwM2l","result":[{row}]}}"#
        )
    );
    let told = |rows: &str| {
        format!(r#"{{"broadcast":true,"type":"update","channel":"todos","payload":[{rows}]}}"#)
    };
    exactly(&mut other, &told(&row));

    send(
        &mut writer,
        r#"{"action":{"payload":{"id":"x1","completed":1.50},"type":"update"},"rpc":true,"channel":"todos","id":7}"#,
    );
    let changed = writer.text().expect("a reply");
    let later = time_in(&changed);
    assert!(later > at);
    let row = format!(r#"["x1","mil\u006b",1.50,{at},{later},null]"#);
    let success = |id: &str, rows: &str| {
        format!(r#"{{"type":"success","rpc":true,"channel":"todos","id":{id},"result":[{rows}]}}"#)
    };
    assert_eq!(changed, success("7", &row));
    exactly(&mut other, &told(&row));
    send(
        &mut other,
        &format!(r#"{{"channel":"todos","sync":true,"from":{at}}}"#),
    );
    exactly(
        &mut other,
        &format!(r#"{{"sync":true,"channel":"todos","payload":[{row}]}}"#),
    );

    send(
        &mut writer,
        r#"{"id":{"any":[1]},"channel":"todos","action":{"type":"delete","payload":{"id":"x1"}}}"#,
    );
    let gone = writer.text().expect("a reply");
    let last: u64 = gone.rsplit([',', ']']).nth(2).unwrap().parse().unwrap();
    assert!(last > later);
    let row = format!(r#"["x1","mil\u006b",1.50,{at},{last},{last}]"#);
    assert_eq!(gone, success(r#"{"any":[1]}"#, &row));
    exactly(&mut other, &told(&row));
    for again in [delete("x1"), json!({"type": "delete-all"})] {
        ask(&mut writer, "n", "todos", &again);
        exactly(&mut writer, &success("\"n\"", ""));
    }
    send(
        &mut other,
        &format!(r#"{{"channel":"todos","sync":true,"from":"{later}"}}"#),
    );
    exactly(
        &mut other,
        r#"{"sync":true,"channel":"todos","payload":[]}"#,
    );
    exactly(&mut other, &told(&row));
}

#[test]
fn what_is_wrong() {
    let house = House::new(&[]);
    let mut person = house.person("");
    let asked = |id: &str, channel: &str, action: &str| {
        format!(r#"{{"id":{id},"channel":"{channel}","rpc":true,"action":{action}}}"#)
    };
    let sync = r#"{"channel":"../todos","sync":true,"from":null}"#;
    // Everything but the reasons' own words.
    for (sent, channel, id, reasons) in [
        (
            asked("1", "nope", r#"{"type":"create"}"#),
            "nope",
            "1",
            &[r#""nope""#][..],
        ),
        (
            asked(r#""a""#, "todos", r#"{"type":"drop"}"#),
            "todos",
            r#""a""#,
            &[r#""drop""#],
        ),
        (
            asked("2", "todos", r#"{"type":"update","payload":{"id":"x"}}"#),
            "todos",
            "2",
            &[r#""x""#],
        ),
        (
            asked("3", "todos", r#"{"type":"create","payload":{"text":1}}"#),
            "todos",
            "3",
            &["text: expected string, got 1", "completed: it is missing"],
        ),
        (
            asked("4", "shown", r#"{"type":"delete-all"}"#),
            "shown",
            "4",
            &["host"],
        ),
        (
            asked("5", "guarded", r#"{"type":"delete-all"}"#),
            "guarded",
            "5",
            &["?token="],
        ),
        (
            asked("6", "asked", r#"{"type":"any"}"#),
            "asked",
            "6",
            &["host"],
        ),
        (sync.to_owned(), "../todos", "null", &["channel"]),
    ] {
        send(&mut person, &sent);
        let told = person.text().expect("an answer");
        let shape =
            format!(r#"{{"type":"error","rpc":true,"channel":"{channel}","id":{id},"error":["#);
        let rest = told
            .strip_prefix(&shape)
            .and_then(|rest| rest.strip_suffix("]}"));
        let rest = rest.unwrap_or_else(|| panic!("{shape}, got {told}"));
        let told: Vec<String> = serde_json::from_str(&format!("[{rest}]")).expect("sentences");
        assert_eq!(told.len(), reasons.len(), "{told:?}");
        for (told, reason) in told.iter().zip(reasons) {
            assert!(told.contains(reason), "{told}");
        }
    }
    let exception = |why: &str| {
        format!(
            r#"{{"type":"exception","rpc":true,"exception":["Failed to parse message: {why}"]}}"#
        )
    };
    for (sent, why) in [
        ("[1]", "expected an object, got array"),
        ("null", "expected an object, got null"),
        (
            r#"{"channel":"todos"}"#,
            "expected an action with an id, or a sync",
        ),
        (r#"{"sync":true}"#, "channel: it is missing"),
    ] {
        send(&mut person, sent);
        exactly(&mut person, &exception(why));
    }
    for broken in ["", "{", "not JSON", r#"{"id":1,"id":2}"#] {
        send(&mut person, broken);
        let told = person.text().expect("an answer");
        assert!(told.starts_with(&exception("")[..68]), "{told}");
    }
    person.send(&masked(FIN | BINARY, b"{}"));
    exactly(&mut person, &exception("expected a text message"));
}

#[test]
fn several_channels_share_a_socket_and_rooms_share_nothing() {
    let house = House::new(&[]);
    let mut person = house.person("");
    let mut elsewhere = [
        house.person_of("main/lobby.2", ""),
        house.person_of("stage-2/lobby", ""),
    ];
    done(&mut person, "todos", &create("x", "milk"));
    let flag = done(
        &mut person,
        "flags",
        &json!({"type": "create", "payload": {"on": true}}),
    );
    assert!(flag[0][0].is_u64() && flag[0][1] == 1, "{flag:?}");
    let off = json!({"type": "update", "payload": {"id": flag[0][0], "on": 0}});
    assert_eq!(done(&mut person, "flags", &off)[0][1], 0);
    assert_eq!(sync(&mut person, "todos", &Value::Null).len(), 1);
    assert_eq!(sync(&mut person, "flags", &Value::Null).len(), 1);
    for other in &mut elsewhere {
        assert_eq!(sync(other, "todos", &Value::Null), [] as [Value; 0]);
        done(other, "todos", &create("x", "the same id"));
    }
    assert_eq!(house.rows("todos")[0][1], "milk");
}

#[test]
fn nothing_is_agreed_on_at_the_upgrade() {
    let house = House::new(&[]);
    let offer = [("Sec-WebSocket-Extensions", "permessage-deflate")];
    let person = house.daemon.socket("/parties/main/lobby", &offer);
    for agreed in ["sec-websocket-extensions", "sec-websocket-protocol"] {
        assert_eq!(person.upgrade.header(agreed), None);
    }
}

/// A message in several frames, of people and to them.
#[test]
fn long_messages_come_in_pieces() {
    let house = House::new(&["--max-row", "100KiB"]);
    let mut person = house.person("");
    let long = "é".repeat(20_000);
    let text = json!({"id": 1, "channel": "todos", "rpc": true, "action": create("0", &long)});
    let text = text.to_string();
    // In the middle of a character, with a ping between.
    let cut = text.find('é').expect("it is there") + 1;
    person.send(&masked(TEXT, &text.as_bytes()[..cut]));
    person.send(&masked(FIN | PING, b"between"));
    person.send(&masked(CONTINUE, &text.as_bytes()[cut..30_000]));
    person.send(&masked(FIN | CONTINUE, &text.as_bytes()[30_000..]));
    let mut frames = [person.frame(), person.frame()].map(|frame| frame.expect("both"));
    frames.sort_by_key(|frame| frame.first);
    let [made, pong] = frames;
    assert_eq!(
        (pong.first, pong.payload),
        (FIN | PONG, b"between".to_vec())
    );
    let made: Value = serde_json::from_slice(&made.payload).expect("JSON");
    assert_eq!(made["result"][0][1], long);
    for id in 1..4 {
        done(&mut person, "todos", &create(&id.to_string(), &long));
    }
    send(
        &mut person,
        r#"{"channel":"todos","sync":true,"from":null}"#,
    );
    let (mut kinds, mut all) = (Vec::new(), Vec::new());
    while kinds.last().is_none_or(|first| first & FIN == 0) {
        let frame = person.frame().expect("a frame");
        kinds.push(frame.first);
        all.extend(frame.payload);
    }
    assert!(kinds.len() > 2, "{kinds:?}");
    assert_eq!(kinds[0], TEXT);
    assert!(
        kinds[1..kinds.len() - 1]
            .iter()
            .all(|kind| *kind == CONTINUE)
    );
    assert_eq!(kinds.last(), Some(&(FIN | CONTINUE)));
    let all: Value = serde_json::from_slice(&all).expect("JSON");
    assert_eq!(all["payload"].as_array().map(Vec::len), Some(4));
}
