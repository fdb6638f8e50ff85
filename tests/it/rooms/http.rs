//! Rows and actions over HTTP.

use super::*;

const TODOS: &str = "/api/rooms/main/lobby/todos";

#[test]
fn rows_have_a_tag_and_a_time_to_ask_from() {
    let house = House::new(&[]);
    let columns = json!([
        "id",
        "text",
        "completed",
        "created_at",
        "updated_at",
        "deleted_at"
    ]);
    let empty = house.daemon.ask("GET", TODOS, "");
    assert_eq!(empty.body, format!(r#"{{"columns":{columns},"rows":[]}}"#));
    assert_eq!(empty.header("content-type"), Some("application/json"));
    let mut person = house.person("");
    let a = done(&mut person, "todos", &create("a", "x")).remove(0);
    let b = done(&mut person, "todos", &create("b", "x")).remove(0);
    let whole = house.daemon.ask("GET", TODOS, "");
    assert_eq!(whole.json()["rows"], json!([a, b]));
    let tag = whole.header("etag").expect("a tag").to_owned();
    assert_eq!(tag, format!("\"{}\"", updated(&b)));
    assert_ne!(empty.header("etag"), Some(tag.as_str()));
    let ask_if = |tag: &str, query: &str| {
        let bearer = format!("Bearer {}", house.daemon.token);
        let headers = [("Authorization", bearer.as_str()), ("If-None-Match", tag)];
        let path = format!("{TODOS}{query}");
        Response::to(house.daemon.connect(), "GET", &path, &headers, "")
    };
    for same in [tag.clone(), format!("W/{tag}"), format!("\"1\", {tag}")] {
        let same = ask_if(&same, "");
        assert_eq!((same.status, same.body.as_str()), (304, ""));
        assert_eq!(same.header("etag"), Some(tag.as_str()));
    }
    let gone = done(&mut person, "todos", &delete("a")).remove(0);
    assert_eq!(ask_if(&tag, "").status, 200, "it is another one by now");
    let from = |time: u64| {
        let answer = house.daemon.ask("GET", &format!("{TODOS}?from={time}"), "");
        answer.json()["rows"].clone()
    };
    assert_eq!(from(updated(&b)), json!([b, gone]));
    assert_eq!(from(updated(&b) + 1), json!([gone]));
    assert_eq!(from(updated(&gone)), json!([gone]));
    assert_eq!(
        from(updated(&gone) + 1),
        json!([b]),
        "it has not come to that"
    );
    assert_eq!(house.rows("todos"), [b]);
    for wrong in ["", "soon", "-1", "1.5"] {
        let wrong = house
            .daemon
            .ask("GET", &format!("{TODOS}?from={wrong}"), "");
        assert_eq!(wrong.status, 400, "{wrong:?}");
    }
    for (path, status) in [
        ("/api/rooms/main/lobby/none", 404),
        ("/api/rooms/other/lobby/todos", 400),
        ("/api/rooms/main/a%20b/todos", 400),
    ] {
        assert_eq!(house.daemon.ask("GET", path, "").status, status, "{path}");
    }
    let head = Response::to(house.daemon.connect(), "HEAD", TODOS, &[], "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn many_rows_come_whole() {
    let house = House::new(&[]);
    let mut host = house.host();
    let rows: Vec<Value> = (0..20_000)
        .map(|number| json!([format!("{number}"), "x".repeat(number % 50), number]))
        .collect();
    say(
        &mut host,
        &json!({"type": "rows", "channel": "todos", "rows": rows}),
    );
    assert_eq!(next(&mut host), json!({"type": "ack"}));
    let told = house.rows("todos");
    assert_eq!(told.len(), rows.len());
    for (row, given) in told.iter().zip(&rows) {
        let given = given.as_array().expect("a row");
        assert_eq!(row.as_array().expect("a row")[..3], given[..]);
    }
    let mut person = house.person("");
    assert_eq!(sync(&mut person, "todos", &Value::Null), told);
}

#[test]
fn an_action_over_http_is_a_hosts() {
    let house = House::new(&[]);
    let mut person = house.person("");
    sync(&mut person, "shown", &Value::Null);
    let row = json!({"type": "create", "payload": {"id": "a", "text": "x"}});
    let made = house.act("shown", &row);
    let at = made.json()["result"][0][2].clone();
    let exact = format!(r#"{{"result":[["a","x",{at},{at},null]]}}"#);
    assert_eq!((made.status, made.body), (200, exact));
    assert_eq!(next(&mut person)["payload"][0][0], "a");
    let again = house.act("shown", &row);
    assert_eq!(again.status, 422, "{again:?}");
    assert!(
        again.json()["detail"]
            .as_str()
            .expect("a text")
            .contains("in use")
    );
    assert_eq!(house.act("guarded", &row).status, 200);
    assert_eq!(house.act("asked", &row).status, 422, "no host is there");
    assert_eq!(house.act("none", &row).status, 404);
    let without = Response::to(
        house.daemon.connect(),
        "POST",
        "/api/rooms/main/lobby/shown/actions",
        &[],
        &row.to_string(),
    );
    assert_eq!(without.status, 401, "{without:?}");
    let broken = house.daemon.ask("POST", &format!("{TODOS}/actions"), "{");
    assert_eq!(broken.status, 400, "{broken:?}");
    let none = house.act("shown", &json!({"type": "delete-all"}));
    assert_eq!(none.json()["result"].as_array().map(Vec::len), Some(1));
    let none = house.act("shown", &json!({"type": "delete-all"}));
    assert_eq!(none.body, r#"{"result":[]}"#);
}
