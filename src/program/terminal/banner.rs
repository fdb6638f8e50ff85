//! What a host sees first: where viewers find the state, and the QR code to scan.

use super::{Paint, neutral};
use crate::access::PageLink;
use crate::discovery::qr;
use crate::server::Links;

/// The banner's lines for what is shown (`state.json`). Without a token, `is_guarded` is false.
pub fn text(subject: &str, links: &Links, is_guarded: bool, paint: Paint) -> String {
    let title = paint.bold(&format!("onlooker {}", env!("CARGO_PKG_VERSION")));
    let subject = paint.dim(&neutral(subject));
    let warning = paint.dim(match is_guarded {
        true => "whoever has this link can write",
        false => "whoever is on this machine can write",
    });
    let host = format!("{}  {warning}", neutral(&links.host));
    let page = paint.with("1;36", &neutral(&links.page));
    let rows = [
        row("View", &page, paint),
        row("Socket", &neutral(&links.socket), paint),
        row("Host", &host, paint),
    ];
    let addresses = addresses(&links.candidates, paint);
    format!("\n  {title}  {subject}\n\n{}{addresses}\n", rows.concat())
}

/// Every address of this machine with the reason for its rank.
fn addresses(candidates: &[(PageLink, String)], paint: Paint) -> String {
    let widths = candidates.iter().map(|(url, _)| url.chars().count());
    let Some(width) = widths.max() else {
        return String::new();
    };
    let line = |(at, (url, reason)): (usize, &(PageLink, String))| {
        let name = if at == 0 { "Addresses" } else { "" };
        let reason = paint.dim(&neutral(reason));
        row(name, &format!("{:width$}  {reason}", neutral(url)), paint)
    };
    let lines: String = candidates.iter().enumerate().map(line).collect();
    format!("\n{lines}")
}

fn row(name: &str, text: &str, paint: Paint) -> String {
    format!("  {}  {text}\n", paint.dim(&format!("{name:9}")))
}

/// The QR code with its text under it, or the text alone if the code does not fit.
pub fn code(text: &str, columns: Option<usize>) -> String {
    let shown = neutral(text);
    match (qr::terminal(text), columns) {
        (Ok((_, needed)), Some(columns)) if needed > columns => format!(
            "{shown}\n(the QR code needs {needed} columns, this terminal has {columns}: widen it and run `onlooker qr`)\n"
        ),
        (Ok((code, _)), _) => format!("{code}{shown}\n"),
        (Err(error), _) => format!("{shown}\n(no QR code: {error})\n"),
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
        let links = Links {
            page: candidates[0].0.clone(),
            socket: "ws://192.168.1.5:9876/".to_owned(),
            host: PageLink::new("http://192.168.1.5:9876/host#h=TOKEN"),
            local_ip: String::new(),
            candidates: candidates.into(),
        };
        let text = text("state\x1b[2J.json", &links, true, Paint { on: false });
        assert!(!text.contains('\x1b'));
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
        let needed = qr::terminal(text).unwrap().1;
        assert!(code(text, Some(needed)).contains('▀'));
        assert!(code(text, None).ends_with(&format!("{text}\n")));
        let narrow = code(text, Some(needed - 1));
        assert!(narrow.starts_with(text) && narrow.contains(&format!("needs {needed} columns")));
        assert!(!narrow.contains('▀'));
        assert!(code(&"x".repeat(3000), None).contains("too long"));
    }
}
