//! Standard input as a source: NDJSON, one change per line.

use serde_json::json;

use super::harness::Daemon;

fn piped(args: &[&str]) -> Daemon {
    Daemon::with(&[&["-", "--debounce", "0ms"], args].concat())
}

#[test]
fn lines_are_changes() {
    let mut daemon = piped(&[]);
    let mut viewer = daemon.viewer();
    daemon.type_in("{\"name\":\"Demo\",\"data\":[1],\"config\":{\"speed\":1}}\n");
    assert_eq!(viewer.json()["payload"]["name"], json!("Demo"));
    daemon.type_in("{\"type\":\"config_update\",\"payload\":{\"speed\":2},\"sourceId\":\"me\"}\n");
    let frame = viewer.json();
    assert_eq!(frame["payload"], json!({"speed": 2}));
    assert_eq!(frame["origins"]["speed"]["sourceId"], json!("me"));
    daemon.type_in("{\"type\":\"session_update\",\"payload\":{\"data\":[2]}}\r\n");
    assert_eq!(viewer.json()["payload"]["data"], json!([2]));
    daemon.type_in("{\"type\":\"broadcast\",\"text\":\"hello\"}\n");
    assert_eq!(viewer.text().as_deref(), Some("hello"));
    daemon.type_in("[3]\n");
    assert_eq!(viewer.json()["payload"]["data"], json!([3]));
}

#[test]
fn a_bad_line_is_named_and_skipped() {
    let mut daemon = piped(&["--max-session", "1KiB"]);
    let mut viewer = daemon.viewer();
    daemon.type_in(&format!(
        "{{\"data\":\n\n{{\"type\":\"dance\"}}\n\"{}\"\n{{\"data\":7}}\n",
        "x".repeat(100_000)
    ));
    assert_eq!(viewer.json()["payload"]["data"], json!(7));
    daemon.logged("stdin, line 1: ");
    assert!(daemon.logged("stdin, line 3: ").contains("dance"));
    assert!(
        daemon
            .logged("stdin, line 4: ")
            .contains("longer than 1024 bytes (--max-session); skipped")
    );
}

#[test]
fn after_its_end_the_state_is_still_served() {
    let mut daemon = piped(&[]);
    daemon.type_in("{\"data\":\"last\"}");
    daemon.end_input();
    daemon.logged("stdin has ended");
    assert_eq!(daemon.viewer().json()["payload"]["data"], json!("last"));
}

#[test]
fn many_lines_end_on_the_last() {
    let mut daemon = piped(&[]);
    let mut viewer = daemon.viewer();
    let filler = "x".repeat(10_000);
    for count in 0..=500 {
        daemon.type_in(&format!(
            "{{\"data\":{{\"count\":{count},\"filler\":\"{filler}\"}}}}\n"
        ));
    }
    while viewer.json()["payload"]["data"]["count"] != json!(500) {}
}
