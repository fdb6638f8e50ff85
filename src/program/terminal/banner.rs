//! What a host sees first: the QR code to scan, and beside it where everything is found.

use super::{Paint, Size, fit, neutral};
use crate::discovery::qr;
use crate::program::config::Qr;
use crate::server::Links;
use crate::state::name::TopicName;

/// What stands left of everything.
const MARGIN: &str = "  ";
/// Columns between the code and what stands beside it.
const GAP: usize = 3;
/// The status line below.
const BELOW: usize = 1;
/// Where there is air, the first log lines should not push the code out of the window.
const FIRST_LINES: usize = 3;

/// What the banner tells of.
pub struct Found<'a> {
    /// What is shown: `state.json`.
    pub subject: &'a str,
    pub links: &'a Links,
    /// Topics besides the default one.
    pub topics: &'a [TopicName],
    /// The party of the rooms, if there are rooms.
    pub party: Option<&'a str>,
    /// The servers of NATS and the bucket, if the daemon is in a cluster.
    pub cluster: Option<(String, String)>,
    /// Whether the host link carries a token.
    pub is_guarded: bool,
    /// What the code leads to.
    pub qr: Qr,
}

/// The banner's lines, ended each, for a terminal of this size. The less room there is, the less is
/// told: first no other addresses, then no code, then not every topic; but always whole links.
pub fn text(found: &Found, size: Size, paint: Paint) -> String {
    let drawing = target(found.links, found.qr).map(|text| qr::terminal(text, qr::NARROW));
    let paper = Paper {
        found,
        drawing: drawing.and_then(Result::ok),
        size,
        paint,
    };
    let lines = sheets(&paper).find_map(|sheet| sheet.lines(&paper));
    let lines = lines.unwrap_or_else(|| Sheet::LEAST.rows(&paper));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// What all sheets are made of.
struct Paper<'a> {
    found: &'a Found<'a>,
    drawing: Option<qr::Drawing>,
    size: Size,
    paint: Paint,
}

/// How much is told.
#[derive(Clone, Copy)]
struct Sheet {
    code: bool,
    /// Empty lines between the parts.
    air: bool,
    topics: usize,
    addresses: usize,
    socket: bool,
}

/// All that there is first, the least last.
fn sheets(paper: &Paper) -> impl Iterator<Item = Sheet> + use<> {
    // There is no room for more of either.
    let rows = paper.size.rows;
    let topics = paper.found.topics.len().min(rows);
    let others = paper.found.links.candidates.len().saturating_sub(1);
    let others = others.min(rows);
    let has_code = paper.drawing.is_some();
    let sheet = move |code, air, topics, addresses| Sheet {
        code,
        air,
        topics,
        addresses,
        socket: true,
    };
    let fewer_addresses = (0..=others).rev();
    let fewer_addresses = fewer_addresses.map(move |some| sheet(has_code, true, topics, some));
    let fewer_topics = |code: bool, least: usize| {
        let some = (least..=topics).rev();
        some.map(move |some| sheet(code, false, some, 0))
    };
    fewer_addresses
        .chain(fewer_topics(has_code, topics.min(1)))
        .chain([sheet(false, true, topics, 0)])
        .chain(fewer_topics(false, 0))
        .chain([Sheet::LEAST])
}

/// Some links under one word.
struct Part {
    label: String,
    /// Links, which are never cut, and what may stand beside each.
    links: Vec<(String, String)>,
    /// How many links were left out.
    more: usize,
    /// Whether it is what most people look for.
    is_first: bool,
}

impl Sheet {
    const LEAST: Sheet = Sheet {
        code: false,
        air: false,
        topics: 0,
        addresses: 0,
        socket: false,
    };

    /// Its lines, if they fit. A link that is too wide goes on in the next row.
    fn lines(self, paper: &Paper) -> Option<Vec<String>> {
        let Size { columns, rows } = paper.size;
        let lines = self.rows(paper);
        let needed = lines.iter().map(|line| fit::rows(line, columns));
        let below = match self.air {
            true => BELOW + FIRST_LINES,
            false => BELOW,
        };
        (needed.sum::<usize>() + below <= rows).then_some(lines)
    }

