//! Exact JSON: what is accepted is a value that other readers agree on, taken once more it stays
//! what it is, and a session of it says the same. Other formats become JSON, and not more of it
//! than they may.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onlooker::internals::document::{self, FORMATS};
use onlooker::internals::json::Json;
use onlooker::internals::session::Session;

/// How much JSON an alias or a column's name may become, in bytes; and what a session has around
/// its data, with the brackets that are still open where that ends.
const MAX: usize = 10_000;
const AROUND: usize = 300;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(document) = Json::parse(bytes) {
        let again = Json::parse(document.as_str().as_bytes()).expect("it stays JSON");
        assert_eq!(document, again, "compact text is as short as it gets");
        let value = |bytes: &[u8]| {
            let mut reader = serde_json::Deserializer::from_slice(bytes);
            reader.disable_recursion_limit();
            serde::Deserialize::deserialize(&mut reader).map(|value: serde_json::Value| value)
        };
        let theirs = value(bytes).expect("another reader takes it too");
        assert_eq!(theirs, value(document.as_str().as_bytes()).expect("JSON"));
        if let Ok(session) = Session::from_json(&document, "fuzz") {
            let text = session.to_json();
            let back = Json::parse(text.as_bytes()).expect("a session is JSON");
            assert_eq!(Session::from_json(&back, "other").as_ref(), Ok(&session));
        }
    }
    for (_, format) in FORMATS {
        match document::session(bytes, format, "fuzz", MAX) {
            Ok(session) => {
                let text = session.to_json();
                assert!(Json::parse_kept(text.as_bytes()).is_ok(), "{text}");
                let most = MAX.max(bytes.len()) + AROUND;
                assert!(text.len() <= most, "{} of {most} bytes", text.len());
            }
            Err(reason) => assert!(!reason.is_empty()),
        }
    }
});
