//! The keys of a terminal: what was pressed, and what that asks for.

use super::Paint;
use super::fit;

/// Something that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Char(char),
    Up,
    Down,
    Escape,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Help,
    OpenPage,
    OpenPanel,
    Copy,
    Code,
    NextAddress,
    Devices,
    Freeze,
    Resend,
    /// In the list of devices.
    Select(Step),
    SendAway,
    /// Takes away what a key has shown.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Up,
    Down,
}

/// A key of the table: its name, a word for the status line, a sentence for the help.
struct Entry {
    key: Key,
    name: &'static str,
    word: &'static str,
    sentence: &'static str,
    action: Action,
}

/// In the order in which the status line names as many as have room.
const KEYS: [Entry; 9] = [
    entry('h', "h", "help", "show and hide this help", Action::Help),
    entry(
        'o',
        "o",
        "open",
        "open the page in a browser here",
        Action::OpenPage,
    ),
    entry(
        'c',
        "c",
        "copy",
        "have the terminal copy the link (OSC 52; tmux: set-clipboard on)",
        Action::Copy,
    ),
    entry(
        'd',
        "d",
        "devices",
        "the devices, and how far each one is behind",
        Action::Devices,
    ),
    entry('q', "q", "code", "show and hide the code", Action::Code),
    entry(
        'p',
        "p",
        "panel",
        "open the host panel in a browser here",
        Action::OpenPanel,
    ),
    entry(
        ' ',
        "space",
        "freeze",
        "freeze what viewers see, and let go again",
        Action::Freeze,
    ),
    entry(
        'n',
        "n",
        "next address",
        "lead links and code to the next address",
        Action::NextAddress,
    ),
    entry(
        'r',
        "r",
        "resend",
        "send everything to every viewer again",
        Action::Resend,
    ),
];

const fn entry(
    key: char,
    name: &'static str,
    word: &'static str,
    sentence: &'static str,
    action: Action,
) -> Entry {
    Entry {
        key: Key::Char(key),
        name,
        word,
        sentence,
        action,
    }
}

/// What a terminal sends before text that is pasted, and after it (bracketed paste).
const PASTE: &[u8] = b"\x1b[200~";
const PASTED: &[u8] = b"\x1b[201~";

/// Not every terminal marks what is pasted: more characters than this at once are taken for it.
const TYPED_AT_ONCE: usize = 3;

/// Tells keys from pasted text, which may come in several parts.
#[derive(Default)]
pub struct Reader {
    /// How much of its end has come; none while nothing is pasted.
    pasted: Option<usize>,
}

impl Reader {
    /// The keys in what a terminal sent. Text that was pasted is none.
    pub fn read(&mut self, mut bytes: &[u8]) -> Vec<Key> {
        let mut keys = Vec::new();
        while !bytes.is_empty() {
            if let Some(matched) = self.pasted {
                bytes = self.skip(bytes, matched);
                continue;
            }
            let paste = bytes.windows(PASTE.len()).position(|part| part == PASTE);
            let (typed, rest) = bytes.split_at(paste.unwrap_or(bytes.len()));
            keys.extend(read(typed));
            self.pasted = paste.map(|_| 0);
            bytes = rest.strip_prefix(PASTE).unwrap_or(rest);
        }
        keys
    }

    /// What comes after the pasted text, of whose end so much has come before.
    fn skip<'a>(&mut self, bytes: &'a [u8], mut matched: usize) -> &'a [u8] {
        for (at, byte) in bytes.iter().enumerate() {
            // It has only one escape, so what does not go on may begin only there.
            matched = match *byte == PASTED[matched] {
                true => matched + 1,
                false => usize::from(*byte == PASTED[0]),
            };
            if matched == PASTED.len() {
                self.pasted = None;
                return &bytes[at + 1..];
            }
        }
        self.pasted = Some(matched);
        &[]
    }
}

fn read(bytes: &[u8]) -> Vec<Key> {
    let text = String::from_utf8_lossy(bytes);
    let mut keys = Vec::new();
    let mut rest = text.as_ref();
    while let Some(first) = rest.chars().next() {
        let (key, length) = match first {
            '\x1b' => escape(rest),
            other => (Some(Key::Char(other)), other.len_utf8()),
        };
        keys.extend(key);
        rest = &rest[length..];
    }
    let typed = keys.iter().filter(|key| matches!(key, Key::Char(_)));
    match typed.count() > TYPED_AT_ONCE {
        true => Vec::new(),
        false => keys,
    }
}

/// A key that is sent as a sequence (ECMA-48), and the sequence's length. A sequence of another key
/// is none.
fn escape(text: &str) -> (Option<Key>, usize) {
    let Some(body) = text.strip_prefix("\x1b[").or(text.strip_prefix("\x1bO")) else {
        return (Some(Key::Escape), 1);
    };
    let end = body.find(|c: char| ('@'..='~').contains(&c));
    let end = end.map_or(body.len(), |at| at + 1);
    let key = match &body[..end] {
        "A" => Some(Key::Up),
        "B" => Some(Key::Down),
        _ => None,
    };
    (key, 2 + end)
}