    /// Beside the code stands what is narrow enough, the rest below it.
    fn rows(self, paper: &Paper) -> Vec<String> {
        let (gap, paint) = (usize::from(self.air), paper.paint);
        let code = paper.drawing.as_ref().filter(|_| self.code);
        let all = paper.size.columns.saturating_sub(MARGIN.len() + 1);
        let beside = all.saturating_sub(code.map_or(0, |code| code.columns + GAP));
        let parts = self.parts(paper.found).into_iter();
        let (narrow, wide): (Vec<_>, Vec<_>) =
            parts.partition(|part| code.is_none() || part.widest() <= beside);
        let put = |lines: &mut Vec<String>, parts: &[Part], columns: usize, gap: usize| {
            for part in parts {
                lines.extend(vec![String::new(); gap]);
                lines.extend(part.lines(columns, paint));
            }
        };
        let column = |gap: usize| {
            let mut column = vec![title(paper.found.subject, beside, paint)];
            put(&mut column, &narrow, beside, gap);
            column
        };
        let mut rows = match code {
            // Beside the code, air costs nothing.
            Some(code) => {
                let airy = Some(column(1)).filter(|airy| airy.len() <= code.lines.len());
                join(code, &airy.unwrap_or_else(|| column(gap)))
            }
            None => column(gap),
        };
        put(&mut rows, &wide, all, gap);
        let rows = rows.iter().map(|row| format!("{MARGIN}{row}"));
        let air = || vec![String::new(); gap];
        let rows = air().into_iter().chain(rows).chain(air());
        rows.map(|row| row.trim_end().to_owned()).collect()
    }

    fn parts(self, found: &Found) -> Vec<Part> {
        let links = found.links;
        let plain = |link: &str| (neutral(link).into_owned(), String::new());
        let scan = |wanted: Qr, word: &str| match self.code && found.qr == wanted {
            true => format!("scan, or {word}"),
            false => word.to_owned(),
        };
        let mut candidates = links
            .candidates
            .iter()
            .map(|(link, reason)| (neutral(link).into_owned(), neutral(reason).into_owned()));
        let page = candidates.next().unwrap_or_else(|| plain(&links.page));
        let topics = found.topics.iter();
        let topics = topics.map(|topic| plain(&links.page_of(topic)));
        let warning = match found.is_guarded {
            true => "host panel, keep it to yourself",
            false => "host panel, for whoever is on this machine",
        };
        let room = found.party.map(|party| room_socket(links, party));
        let sockets = match room {
            Some(_) => "socket, and a room's",
            None => "socket",
        };
        let mut socket_links = vec![plain(&links.socket)];
        socket_links.extend(room.as_deref().map(plain));
        let most = socket_links.len() * usize::from(self.socket);
        let cluster = found
            .cluster
            .iter()
            .map(|(servers, bucket)| (neutral(servers).into_owned(), format!("bucket {bucket}")));
        let parts = [
            Part::new(scan(Qr::Page, "open"), 1, [page]),
            Part::new("topics", self.topics, topics),
            Part::new(scan(Qr::Ws, sockets), most, socket_links),
            Part::new("cluster", self.socket.into(), cluster),
            Part::new("other addresses", self.addresses, candidates),
            Part::new(warning, 1, [plain(&links.host)]),
        ];
        let mut parts = parts.into_iter().filter(|part| !part.links.is_empty());
        let first = parts.next().map(|part| Part {
            is_first: true,
            ..part
        });
        first.into_iter().chain(parts).collect()
    }
}

impl Part {
    /// The first so many of these links; the others are counted and not written.
    fn new<L>(label: impl Into<String>, most: usize, links: L) -> Part
    where
        L: IntoIterator<Item = (String, String)>,
        L::IntoIter: ExactSizeIterator,
    {
        let links = links.into_iter();
        Part {
            label: label.into(),
            more: links.len().saturating_sub(most),
            links: links.take(most).collect(),
            is_first: false,
        }
    }

    /// How wide its widest link is.
    fn widest(&self) -> usize {
        let widths = self.links.iter().map(|(link, _)| fit::width(link));
        widths.max().unwrap_or(0)
    }

    fn lines(&self, columns: usize, paint: Paint) -> Vec<String> {
        let start = self.widest() + 2;
        let room = columns.saturating_sub(start);
        let link = |(link, note): &(String, String)| {
            let mut line = match self.is_first {
                true => paint.bold(link),
                false => link.clone(),
            };
            let note = short(note, room);
            if !note.is_empty() {
                fit::pad(&mut line, start);
                line += &paint.dim(note);
            }
            line
        };
        let label = paint.dim(&fit::cut(&self.label, columns));
        let more = (self.more > 0).then(|| paint.dim(&format!("… and {} more", self.more)));
        let links = self.links.iter().map(link);
        std::iter::once(label).chain(links).chain(more).collect()
    }
}

