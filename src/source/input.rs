//! Whether a path names something that can be a source, and the way out when it does not.

use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::document::Format;

/// What a folder is told, behind its name.
pub const FOLDER: &str =
    "is a folder, not a file: name a file in it, or serve it as the page with --viewer";

/// What anything else is told that is no file.
pub const PIPE: &str =
    "is a pipe or device, not a file: a command's output can be piped in, COMMAND | onlooker -";

/// What can be read.
const READABLE: &str = "JSON (.json), JSON with comments (.jsonc), YAML (.yaml, .yml), TOML (.toml), \
    NDJSON (.ndjson, .jsonl) and CSV (.csv, .tsv)";

/// How much of a file of an unknown kind is looked at, in bytes.
const LOOK: u64 = 16 * 1024 * 1024;

/// What people try that cannot be a state: extensions, what they are, and the way out.
const NO_STATES: [(&str, &str, &str); 10] = [
    (
        "png jpg jpeg gif webp avif bmp ico svg tif tiff heic psd",
        "an image",
        "put it into a folder, serve that with --viewer, and name the image in the state",
    ),
    (
        "mp4 mov webm mkv avi m4v mp3 m4a wav ogg flac",
        "a video or a sound",
        "put it into a folder, serve that with --viewer, and name it in the state",
    ),
    (
        "pdf doc docx odt rtf ppt pptx odp",
        "a document to print",
        "put it into a folder, serve that with --viewer, and link to it",
    ),
    (
        "xlsx xls xlsm ods numbers",
        "a workbook",
        "save the sheet as CSV",
    ),
    (
        "html htm css",
        "a page",
        "serve its folder with --viewer; the state that it shows is a file of its own",
    ),
    (
        "js mjs cjs ts jsx tsx py rb php sh lua go rs",
        "a program",
        "run it and pipe in what it prints, a JSON value per line: COMMAND | onlooker -",
    ),
    ("xml plist", "XML", "write it as JSON or YAML"),
    (
        "json5",
        "JSON5",
        "JSON with comments and trailing commas is read (.jsonc)",
    ),
    (
        "md markdown",
        "Markdown",
        "serve a page that shows it with --viewer, or put it into the state as a string",
    ),
    (
        "zip gz tgz bz2 xz zst tar 7z rar",
        "an archive",
        "unpack it",
    ),
];

/// Checks what can be told before the file is watched: that it is there, and that its name, or
/// else its content, is of a kind that is read. Whether a pipe will do is the caller's business.
///
/// # Errors
/// Says why it cannot be a source and what can be done, to be put behind the path.
pub fn check(path: &Path) -> Result<Metadata, String> {
    if let Some(reason) = url(path) {
        return Err(reason);
    }
    let metadata = path.metadata().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => error.to_string(),
    })?;
    if metadata.is_dir() {
        return Err(FOLDER.to_owned());
    }
    let Some(extension) = path.extension().filter(|_| Format::named(path).is_none()) else {
        return Ok(metadata);
    };
    let extension = extension.to_string_lossy().to_lowercase();
    if let Some(reason) = no_state(&extension) {
        return Err(reason);
    }
    match metadata.is_file() && !is_json(path) {
        true => Err(format!(
            "is not JSON, and .{extension} is no other format that is read: {READABLE}"
        )),
        false => Ok(metadata),
    }
}

fn no_state(extension: &str) -> Option<String> {
    let is_it =
        |(extensions, ..): &&(&str, _, _)| extensions.split(' ').any(|known| known == extension);
    let (_, what, way_out) = NO_STATES.iter().find(is_it)?;
    Some(format!(
        "{what} cannot be a state: {way_out}. What can be read: {READABLE}"
    ))
}

fn url(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let (scheme, _) = text.split_once("://")?;
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => Some(format!(
            "is a URL, and only files are watched: save it, curl -o state.json {text}, and name that file; \
             a stream of JSON lines can be piped in, curl -N {text} | onlooker -"
        )),
        "ws" | "wss" => Some(format!(
            "is another daemon's link, not a file: a program relays it as Source::Relay, onlooker serve {text}"
        )),
        "file" => Some("is a URL: name the file by its path".to_owned()),
        _ => None,
    }
}

/// Whether it is JSON, or the beginning of it: somebody may be writing it.
fn is_json(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        // Who watches it will say why it cannot be read.
        return true;
    };
    let mut reader = serde_json::Deserializer::from_reader(BufReader::new(file.take(LOOK)));
    let read = IgnoredAny::deserialize(&mut reader).and_then(|_| reader.end());
    read.err()
        .is_none_or(|error| error.is_eof() || error.is_io())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::document::FORMATS;

    fn checked(name: &str, content: &str) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        check(&path).map(drop)
    }

    #[test]
    fn what_is_read_is_named() {
        for (extension, _) in FORMATS {
            assert!(READABLE.contains(&format!(".{extension}")), "{extension}");
            assert_eq!(no_state(extension), None);
            assert_eq!(
                checked(&format!("a.{}", extension.to_uppercase()), "?"),
                Ok(())
            );
        }
        assert_eq!(checked("state", "?"), Ok(()), "JSON, as it was asked for");
    }

    #[test]
    fn what_cannot_be_a_state_is_told_a_way_out() {
        for (name, what, way_out) in [
            ("photo.PNG", "an image cannot", "--viewer"),
            ("clip.mp4", "a video", "--viewer"),
            ("talk.pdf", "a document", "--viewer"),
            ("table.xlsx", "a workbook", "save the sheet as CSV"),
            ("index.html", "a page", "--viewer"),
            ("make.ts", "a program", "| onlooker -"),
            ("feed.xml", "XML", "JSON or YAML"),
            ("state.json5", "JSON5", ".jsonc"),
            ("notes.md", "Markdown", "--viewer"),
            ("state.json.gz", "an archive", "unpack"),
        ] {
            let reason = checked(name, "{}").unwrap_err();
            assert!(
                reason.contains(what) && reason.contains(way_out),
                "{name}: {reason}"
            );
            assert!(reason.contains(READABLE), "{name}: {reason}");
        }
    }

    #[test]
    fn an_unknown_extension_is_judged_by_the_content() {
        for json in ["", " \n", "{\"a\":1}", "[1,", "{\"a", "\"a", "12", "[\n"] {
            assert_eq!(checked("a.state", json), Ok(()), "{json:?}");
        }
        for other in [
            "[section]\na = 1",
            "a: 1",
            "hello",
            "1 2",
            "{\"a\":1}}",
            "\u{0}",
            "<a/>",
        ] {
            let reason = checked("a.conf", other).unwrap_err();
            assert!(
                reason.starts_with("is not JSON, and .conf is"),
                "{other:?}: {reason}"
            );
            assert!(reason.contains(READABLE), "{reason}");
        }
    }

    #[test]
    fn what_is_no_file_is_told_a_way_out() {
        let missing = check(Path::new("no-such.json")).unwrap_err();
        assert_eq!(missing, "there is no such file");
        assert_eq!(check(&std::env::temp_dir()).unwrap_err(), FOLDER);
        for (url, way_out) in [
            (
                "http://localhost/a.json",
                "curl -o state.json http://localhost/a.json",
            ),
            ("HTTPS://example.com", "| onlooker -"),
            (
                "ws://192.168.1.20:9876",
                "onlooker serve ws://192.168.1.20:9876",
            ),
            ("file:///tmp/a.json", "by its path"),
        ] {
            let reason = check(Path::new(url)).unwrap_err();
            assert!(reason.contains(way_out), "{url}: {reason}");
        }
    }
}
