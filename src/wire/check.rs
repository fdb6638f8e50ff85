//! What a check of the connection finds, line by line: the host's half and a phone's.

use serde::Serialize;
use serde_json::Value;

/// How one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing in the way.
    Good,
    /// Worth knowing; it may explain what does not work.
    Note,
    /// It keeps phones from connecting.
    Wrong,
}

/// One thing that was looked at, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckLine {
    /// Its name, in a word or two.
    pub check: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it, a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way_out: Option<String>,
    /// What to type to do that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// What a phone has found out so far, as it tells its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneReport {
    /// What the page calls itself, so that its next report replaces this one.
    pub id: String,
    /// In the order in which they were looked at.
    pub lines: Vec<CheckLine>,
    /// Whether there is no more to come.
    pub done: bool,
}

/// What a phone looks at, and the way out: anybody could call himself a phone, so his advice is not
/// taken. No other name is.
const PHONE_CHECKS: [(&str, &str); 9] = [
    (
        "request",
        "Is the host still running, and the phone still in its network? A proxy or a login page of the network may be in between.",
    ),
    (
        "upgrade",
        "Scan the host's code again, which carries the token. If that is not it: a proxy, VPN or content filter in between cuts WebSockets off; switch it off for this address, or serve with --tls-cert.",
    ),
    (
        "first frame",
        "Something in between holds the data back, or the connection is too slow for this state. Serve with --tls-cert, which a proxy cannot look into.",
    ),
    (
        "round trip",
        "Is the phone in the host's Wi-Fi, near the access point, and without a VPN?",
    ),
    (
        "wake lock",
        "Set the screen's timeout in the phone's settings; with https (--tls-cert), most browsers keep the screen on.",
    ),
    (
        "secure context",
        "Fine at home. Elsewhere serve with --tls-cert and --viewer-token.",
    ),
    (
        "local network",
        "Allow local network access in the settings of the phone's browser.",
    ),
    (
        "clock",
        "Let both devices set their clocks from the network.",
    ),
    ("data saver", "Switch it off for this address."),
];

/// Longer texts of a phone are cut, in characters.
const LONGEST: usize = 240;
/// As the page makes them.
const LONGEST_ID: usize = 64;

impl CheckLine {
    /// Nothing in the way.
    pub fn good(check: &'static str, found: impl Into<String>) -> CheckLine {
        CheckLine {
            check,
            verdict: Verdict::Good,
            found: found.into(),
            way_out: None,
            command: None,
        }
    }

    /// Worth knowing, and what to do if that is the reason.
    pub fn note(
        check: &'static str,
        found: impl Into<String>,
        way_out: impl Into<String>,
    ) -> CheckLine {
        CheckLine {
            verdict: Verdict::Note,
            way_out: Some(way_out.into()),
            ..CheckLine::good(check, found)
        }
    }

    /// What keeps phones from connecting, and the way out.
    pub fn wrong(
        check: &'static str,
        found: impl Into<String>,
        way_out: impl Into<String>,
    ) -> CheckLine {
        CheckLine {
            verdict: Verdict::Wrong,
            ..CheckLine::note(check, found, way_out)
        }
    }

    /// The same, with what to type.
    #[must_use]
    pub fn typing(self, command: impl Into<String>) -> CheckLine {
        let command = Some(command.into());
        CheckLine { command, ..self }
    }
}

impl PhoneReport {
    /// Reads `{"id", "lines": [{"check", "verdict", "found"}], "done"}`. What a line holds
    /// besides is left out, and so are a second line of the same name and one of an unknown name.
    /// `None` if it is no report at all.
    pub fn read(body: &[u8]) -> Option<PhoneReport> {
        let report: Value = serde_json::from_slice(body).ok()?;
        let id = report["id"].as_str().filter(|id| is_id(id))?.to_owned();
        let mut lines: Vec<CheckLine> = Vec::new();
        for line in report["lines"].as_array()?.iter().filter_map(line) {
            if lines.iter().all(|known| known.check != line.check) {
                lines.push(line);
            }
        }
        let done = report["done"].as_bool()?;
        Some(PhoneReport { id, lines, done })
    }
}

fn is_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(is_plain)
}

fn line(value: &Value) -> Option<CheckLine> {
    let name = value["check"].as_str()?;
    let verdict = match value["verdict"].as_str()? {
        "good" => Verdict::Good,
        "note" => Verdict::Note,
        "wrong" => Verdict::Wrong,
        _ => return None,
    };
    let mut known = PHONE_CHECKS.into_iter();
    let (check, way_out) = known.find(|(known, _)| *known == name)?;
    Some(CheckLine {
        check,
        verdict,
        found: value["found"].as_str()?.chars().take(LONGEST).collect(),
        way_out: (verdict != Verdict::Good).then(|| way_out.to_owned()),
        command: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<PhoneReport> {
        PhoneReport::read(text.as_bytes())
    }

    #[test]
    fn a_report_keeps_only_what_is_known() {
        let report = read(
            r#"{"id":"a-1","done":false,"more":1,"lines":[
                {"check":"request","verdict":"good","found":"ok","command":"rm","more":1},
                {"check":"request","verdict":"wrong","found":"twice"},
                {"check":"firewall","verdict":"good","found":"of the host"},
                {"check":"clock","verdict":"excellent","found":"no verdict"},
                {"check":"upgrade","verdict":"wrong","found":"none","wayOut":"call me"}, 7]}"#,
        )
        .unwrap();
        let expected = [
            CheckLine::good("request", "ok"),
            CheckLine::wrong("upgrade", "none", PHONE_CHECKS[1].1),
        ];
        assert_eq!((report.id.as_str(), report.done), ("a-1", false));
        assert_eq!(report.lines, expected);
    }

    #[test]
    fn long_texts_are_cut() {
        let long = "ä".repeat(5000);
        let body = format!(
            r#"{{"id":"a","done":true,"lines":[{{"check":"clock","verdict":"note","found":"{long}"}}]}}"#
        );
        let line = &read(&body).unwrap().lines[0];
        assert_eq!(line.found.chars().count(), LONGEST);
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let long = "a".repeat(65);
        let wrong = [
            "",
            "[]",
            "null",
            r#"{"lines":[],"done":true}"#,
            r#"{"id":"","lines":[],"done":true}"#,
            r#"{"id":"a b","lines":[],"done":true}"#,
            r#"{"id":"a","lines":{},"done":true}"#,
            r#"{"id":"a","lines":[]}"#,
            &format!(r#"{{"id":"{long}","lines":[],"done":true}}"#),
        ];
        for body in wrong {
            assert_eq!(read(body), None, "{body}");
        }
    }
}