/// Why an address has its rank, or only its interface, or nothing, as there is room.
fn short(note: &str, room: usize) -> &str {
    let interface = note.split(':').next().unwrap_or_default();
    let forms = [note, interface].into_iter();
    let mut forms = forms.filter(|form| fit::width(form) <= room);
    forms.next().unwrap_or_default()
}

/// Nothing, where there is no room for it.
fn title(subject: &str, columns: usize, paint: Paint) -> String {
    const NAME: &str = "onlooker";
    let Some(room) = columns.checked_sub(NAME.len() + 2) else {
        return String::new();
    };
    let subject = fit::cut(&neutral(subject), room);
    format!("{}  {}", paint.bold(NAME), paint.dim(&subject))
}

/// The code on the left, the column on the right.
fn join(code: &qr::Drawing, column: &[String]) -> Vec<String> {
    let row = |at: usize| {
        let mut row = code.lines.get(at).cloned().unwrap_or_default();
        let text = column.get(at).filter(|text| !text.is_empty());
        if let Some(text) = text {
            fit::pad(&mut row, code.columns + GAP);
            row += text;
        }
        row
    };
    (0..code.lines.len().max(column.len())).map(row).collect()
}

/// Where people connect to a room.
pub fn room_socket(links: &Links, party: &str) -> String {
    format!("{}/parties/{party}/ROOM", links.socket)
}

/// What the code leads to.
pub fn target(links: &Links, qr: Qr) -> Option<&str> {
    match qr {
        Qr::Page => Some(&links.page),
        Qr::Ws => Some(&links.socket),
        Qr::None => None,
    }
}

/// The code with its link below, for the bottom of the screen; what it needs where it does not fit.
pub fn small_code(links: &Links, qr: Qr, size: Size, paint: Paint) -> Vec<String> {
    let text = target(links, qr).unwrap_or(&links.page);
    let line = |text: &str| format!("{MARGIN}{}", fit::cut(text, size.columns.saturating_sub(3)));
    let drawing = match qr::terminal(text, qr::NARROW) {
        Ok(drawing) => drawing,
        Err(error) => return vec![line(&format!("no code: {error}"))],
    };
    let (columns, rows) = (drawing.columns + 3, drawing.lines.len() + 2 + BELOW);
    if size.columns < columns || size.rows < rows {
        let text = format!("the code needs {columns} columns and {rows} lines");
        return vec![line(&text)];
    }
    let text = neutral(text);
    // Part of a link could be copied for the whole.
    let link = match fit::width(&text) + 3 <= size.columns {
        true => paint.bold(&text),
        false => String::new(),
    };
    let rows = drawing.lines.into_iter().chain([link]);
    rows.map(|row| format!("{MARGIN}{row}")).collect()
}

