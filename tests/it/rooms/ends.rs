//! How people leave, or are sent away.

use super::*;

#[test]
fn whoever_breaks_a_rule_is_closed_with_its_code() {
    let house = House::new(&["--max-row", "1KiB"]);
    let large = vec![b' '; 2 * 1024 + 4 * 1024 + 1];
    for (bytes, code) in [
        (masked(FIN | TEXT, &large), 1009),
        (masked(FIN | TEXT, b"\xff"), 1007),
        (vec![FIN | TEXT, 0x02, b'{', b'}'], 1002),
        (masked(0xc1, b"{}"), 1002),
        (masked(FIN | CONTINUE, b"{}"), 1002),
    ] {
        let mut person = house.person("");
        person.send(&bytes);
        assert_eq!(person.close_code(), Some(code), "{:?}", &bytes[..2]);
    }
    let mut person = house.person("");
    person.send(&masked(FIN | CLOSE, &1000_u16.to_be_bytes()));
    assert_eq!(person.close_code(), Some(1000));
}

#[test]
fn ten_times_the_actions_close_the_connection() {
    let house = House::new(&["--max-actions", "5"]);
    let mut person = house.person("");
    let (mut text, mut all) = (String::new(), Vec::new());
    for id in 0..60 {
        text.clear();
        text.push_str(
            &json!({"id": id, "channel": "todos", "action": create(&id.to_string(), "x")})
                .to_string(),
        );
        all.extend(masked(FIN | TEXT, text.as_bytes()));
    }
    person.send(&all);
    let mut replies = Vec::new();
    let code = loop {
        let frame = person.frame().expect("a close before the end");
        match frame.first {
            0x88 => break u16::from_be_bytes([frame.payload[0], frame.payload[1]]),
            _ => replies.push(frame.payload),
        }
    };
    assert_eq!(code, 1008);
    assert!(replies.len() <= 50, "{}", replies.len());
    assert_eq!(
        house.rows("todos").len(),
        5,
        "what is over the limit is not done"
    );
    house.daemon.logged("person sent away: ");
    house.person("");
}

#[test]
fn pings_keep_a_person_and_silence_loses_it() {
    let house = House::new(&["--ping", "100ms"]);
    let (mut silent, mut polite) = (house.person(""), house.person(""));
    for _ in 0..6 {
        let ping = loop {
            let frame = polite.frame().expect("a frame");
            if frame.first == FIN | PING {
                break frame;
            }
        };
        polite.send(&masked(FIN | PONG, &ping.payload));
    }
    done(&mut polite, "todos", &create("a", "x"));
    let mut pings = 0;
    while let Some(frame) = silent.frame() {
        pings += usize::from(frame.first == FIN | PING);
    }
    assert_eq!(pings, 2, "gone after two unanswered");
}

#[test]
fn whoever_takes_nothing_is_closed() {
    let house = House::new(&["--stall-timeout", "1s", "--max-actions", "1000000"]);
    let mut stuck = house.person("");
    sync(&mut stuck, "todos", &Value::Null);
    let mut writer = house.person("");
    let long = "x".repeat(60_000);
    done(&mut writer, "todos", &create("a", &long));
    // Every change of a row, until the kernels hold all that they can and one of them waits.
    let mut at = 0;
    while house.daemon.log_count("person sent away: ") == 0 {
        at += 1;
        done(&mut writer, "todos", &update("a", &format!("{at}{long}")));
    }
    let line = house.daemon.logged("person sent away: ");
    assert!(line.contains("stalled"), "{line}");
    let mut code = None;
    while let Some(frame) = stuck.frame() {
        if frame.first == 0x88 {
            code = Some(u16::from_be_bytes([frame.payload[0], frame.payload[1]]));
        }
    }
    assert_eq!(code, Some(1013));
    done(&mut writer, "todos", &update("a", "on it goes"));
}

#[test]
fn a_host_can_send_a_person_away() {
    let house = House::new(&[]);
    let (mut person, mut other) = (house.person("?_pk=p"), house.person(""));
    for person in [&mut person, &mut other] {
        sync(person, "todos", &Value::Null);
    }
    let viewers = house.daemon.ask("GET", "/api/viewers", "").json();
    let of_rooms = viewers.as_array().expect("a list").iter();
    let of_rooms: Vec<&Value> = of_rooms
        .filter(|viewer| viewer["room"] == "main/lobby")
        .collect();
    assert_eq!(of_rooms.len(), 2, "{viewers}");
    for viewer in of_rooms {
        let path = format!("/api/viewers/{}", viewer["id"]);
        assert_eq!(house.daemon.ask("DELETE", &path, "").status, 204);
    }
    assert_eq!(person.close_code(), Some(1008));
    while let Some(frame) = other.frame() {
        assert!(frame.first != 0x88 || frame.payload[..2] == 1008_u16.to_be_bytes());
    }
}

#[cfg(unix)]
#[test]
fn stopping_says_goodbye_and_keeps_what_was_acknowledged() {
    let folder = tempfile::tempdir().expect("a directory");
    let store = folder.path().join("store");
    let store = store.to_str().expect("text").to_owned();
    let mut house = House::in_folder(folder, "", &["--store", &store, "--max-actions", "1000000"]);
    let mut watching = house.person("");
    sync(&mut watching, "todos", &Value::Null);
    let mut host = house.host();
    let writers: Vec<Socket> = (0..4).map(|_| house.person("")).collect();
    let acknowledged: Vec<Vec<String>> = std::thread::scope(|scope| {
        let writers = writers.into_iter().enumerate();
        let write = |(index, mut writer): (usize, Socket)| {
            scope.spawn(move || write_until_the_end(&mut writer, index))
        };
        let writers: Vec<_> = writers.map(write).collect();
        for _ in 0..20 {
            next(&mut watching);
        }
        house.daemon.signal("TERM");
        let writers = writers.into_iter();
        writers.map(|writer| writer.join().expect("1001")).collect()
    });
    while watching.message().is_some() {}
    assert_eq!(host.close_code(), Some(1001));
    drop(host);
    assert!(house.daemon.exited().success());
    let House { folder, daemon } = house;
    drop(daemon);
    let again = House::in_folder(folder, "", &["--store", &store]);
    let rows = again.rows("todos");
    let ids: Vec<&str> = rows
        .iter()
        .map(|row| row[0].as_str().expect("text"))
        .collect();
    for id in acknowledged.iter().flatten() {
        assert!(ids.contains(&id.as_str()), "{id} was acknowledged");
    }
    assert!(acknowledged.iter().all(|ids| !ids.is_empty()));
}

/// Makes rows one after the other; those that were acknowledged before the connection was closed
/// with 1001.
#[cfg(unix)]
fn write_until_the_end(writer: &mut Socket, index: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for count in 0.. {
        let id = format!("{index}-{count}");
        ask(writer, id.as_str(), "todos", &create(&id, "x"));
        loop {
            let frame = writer.frame().expect("a close before the end");
            if frame.first == 0x88 {
                assert_eq!(frame.payload[..2], 1001_u16.to_be_bytes());
                return acknowledged;
            }
            let message: Value = serde_json::from_slice(&frame.payload).expect("JSON");
            if message["rpc"] == true {
                assert_eq!(message["id"], id.as_str());
                acknowledged.extend((message["type"] == "success").then(|| id.clone()));
                break;
            }
        }
    }
    acknowledged
}
