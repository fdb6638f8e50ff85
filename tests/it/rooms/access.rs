//! Who may come in, who may write, and how many.

use super::*;

#[test]
fn what_is_no_room_is_refused_at_the_upgrade() {
    let house = House::new(&[]);
    for (path, status) in [
        ("/parties/main/lobby/more", 404),
        ("/parties/main", 404),
        ("/parties/other/lobby", 400),
        ("/parties/ma.in/lobby", 400),
        ("/parties/main/a%20b", 400),
        ("/parties/main/a%2Fb", 400),
        ("/parties/main/..%2F..%2Fetc", 400),
    ] {
        let refused = house.refused(path);
        assert_eq!(refused.status, status, "{path}: {refused:?}");
    }
    let long = format!("/parties/main/{}", "x".repeat(124));
    assert_eq!(house.refused(&long).status, 400);
    house.person_of(&format!("main/{}", "x".repeat(123)), "");
    let none = Daemon::with(&[]);
    let opened = Socket::try_open(none.connect(), "/parties/main/lobby", &[]);
    let refused = opened.err().expect("it is refused");
    assert_eq!(refused.status, 404, "{refused:?}");
}

#[test]
fn tokens_say_who_watches_and_who_writes() {
    let tokens = "host_token = \"host-token-one\"\nviewer_token = \"viewer-token-one\"";
    let house = House::with(tokens, &[]);
    for query in ["", "?token=wrong-token"] {
        let refused = house.refused(&format!("/parties/main/lobby{query}"));
        assert_eq!(refused.status, 401, "{refused:?}");
    }
    let mut viewer = house.person("?token=viewer-token-one&_pk=v");
    let mut host = house.person("?_pk=h&token=host-token-one");
    done(&mut viewer, "todos", &create("a", "x"));
    ask(&mut viewer, 1, "guarded", &json!({"type": "delete-all"}));
    assert_eq!(answer(&mut viewer)["type"], "error");
    let guarded = json!({"type": "create", "payload": {"id": "g", "text": "x"}});
    done(&mut host, "guarded", &guarded);
    assert_eq!(sync(&mut viewer, "guarded", &Value::Null)[0][0], "g");
    for (method, path) in [("GET", ""), ("POST", "/actions")] {
        let path = format!("/api/rooms/main/lobby/todos{path}");
        let body = create("b", "x").to_string();
        let ask = |token: &str| {
            let bearer = format!("Bearer {token}");
            let headers = [("Authorization", bearer.as_str())];
            Response::to(house.daemon.connect(), method, &path, &headers, &body).status
        };
        let as_viewer = if method == "GET" { 200 } else { 401 };
        let statuses = [
            ask("wrong-token"),
            ask("viewer-token-one"),
            ask("host-token-one"),
        ];
        assert_eq!(statuses, [401, as_viewer, 200], "{method} {path}");
    }
}

#[cfg(unix)]
#[test]
fn whoever_was_let_in_by_a_token_that_is_gone_is_sent_away() {
    let tokens = |host: &str, viewer: &str| {
        format!("host_token = \"host-token-{host}\"\nviewer_token = \"viewer-token-{viewer}\"")
    };
    let house = House::with(&tokens("one", "one"), &[]);
    let mut viewer = house.person("?token=viewer-token-one");
    let mut as_host = house.person("?token=host-token-one");
    let path = "/host?room=main/lobby&token=host-token-one";
    let mut host = house.daemon.socket(path, &[]);
    done(&mut as_host, "todos", &create("a", "x"));
    let reload = |more: &str, times: usize| {
        configuration(house.folder.path(), more);
        house.daemon.signal("HUP");
        house.daemon.logged_again("configuration reloaded: ", times);
    };
    reload(&tokens("two", "one"), 1);
    assert_eq!(as_host.message(), None);
    assert_eq!(host.close_code(), Some(1008));
    done(&mut viewer, "todos", &create("b", "it stays"));
    reload(&tokens("two", "two"), 2);
    assert_eq!(viewer.close_code(), Some(1008));
    house
        .daemon
        .logged("person sent away: what let it in holds no more");
    let mut viewer = house.person("?token=viewer-token-two");
    assert_eq!(sync(&mut viewer, "todos", &Value::Null).len(), 2);
}

#[test]
fn a_full_house_is_503() {
    let house = House::new(&["--max-viewers", "2", "--max-rooms", "2"]);
    let mut first = house.person("");
    let second = house.person("");
    let refused = house.refused("/parties/main/lobby");
    assert_eq!(refused.status, 503, "{refused:?}");
    drop(second);
    done(&mut first, "todos", &create("a", "x"));
    // A room with rows stays when it is empty; one without goes with its people.
    let mut other = open(&house, "/parties/main/other");
    drop(first);
    done(&mut other, "todos", &create("a", "x"));
    drop(other);
    let refused = house.refused("/parties/main/third");
    assert_eq!(refused.status, 503, "{refused:?}");
    open(&house, "/parties/main/other");
}

/// As soon as there is a place again.
fn open(house: &House, path: &str) -> Socket {
    loop {
        match Socket::try_open(house.daemon.connect(), path, &[]) {
            Ok(socket) => return socket,
            Err(refused) => assert_eq!(refused.status, 503, "{refused:?}"),
        }
    }
}

#[test]
fn limits_on_rows_are_errors() {
    let limits = ["--max-rows", "3", "--max-row", "1KiB"];
    let house = House::new(&[&limits[..], &["--max-rows-size", "4KiB"]].concat());
    let mut person = house.person("");
    let long = "x".repeat(1000);
    let refused = |person: &mut Socket, action: Value, flag: &str| {
        ask(person, 1, "todos", &action);
        let over = answer(person);
        let reason = over["error"][0].as_str().expect("a reason");
        assert!(reason.contains(flag), "{over}");
    };
    refused(
        &mut person,
        create("long", &format!("{long}{long}")),
        "--max-row)",
    );
    for id in ["a", "b", "c"] {
        done(&mut person, "todos", &create(id, "x"));
    }
    refused(&mut person, create("d", "x"), "--max-rows)");
    let host = house.act(
        "shown",
        &json!({"type": "create", "payload": {"id": "d", "text": "x"}}),
    );
    assert_eq!(host.status, 422, "{host:?}");
    done(&mut person, "todos", &update("a", &long));
    done(&mut person, "todos", &delete("a"));
    for id in ["d", "b"] {
        // The deleted one still takes its place in memory.
        let put = if id == "d" {
            create(id, &long)
        } else {
            update(id, &long)
        };
        done(&mut person, "todos", &put);
    }
    refused(&mut person, update("c", &long), "--max-rows-size)");
    done(&mut person, "todos", &delete("d"));
    assert_eq!(house.rows("todos").len(), 2);
}
