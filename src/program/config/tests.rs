use std::path::Path;
use std::time::Duration;

use super::file::File;
use super::keys::{KEYS, Key};
use super::*;
use crate::options::{HostToken, Page, RoomOptions, Source};
use crate::state::room::{Actions, Channel, Writers};

fn nothing(_: &Key) -> Option<Vec<String>> {
    None
}

fn says(name: &'static str, value: &str) -> impl Fn(&Key) -> Option<Vec<String>> {
    let value = value.to_owned();
    move |key| (key.name == name).then(|| key.split(&value))
}

fn file(text: &str) -> Result<Loaded, ConfigError> {
    let file = File::parse(Path::new("etc/onlooker.toml"), text)?;
    Loaded::resolve(&nothing, &nothing, Some(&file))
}

fn fault(text: &str) -> String {
    file(text).unwrap_err().text
}

#[test]
fn flag_variable_file_default_is_the_order() {
    let file = File::parse(Path::new("o.toml"), "port = 3\ntopic = \"x\"\nqr = \"ws\"").unwrap();
    let (flags, env) = (says("port", "1"), says("topic", "y"));
    let loaded = Loaded::resolve(&flags, &env, Some(&file)).unwrap();
    assert_eq!(loaded.settings.options.port, 1);
    assert_eq!(loaded.settings.options.topic.as_str(), "y");
    assert_eq!(loaded.settings.qr, Qr::Ws);
    assert_eq!(loaded.place("port"), &Place::Flag);
    assert_eq!(loaded.place("topic"), &Place::Environment);
    assert_eq!(loaded.place("qr"), &Place::File("o.toml".into(), 3));
    assert_eq!(loaded.place("bind"), &Place::Default);
}

#[test]
fn a_pause_is_cut_short_only_by_a_wait_that_was_asked_for() {
    let wait = |text: &str| file(text).unwrap().settings.options.flow.max_wait;
    assert_eq!(wait(""), Some(Duration::from_millis(500)));
    assert_eq!(wait("debounce = \"2s\""), Some(Duration::from_secs(4)));
    assert_eq!(
        wait("debounce = \"20ms\""),
        Some(Duration::from_millis(500))
    );
    let asked = wait("debounce = \"2s\"\nmax_wait = \"100ms\"");
    assert_eq!(asked, Some(Duration::from_millis(100)));
    assert_eq!(wait("debounce = \"2s\"\nmax_wait = \"off\""), None);
}

