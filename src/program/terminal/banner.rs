//! What a host sees first: where viewers find the state, and the code to scan.

use super::{Paint, neutral};
use crate::access::PageLink;
use crate::discovery::qr;

/// What the banner tells.
#[derive(Clone, Debug)]
pub struct Banner<'a> {
    /// What is shown, in a few words: `state.json`.
    pub subject: String,
    /// For people.
    pub page: &'a PageLink,
    /// For programs.
    pub socket: &'a str,
    /// For who writes; it carries the host token, if there is one.
    pub host: &'a PageLink,
    /// Whether writers need that token.
    pub guarded: bool,
    /// Every address of this machine with the reason for its rank.
    pub candidates: &'a [(PageLink, String)],
}

impl Banner<'_> {
    /// The banner's lines.
    pub fn text(&self, paint: Paint) -> String {
        let title = format!("onlooker {}", env!("CARGO_PKG_VERSION"));
        let mut out = format!(
            "\n  {}  {}\n\n",
            paint.bold(&title),
            paint.dim(&neutral(&self.subject))
        );
        out.push_str(&row(
            "View",
            &paint.with("1;36", &neutral(self.page)),
            paint,
        ));
        out.push_str(&row("Socket", &neutral(self.socket), paint));
        let warning = paint.dim(match self.guarded {
            true => "whoever has this link can write",
            false => "whoever is on this machine can write",
        });
        out.push_str(&row(
            "Host",
            &format!("{}  {warning}", neutral(self.host)),
            paint,
        ));
        out.push_str(&self.addresses(paint));
        out.push('\n');
        out
    }

    fn addresses(&self, paint: Paint) -> String {
        if self.candidates.is_empty() {
            return String::new();
        }
        let width = self
            .candidates
            .iter()
            .map(|(url, _)| url.chars().count())
            .max();
        let width = width.unwrap_or(0);
        let line = |(at, (url, reason)): (usize, &(PageLink, String))| {
            let name = if at == 0 { "Addresses" } else { "" };
            let url = format!("{:width$}", neutral(url));
            row(
                name,
                &format!("{url}  {}", paint.dim(&neutral(reason))),
                paint,
            )
        };
        let lines: String = self.candidates.iter().enumerate().map(line).collect();
        format!("\n{lines}")
    }
}

fn row(name: &str, text: &str, paint: Paint) -> String {
    format!("  {}  {text}\n", paint.dim(&format!("{name:9}")))
}

/// The code with its text under it, or the text alone where the code does not fit.
pub fn code(text: &str, columns: Option<usize>) -> String {
    match (qr::terminal(text), qr::terminal_width(text)) {
        (Ok(code), Ok(needed)) if columns.is_none_or(|columns| needed <= columns) => {
            format!("{code}{}\n", neutral(text))
        }
        (Ok(_), Ok(needed)) => format!(
            "{}\n(the code needs {needed} columns, this terminal has {}: widen it and run `onlooker qr`)\n",
            neutral(text),
            columns.unwrap_or(0)
        ),
        (Err(error), _) | (_, Err(error)) => format!("{}\n(no code: {error})\n", neutral(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_and_address_is_listed() {
        let candidates = [
            (
                PageLink::new("http://192.168.1.5:9876/"),
                "en0: private, wired".to_owned(),
            ),
            (
                PageLink::new("http://10.8.0.2:9876/"),
                "tun0: VPN".to_owned(),
            ),
        ];
        let banner = Banner {
            subject: "state\x1b[2J.json".into(),
            page: &candidates[0].0,
            socket: "ws://192.168.1.5:9876/",
            host: &PageLink::new("http://192.168.1.5:9876/host#h=TOKEN"),
            guarded: true,
            candidates: &candidates,
        };
        let text = banner.text(Paint::plain());
        assert!(!text.contains('\x1b'));
        assert!(!format!("{banner:?}").contains("TOKEN"));
        for part in [
            "state␛[2J.json",
            "/host#h=TOKEN",
            "ws://",
            "en0: private, wired",
            "tun0: VPN",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn a_code_that_does_not_fit_is_text() {
        let text = "http://192.168.1.5:9876/";
        let needed = qr::terminal_width(text).unwrap();
        assert!(code(text, Some(needed)).contains('▀'));
        assert!(code(text, None).ends_with(&format!("{text}\n")));
        let narrow = code(text, Some(needed - 1));
        assert!(narrow.starts_with(text) && narrow.contains(&format!("needs {needed} columns")));
        assert!(!narrow.contains('▀'));
        assert!(code(&"x".repeat(3000), None).contains("too long"));
    }
}
