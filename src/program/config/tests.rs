use std::path::Path;
use std::time::Duration;

use super::file::File;
use super::keys::{KEYS, Key};
use super::*;
use crate::options::{HostToken, Page, Source};

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

#[test]
fn paths_are_relative_to_the_file() {
    let loaded =
        file("sources = [\"state.json\", \"-\", \"/abs.json\"]\nviewer = \"site\"").unwrap();
    let options = loaded.settings.options;
    assert_eq!(
        options.sources,
        [
            Source::File("etc/state.json".into()),
            Source::Stdin,
            Source::File("/abs.json".into())
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