#[test]
fn what_is_written_is_what_is_shown() {
    for key in KEYS {
        let default = key.default();
        let text = format!("{} = {default}", key.name);
        let loaded = file(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((key.show)(&loaded.settings), default, "{text}");
    }
}

#[test]
fn every_key_has_a_flag_a_variable_and_a_help() {
    for key in KEYS {
        assert!(
            key.name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        );
        assert!(key.variable().starts_with("ONLOOKER_"));
        assert!(key.flag().starts_with("--") || key.look.shape == Shape::Positional);
        assert!(key.help().ends_with('.') && !key.look.value.is_empty() && !key.group.is_empty());
        let same = KEYS.iter().filter(|other| other.name == key.name);
        assert_eq!(same.count(), 1, "{}", key.name);
    }
}

#[test]
fn an_unknown_key_names_the_nearest_and_the_line() {
    assert_eq!(
        fault("port = 1\nmax_viewer = 2"),
        "etc/onlooker.toml:2: unknown key \"max_viewer\": the nearest known one is \"max_viewers\""
    );
    assert!(fault("max-wait = \"1s\"").contains("\"max_wait\""));
    assert!(fault("[feilds]\nspeed = \"number\"").contains("\"fields\""));
}

#[test]
fn a_wrong_value_names_itself_the_key_the_place_and_the_way_out() {
    assert_eq!(
        fault("\nport = 70000"),
        "etc/onlooker.toml:2: port = 70000: give a port from 0 to 65535; 0 picks a free one"
    );
    assert_eq!(
        fault("debounce = 250"),
        "etc/onlooker.toml:1: debounce = 250: give a whole number and a unit, like 250ms, 15s, 2m or 1h"
    );
    assert!(
        fault("port = true").contains(
            "etc/onlooker.toml:1: port: expected a string or an integer, got true or false"
        )
    );
    assert!(fault("port = [1]").contains("got a list"));
    assert!(fault("capacity = 8").contains("the least is 16"));
    assert!(fault("a = 1 b").starts_with("etc/onlooker.toml:1: "));
}

#[test]
fn flags_and_variables_name_themselves() {
    let wrong = |flags: Typed, env: Typed| Loaded::resolve(flags, env, None).unwrap_err();
    let flag = wrong(&says("max_session", "big"), &nothing);
    assert!(flag.text.starts_with("--max-session big: give"), "{flag}");
    let variable = wrong(&nothing, &says("port", "tcp://10.0.0.1:9876"));
    assert!(
        variable
            .text
            .starts_with("ONLOOKER_PORT=tcp://10.0.0.1:9876: ")
    );
    assert!(variable.text.contains("enableServiceLinks"));
}

#[test]
fn a_token_is_never_in_a_message() {
    let wrong = Loaded::resolve(&says("host_token", "swordfi"), &nothing, None).unwrap_err();
    assert!(!wrong.text.contains("swordfi"), "{wrong}");
    let file = File::parse(
        Path::new("o.toml"),
        "host_token = \"swordfish\"\nviewer_token = \"open sesame\"",
    );
    let wrong = Loaded::resolve(&nothing, &nothing, Some(&file.unwrap())).unwrap_err();
    assert!(!wrong.text.contains("sesame"), "{wrong}");
}

#[test]
fn no_token_is_in_debug() {
    let text = "host_token = \"swordfish\"\nviewer_token = \"open-sesame\"";
    let mut loaded = file(text).unwrap();
    let ViewerToken::Given(token) = loaded.settings.viewer_token.clone() else {
        panic!("{loaded:?}");
    };
    // As `serve` does.
    loaded.settings.options.access.viewer_token = Some(token);
    let shown = format!("{loaded:?}");
    assert!(shown.contains("viewer_token: Some("), "{shown}");
    for secret in ["swordfish", "open-sesame"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn the_effective_configuration_masks_tokens_and_names_places() {
    let env = says("host_token", "swordfish");
    let file = File::parse(
        Path::new("o.toml"),
        "port = 8\n[fields]\nspeed = {type = \"number\", min = 0}\non = \"boolean\"",
    );
    let loaded = Loaded::resolve(&nothing, &env, Some(&file.unwrap())).unwrap();
    let shown = show::effective(&loaded);
    assert!(!shown.contains("swordfish"), "{shown}");
    let line = |start: &str| {
        shown
            .lines()
            .find(|line| line.starts_with(start))
            .unwrap()
            .to_owned()
    };
    assert!(line("port = 8 ").ends_with("# o.toml:1"));
    assert!(line("host_token = \"*").ends_with("# environment ONLOOKER_HOST_TOKEN"));
    assert!(line("viewer_token = \"none\"").ends_with("# default"));
    assert!(line("[fields]").ends_with("# o.toml:2"));
    assert_eq!(line("speed"), "speed = { type = \"number\", min = 0.0 }");
    let again = self::file(&shown.replace("********", "swordfish")).unwrap();
    assert_eq!(
        again.settings.options.fields,
        loaded.settings.options.fields
    );
    let order: Vec<&String> = again
        .settings
        .options
        .fields
        .iter()
        .flatten()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(order, ["speed", "on"], "the host's order");
}

#[test]
fn a_wrong_field_names_its_line() {
    let wrong = fault("[fields]\na = \"number\"\nspeed = { type = \"number\", min = 2, max = 1 }");
    assert_eq!(
        wrong,
        "etc/onlooker.toml:3: fields.speed: min 2 is above max 1"
    );
    assert!(fault("fields = 3").starts_with("etc/onlooker.toml:1: fields: give a table"));
}

/// Below `[rooms.channels.todos]` in the tests of a channel.
const COLUMNS: &str = "columns = { id = \"string\", text = \"string\" }";

fn rooms(text: &str) -> RoomOptions {
    file(text).unwrap().settings.options.rooms
}

#[test]
fn rooms_are_declared_in_a_table_of_their_own() {
    let declared = rooms(
        "[rooms]\nparties = [\"main\", \"stage-2\"]\nkeep_deleted = \"48h\"\n\
         [rooms.channels.todos]\n\
         columns = { id = \"string\", text = \"string\", age = { type = \"number\", min = 0 } }\n\
         actions = \"host\"\nwriters = \"viewers\"\nshow = true\n\
         [rooms.channels.people.columns]\nid = \"number\"\nname = \"string\"",
    );
    assert_eq!(declared.parties, ["main", "stage-2"]);
    assert_eq!(declared.keep_deleted, Duration::from_secs(48 * 60 * 60));
    let names: Vec<&String> = declared.channels.keys().collect();
    assert_eq!(names, ["todos", "people"]);
    let todos = &declared.channels["todos"];
    assert!(todos.names().eq([
        "id",
        "text",
        "age",
        "created_at",
        "updated_at",
        "deleted_at"
    ]));
    assert_eq!(todos.columns["age"].min, Some(0.0));
    assert_eq!(
        (todos.actions, todos.writers, todos.show),
        (Actions::Host, Writers::Viewers, true)
    );
    let people = &declared.channels["people"];
    assert_eq!(Channel::new(people.columns.clone()).as_ref(), Ok(people));
}

#[test]
fn without_a_word_about_rooms_there_are_none() {
    assert_eq!(rooms(""), RoomOptions::default());
    assert_eq!(rooms("[rooms]"), RoomOptions::default());
    assert!(rooms("").channels.is_empty());
    let silent = show::effective(&file("").unwrap());
    assert!(!silent.contains("[rooms"), "{silent}");
}

#[test]
fn a_wrong_room_names_its_line_and_the_way_out() {
    let long = format!("[rooms]\nparties = [\"{}\"]", "x".repeat(127));
    for (text, told) in [
        ("rooms = 3", "1: rooms: give a table, like [rooms] and "),
        (
            "[rooms]\npartys = [\"main\"]",
            "2: unknown key \"partys\": the nearest known one is \"parties\"",
        ),
        (
            "[rooms]\n[rooms.todos]",
            "2: unknown key \"todos\": a channel is declared under [rooms.channels.todos]",
        ),
        (
            "[rooms]\nparties = [\"a.b\"]",
            "2: rooms.parties: \"a.b\" cannot name a party: use 1 to 126 of letters, digits, '_' and '-'",
        ),
        (&long, "2: rooms.parties: \"xxx"),
        ("[rooms]\nparties = [\"\"]", "2: rooms.parties: \"\" cannot"),
        (
            "[rooms]\nparties = []",
            "2: rooms.parties: name at least one, like main",
        ),
        (
            "[rooms]\nparties = [true]",
            "2: rooms.parties: expected a string or an integer, got true or false",
        ),
        (
            "[rooms]\n\nkeep_deleted = 24",
            "3: rooms.keep_deleted = 24: give a whole number and a unit, like ",
        ),
        (
            "[rooms]\nkeep_deleted = \"0s\"",
            "2: rooms.keep_deleted: give more than zero, like 24h",
        ),
        (
            "[rooms]\nkeep_deleted = \"9000h\"",
            "2: rooms.keep_deleted: a year (8760h) is the longest",
        ),
        (
            "[rooms]\nchannels = [\"todos\"]",
            "2: rooms.channels: give a table, like [rooms.channels.todos]",
        ),
        (
            "[rooms.channels]\n\"to do\" = {}",
            "2: rooms.channels: \"to do\" cannot name a channel: use 1 to 64 of letters, digits, '_' and '-'",
        ),
    ] {
        let fault = fault(text);
        let told = format!("etc/onlooker.toml:{told}");
        assert!(fault.starts_with(&told), "{fault}, not {told}");
    }
}

#[test]
fn a_wrong_channel_names_its_line_and_the_way_out() {
    let columns = |columns: &str| format!("columns = {{ {columns} }}");
    for (line, told) in [
        (
            "".to_owned(),
            "2: rooms.channels.todos: has no columns: give columns = { id = \"string\", ",
        ),
        (
            "columns = [\"id\"]".to_owned(),
            "3: rooms.channels.todos.columns: give a table, like { id = ",
        ),
        (
            columns(""),
            "3: rooms.channels.todos.columns: the first column has to be id, a string or a number",
        ),
        (
            columns("text = \"string\", id = \"string\""),
            "3: rooms.channels.todos.columns: the first column has to be id, a string or a number",
        ),
        (
            columns("id = \"boolean\""),
            "3: rooms.channels.todos.columns: the first column has to be id, a string or a number",
        ),
        (
            columns("id = \"string\", updated_at = \"number\""),
            "3: rooms.channels.todos.columns: updated_at is in every row already: leave it out",
        ),
        (
            columns("id = \"string\", text = \"text\""),
            "3: rooms.channels.todos.columns.text: expected number, string, ",
        ),
        (
            columns("id = \"string\", age = { type = \"number\", min = 2, max = 1 }"),
            "3: rooms.channels.todos.columns.age: min 2 is above max 1",
        ),
        (
            format!("{COLUMNS}\nactions = \"row\""),
            "4: rooms.channels.todos.actions = row: give one of rows, host, none",
        ),
        (
            format!("{COLUMNS}\nwriters = \"all\""),
            "4: rooms.channels.todos.writers = all: give one of host, viewers",
        ),
        (
            format!("{COLUMNS}\nwriters = [\"host\"]"),
            "4: rooms.channels.todos.writers: expected one value, got a list",
        ),
        (
            format!("{COLUMNS}\nshow = \"yes\""),
            "4: rooms.channels.todos.show = yes: give true or false",
        ),
        (
            format!("{COLUMNS}\nwriter = \"host\""),
            "4: unknown key \"writer\": the nearest known one is \"writers\"",
        ),
    ] {
        let fault = fault(&format!("port = 1\n[rooms.channels.todos]\n{line}"));
        let told = format!("etc/onlooker.toml:{told}");
        assert!(fault.starts_with(&told), "{fault}, not {told}");
    }
    assert!(fault("[room]").contains("the nearest known one is \"rooms\""));
}

#[test]
fn the_effective_rooms_name_their_places_and_can_be_read_again() {
    let text = format!(
        "[rooms]\nkeep_deleted = \"2h\"\n[rooms.channels.todos]\n{COLUMNS}\nshow = true\n\
         [rooms.channels.b]\ncolumns = {{ id = \"number\", z = {{ type = \"string\", options = [\"x\"] }}, \"a b\" = \"boolean\" }}"
    );
    let shown = show::effective(&file(&text).unwrap());
    let (_, tables) = shown.split_once("\n\n").unwrap();
    let lines = tables.lines().map(|line| match line.split_once("  #") {
        Some((line, place)) => format!("{} #{place}", line.trim_end()),
        None => line.to_owned(),
    });
    let lines: Vec<String> = lines.collect();
    let expected = "\
[rooms] # etc/onlooker.toml:1
parties = [\"main\"] # default
keep_deleted = \"2h\" # etc/onlooker.toml:2

[rooms.channels.todos] # etc/onlooker.toml:3
columns = { id = \"string\", text = \"string\" } # etc/onlooker.toml:4
actions = \"rows\" # default
writers = \"host\" # default
show = true # etc/onlooker.toml:5

[rooms.channels.b] # etc/onlooker.toml:6
columns = { id = \"number\", z = { type = \"string\", options = [\"x\"] }, \"a b\" = \"boolean\" } # etc/onlooker.toml:7
actions = \"rows\" # default
writers = \"host\" # default
show = false # default";
    assert_eq!(lines, expected.lines().collect::<Vec<_>>(), "{shown}");
    assert_eq!(rooms(&shown), rooms(&text));
}

#[test]
fn the_commented_rooms_are_the_defaults_with_a_channel() {
    let template = show::template();
    let (_, declared) = template.split_once("# ---- Rooms ----").unwrap();
    let is_code = |line: &&str| line.starts_with('[') || line.contains(" = ");
    let lines = declared.lines().filter_map(|line| line.strip_prefix("# "));
    let text: Vec<&str> = lines.filter(is_code).collect();
    let rooms = rooms(&text.join("\n"));
    let columns = rooms.channels["todos"].columns.clone();
    let todos = ("todos".to_owned(), Channel::new(columns).unwrap());
    let expected = RoomOptions {
        channels: [todos].into(),
        ..RoomOptions::default()
    };
    assert_eq!(rooms, expected);
    assert_eq!(text.len(), 8, "{text:?}");
}

#[test]
fn paths_are_relative_to_the_file() {
    let loaded =
        file("sources = [\"state.json\", \"-\", \"/abs.json\", \"ws://a:1/?token=b\"]\nviewer = \"site\"").unwrap();
    let options = loaded.settings.options;
    assert_eq!(
        options.sources,
        [
            Source::File("etc/state.json".into()),
            Source::Stdin,
            Source::File("/abs.json".into()),
            Source::Relay("ws://a:1/?token=b".parse().unwrap()),
        ]
    );
    assert_eq!(options.page, Page::Directory("etc/site".into()));
}

#[test]
fn tokens_have_two_special_words() {
    let of = |text: &str| file(text).unwrap().settings;
    assert_eq!(
        of("host_token = \"none\"").options.access.host_token,
        HostToken::LoopbackOnly
    );
    assert_eq!(
        of("host_token = \"\"").options.access.host_token,
        HostToken::Random
    );
    assert_eq!(
        of("viewer_token = \"random\"").viewer_token,
        ViewerToken::Random
    );
    assert_eq!(of("").viewer_token, ViewerToken::None);
}

#[test]
fn certificate_and_key_come_together() {
    assert!(fault("tls_cert = \"a.pem\"").contains("tls_cert is set without tls_key"));
    let tls = file("tls_cert = \"a.pem\"\ntls_key = \"b.pem\"").unwrap();
    assert_eq!(
        tls.settings.options.tls.unwrap().key,
        Path::new("etc/b.pem")
    );
}

#[test]
fn values_that_could_not_work_are_refused() {
    for wrong in [
        "allow_origin = [\"app.example\"]",
        "allow_host = [\"http://app.example\"]",
        "advertise = \"http://192.168.1.2/\"",
        "ignore = [\"metadata\"]",
        "max_header = \"4KiB\"",
        "debounce = \"9999999999h\"",
        "host_token = \"short\"",
        "viewer_token = \"not visible\"",
        "max_wait = \"0\"",
        "inbound_frames = 0",
        "ignore = [\"/ui\"]",
        "ping = \"0\"",
        "max_viewers = 0",
        "bind = \"eth0\"",
        "topic = \"a/b\"",
        "qr = \"yes\"",
        "log_format = \"xml\"",
        "max_rooms = 0",
        "max_rows = 0",
        "max_row = \"1023B\"",
        "max_actions = 0",
    ] {
        assert!(fault(wrong).starts_with("etc/onlooker.toml:1: "), "{wrong}");
    }
}

#[test]
fn the_documents_name_what_a_signal_changes() {
    let paper = include_str!("../../../docs/hosts.md");
    let (_, list) = paper.split_once("These keys take effect at once:").unwrap();
    let (list, _) = list.split_once(';').unwrap();
    let named: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    let live = KEYS.iter().filter(|key| key.live);
    assert_eq!(named, live.map(|key| key.name).collect::<Vec<_>>());
}

#[test]
fn the_commented_file_holds_every_key_with_its_default() {
    let template = show::template();
    let kept = include_str!("../../../config/onlooker.toml");
    assert_eq!(
        kept, template,
        "run `onlooker config --default > config/onlooker.toml`"
    );
    let open: String = template
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| {
            KEYS.iter()
                .any(|key| line.starts_with(&format!("{} = ", key.name)))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(open.lines().count(), KEYS.len());
    let settings = file(&open).unwrap().settings;
    assert_eq!(
        format!("{settings:?}"),
        format!("{:?}", Settings::default()),
        "the file's defaults are the code's"
    );
}

#[test]
fn a_field_of_any_name_is_shown_so_that_it_can_be_read_again() {
    let loaded = file("[fields]\n\"a\u{200d}\\u0001\\\"\" = \"number\"").unwrap();
    let again = file(&show::effective(&loaded)).unwrap();
    assert_eq!(
        again.settings.options.fields,
        loaded.settings.options.fields
    );
}