/// What a key asks for; some only while the devices are listed.
pub fn meaning(key: Key, listing: bool) -> Option<Action> {
    let key = match key {
        Key::Char(c) => Key::Char(c.to_ascii_lowercase()),
        other => other,
    };
    match key {
        Key::Up | Key::Char('k') if listing => Some(Action::Select(Step::Up)),
        Key::Down | Key::Char('j') if listing => Some(Action::Select(Step::Down)),
        Key::Char('x') if listing => Some(Action::SendAway),
        Key::Escape => Some(Action::Close),
        key => {
            let found = KEYS.iter().find(|entry| entry.key == key);
            found.map(|entry| entry.action)
        }
    }
}

/// As many keys with their words as there is room for; none where there is no room for one.
pub fn hints(columns: usize) -> String {
    let mut out = String::new();
    for entry in &KEYS {
        let gap = if out.is_empty() { "" } else { "  " };
        let next = format!("{gap}{} {}", entry.name, entry.word);
        if out.len() + next.len() > columns {
            break;
        }
        out += &next;
    }
    out
}

/// What every key does, a line each.
pub fn help(columns: usize, paint: Paint) -> Vec<String> {
    let own = KEYS.iter().map(|entry| (entry.name, entry.sentence));
    let all = own.chain([("Ctrl-C", "stop; a second time, at once")]);
    let line = |(name, sentence): (&str, &str)| {
        let sentence = fit::cut(sentence, columns.saturating_sub(10));
        format!("  {}{sentence}", paint.bold(&fit::column(name, 8)))
    };
    all.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_table_is_itself() {
        for entry in &KEYS {
            assert_eq!(meaning(entry.key, false), Some(entry.action));
            assert_eq!(meaning(entry.key, true), Some(entry.action));
        }
        assert_eq!(meaning(Key::Char('D'), false), Some(Action::Devices));
        assert_eq!(meaning(Key::Char('z'), false), None);
    }

    #[test]
    fn only_a_list_has_arrows_and_sends_away() {
        assert_eq!(meaning(Key::Char('x'), false), None);
        assert_eq!(meaning(Key::Char('x'), true), Some(Action::SendAway));
        assert_eq!(meaning(Key::Up, false), None);
        assert_eq!(meaning(Key::Down, true), Some(Action::Select(Step::Down)));
        assert_eq!(meaning(Key::Escape, false), Some(Action::Close));
    }

    #[test]
    fn sequences_are_keys() {
        assert_eq!(read(b"h"), [Key::Char('h')]);
        assert_eq!(read(b"\x1b[A\x1bOB\x1b"), [Key::Up, Key::Down, Key::Escape]);
        // Page up, F5, and one that ends before its end.
        for other in [&b"\x1b[5~x"[..], b"\x1b[15;2~x", b"\x1b[A\x1b[1;"] {
            assert_eq!(read(other).len(), 1, "{other:?}");
        }
        assert_eq!(read("\x1b[é".as_bytes()), []);
        assert_eq!(read(b"\x1b["), []);
        assert_eq!(read("é\u{fffd}".as_bytes()).len(), 2);
    }

    #[test]
    fn what_is_pasted_is_not_typed() {
        assert_eq!(read(b"dx"), [Key::Char('d'), Key::Char('x')]);
        assert_eq!(read(b"docker run\n"), []);
        assert_eq!(read(&b"\x1b[B".repeat(9)).len(), 9);
        let all = b"h\x1b[200~dx\x1b\x1b[201\x1b[201~o\x1b[200~q\x1b[201~";
        let expected = [Key::Char('h'), Key::Char('o')];
        // However it is cut, except in the beginning of a paste.
        for cut in (0..=all.len()).filter(|cut| !(2..7).contains(cut) && !(23..28).contains(cut)) {
            let (one, other) = all.split_at(cut);
            let mut reader = Reader::default();
            let keys = [reader.read(one), reader.read(other)].concat();
            assert_eq!(keys, expected, "{cut}");
        }
    }

    #[test]
    fn hints_are_whole_or_not_there() {
        assert_eq!(hints(22), "h help  o open  c copy");
        assert_eq!(hints(21), "h help  o open");
        assert_eq!(hints(5), "");
        let words = KEYS.iter().filter(|entry| hints(200).contains(entry.word));
        assert_eq!(words.count(), KEYS.len());
    }

    #[test]
    fn help_fits() {
        let plain = Paint { on: false };
        for columns in [0, 12, 40, 60] {
            let lines = help(columns, plain);
            assert_eq!(lines.len(), KEYS.len() + 1);
            let widest = lines.iter().map(|line| fit::width(line)).max();
            assert!(widest <= Some(columns.max(11)), "{lines:?}");
        }
    }
}