/// The QR code with its text under it, or the text alone if the code does not fit.
pub fn code(text: &str, columns: Option<usize>) -> String {
    let shown = neutral(text);
    match (qr::terminal(text, qr::QUIET), columns) {
        (Ok(code), Some(columns)) if code.columns > columns => format!(
            "{shown}\n(the QR code needs {} columns, this terminal has {columns}: widen it and run `onlooker qr`)\n",
            code.columns
        ),
        (Ok(code), _) => format!("{}\n{shown}\n", code.lines.join("\n")),
        (Err(error), _) => format!("{shown}\n(no QR code: {error})\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::PageLink;

    const TOKEN: &str = "0123456789abcdefABCDEFGH";

    fn links(watch: &str, others: usize) -> Links {
        let page = |host: &str| PageLink::new(format!("http://{host}:9876/{watch}"));
        let first = (page("192.168.1.20"), "wlan0: private, physical".to_owned());
        let other = |at| {
            let host = format!("10.8.{at}.2");
            (page(&host), format!("tun{at}: VPN"))
        };
        Links {
            page: first.0.clone(),
            socket: "ws://192.168.1.20:9876".to_owned(),
            host: PageLink::new(format!("http://192.168.1.20:9876/host#h={TOKEN}")),
            local_ip: String::new(),
            candidates: std::iter::once(first)
                .chain((0..others).map(other))
                .collect(),
        }
    }

    /// The banner of a daemon with so many further topics and addresses.
    fn banner(links: &Links, topics: usize, (columns, rows): (usize, usize)) -> Vec<String> {
        let topics: Vec<TopicName> = (0..topics)
            .map(|at| format!("topic-{at}").parse().unwrap())
            .collect();
        let found = Found {
            subject: "state\x1b[2J.json",
            links,
            topics: &topics,
            party: None,
            cluster: None,
            is_guarded: true,
            qr: Qr::Page,
        };
        let text = text(&found, Size { columns, rows }, Paint { on: false });
        text.lines().map(str::to_owned).collect()
    }

    fn holds(lines: &[String], part: &str) -> bool {
        lines.iter().any(|line| line.contains(part))
    }

    fn has_code(lines: &[String]) -> bool {
        holds(lines, "▀▀▀▀▀▀▀")
    }

    #[test]
    fn a_usual_terminal_shows_everything_beside_the_code() {
        let lines = banner(&links("", 2), 2, (80, 24));
        assert!(lines.len() <= 23, "{}", lines.join("\n"));
        assert!(lines.iter().all(|line| fit::width(line) < 80));
        assert!(has_code(&lines));
        for part in [
            "onlooker  state␛[2J.json",
            "scan, or open",
            "http://192.168.1.20:9876/  wlan0",
            "/?topic=topic-1",
            "ws://192.168.1.20:9876",
            "http://10.8.1.2:9876/",
            TOKEN,
        ] {
            assert!(holds(&lines, part), "{part} in\n{}", lines.join("\n"));
        }
        assert!(holds(&lines[lines.len() - 3..], "keep it to yourself"));
    }

    #[test]
    fn the_less_room_the_less_is_told_but_never_a_cut_link() {
        let links = links("", 3);
        let mut seen = (true, true, true);
        for rows in (3..=30).rev() {
            let lines = banner(&links, 3, (60, rows));
            let now = (
                holds(&lines, "10.8."),
                has_code(&lines),
                holds(&lines, "topic-0"),
            );
            assert!(
                rows < 6 || lines.len() < rows,
                "{rows}\n{}",
                lines.join("\n")
            );
            assert!(holds(&lines, "http://192.168.1.20:9876/") && holds(&lines, TOKEN));
            let kept = [
                (now.0, seen.0),
                (now.1, seen.1),
                (now.2, seen.2),
                (now.0, now.1),
            ];
            assert!(
                kept.iter().all(|(less, more)| less <= more),
                "{rows}: {now:?} after {seen:?}"
            );
            seen = now;
        }
        assert_eq!(seen, (false, false, false));
        assert!(has_code(&banner(&links, 0, (60, 20))));
        for columns in [20, 33, 40] {
            let lines = banner(&links, 0, (columns, 24));
            assert_eq!(has_code(&lines), columns > 32, "{columns}");
            assert!(holds(&lines, "http://192.168.1.20:9876/host#h=") && holds(&lines, TOKEN));
        }
    }

    #[test]
    fn long_lists_say_how_much_is_missing() {
        let lines = banner(&links("", 200), 100, (80, 24));
        assert!(lines.len() < 24 && has_code(&lines));
        assert!(holds(&lines, "topic-0") && holds(&lines, " more"));
    }

    #[test]
    fn where_there_are_rooms_it_is_told_where_people_connect() {
        let (links, room) = (links("", 1), "ws://192.168.1.20:9876/parties/main/ROOM");
        let of_size = |(columns, rows)| {
            let found = Found {
                subject: "a",
                links: &links,
                topics: &["b".parse().unwrap()],
                party: Some("main"),
                cluster: None,
                is_guarded: true,
                qr: Qr::Page,
            };
            text(&found, Size { columns, rows }, Paint { on: false })
        };
        let usual = of_size((80, 24));
        assert!(usual.lines().count() < 24, "{usual}");
        for part in ["socket, and a room's", room, "▀▀▀▀▀▀▀", "tun0", "topic=b"] {
            assert!(usual.contains(part), "{part} in\n{usual}");
        }
        // Whole, or not there.
        let small = of_size((60, 7));
        assert!(
            !small.contains("/parties") || small.contains(room),
            "{small}"
        );
        assert!(!of_size((60, 4)).contains("/parties"));
    }

    #[test]
    fn a_cluster_is_named_whole_or_not_at_all() {
        let links = links("", 1);
        let of_size = |(columns, rows)| {
            let servers = "nats://10.0.0.6:4222".to_owned();
            let found = Found {
                subject: "a",
                links: &links,
                topics: &[],
                party: None,
                cluster: Some((servers, "school".to_owned())),
                is_guarded: true,
                qr: Qr::Page,
            };
            text(&found, Size { columns, rows }, Paint { on: false })
        };
        let usual = of_size((80, 24));
        assert!(usual.lines().count() < 24, "{usual}");
        assert!(usual.contains("nats://10.0.0.6:4222  bucket school") && usual.contains('▀'));
        assert!(!of_size((60, 4)).contains("nats"));
    }

    #[test]
    fn only_what_may_have_room_is_written() {
        let written = std::cell::Cell::new(0);
        let write = |at| {
            written.set(written.get() + 1);
            (format!("{at}"), String::new())
        };
        let part = Part::new("topics", 3, (0..900).map(write));
        assert_eq!((part.links.len(), part.more, written.get()), (3, 897, 3));
        let (links, topics) = (links("", 900), vec!["a".parse().unwrap(); 900]);
        let found = Found {
            subject: "a",
            links: &links,
            topics: &topics,
            party: None,
            cluster: None,
            is_guarded: false,
            qr: Qr::Page,
        };
        let paper = Paper {
            found: &found,
            drawing: None,
            size: Size {
                columns: 80,
                rows: 24,
            },
            paint: Paint { on: false },
        };
        let all: Vec<Sheet> = sheets(&paper).collect();
        assert!(all.len() < 4 * 24, "{}", all.len());
        let most = all.iter().map(|sheet| sheet.topics.max(sheet.addresses));
        assert_eq!(most.max(), Some(24));
    }

    #[test]
    fn links_with_a_token_are_whole_at_every_size() {
        let links = links(&format!("#t={TOKEN}"), 1);
        let lines = banner(&links, 1, (80, 24));
        assert!(has_code(&lines) && lines.len() < 24, "{}", lines.join("\n"));
        assert!(holds(&lines, &format!("9876/#t={TOKEN}")));
        assert!(holds(&lines, &format!("9876/?topic=topic-0#t={TOKEN}")));
        let wide = banner(&links, 1, (200, 60));
        assert!(holds(&wide, "tun0: VPN") && holds(&wide, "wlan0: private, physical"));
    }

    #[test]
    fn no_code_was_wished() {
        let (links, size) = (
            links("", 0),
            Size {
                columns: 80,
                rows: 24,
            },
        );
        let mut found = Found {
            subject: "a",
            links: &links,
            topics: &[],
            party: None,
            cluster: None,
            is_guarded: false,
            qr: Qr::None,
        };
        let plain = text(&found, size, Paint { on: false });
        assert!(!plain.contains('▀') && !plain.contains("scan"), "{plain}");
        assert!(plain.contains("whoever is on this machine"));
        found.qr = Qr::Ws;
        let plain = text(&found, size, Paint { on: false });
        assert!(plain.contains("scan, or socket"), "{plain}");
    }

    #[test]
    fn the_code_at_the_bottom_fits_or_says_what_it_needs() {
        let (links, plain) = (links("", 0), Paint { on: false });
        let at = |columns, rows| small_code(&links, Qr::Page, Size { columns, rows }, plain);
        let lines = at(32, 18);
        assert!(has_code(&lines) && lines.len() == 16);
        for small in [at(31, 24), at(80, 17)] {
            assert_eq!(small.len(), 1);
            assert!(small[0].contains("needs 32 col"), "{small:?}");
        }
    }

    #[test]
    fn a_code_that_does_not_fit_is_text() {
        let text = "http://192.168.1.5:9876/";
        let needed = qr::terminal(text, qr::QUIET).unwrap().columns;
        assert!(code(text, Some(needed)).contains('▀'));
        assert!(code(text, None).ends_with(&format!("{text}\n")));
        let narrow = code(text, Some(needed - 1));
        assert!(narrow.starts_with(text) && narrow.contains(&format!("needs {needed} columns")));
        assert!(!narrow.contains('▀'));
        assert!(code(&"x".repeat(3000), None).contains("too long"));
    }
}
