//! A message as bytes for the socket, encoded once however many viewers receive it.

use std::borrow::Cow;
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use rmp::encode;
use serde_json::Value;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::state::json::{LARGE, value_of};
use crate::state::name::TopicName;
use crate::state::topic::Update;
use crate::wire;

/// Below this many bytes, compressing costs more than it saves.
const DEFLATE_FROM: usize = 256;

/// How a viewer wants its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Encoding {
    /// MessagePack in binary messages instead of JSON in text messages.
    pub msgpack: bool,
    /// permessage-deflate without context takeover (RFC 7692).
    pub deflate: bool,
}

/// One message. Each encoding is made when it is first asked for.
#[derive(Debug)]
pub struct Frame {
    content: Content,
    /// By [`Encoding::index`].
    encoded: [OnceLock<Bytes>; 4],
    /// How many bytes of a snapshot's text follow the session.
    behind: OnceLock<usize>,
}

#[derive(Debug)]
enum Content {
    Update(TopicName, Update),
    Json(String),
    Verbatim(String),
}

impl Encoding {
    /// All of them, in the order of [`Encoding::index`].
    pub const ALL: [Encoding; 4] = [
        Encoding::of(false, false),
        Encoding::of(true, false),
        Encoding::of(false, true),
        Encoding::of(true, true),
    ];

    const fn of(msgpack: bool, deflate: bool) -> Encoding {
        Encoding { msgpack, deflate }
    }

    /// Its place in an array of all of them.
    pub fn index(self) -> usize {
        usize::from(self.msgpack) + 2 * usize::from(self.deflate)
    }
}

impl Frame {
    /// A `session_update` or `config_update`.
    pub fn update(topic: &TopicName, update: Update) -> Frame {
        Frame::of(Content::Update(topic.clone(), update))
    }

    /// A message that is already JSON text.
    pub fn json(text: String) -> Frame {
        Frame::of(Content::Json(text))
    }

    /// A host's own text, the same in every encoding.
    pub fn verbatim(text: String) -> Frame {
        Frame::of(Content::Verbatim(text))
    }

    fn of(content: Content) -> Frame {
        Frame {
            content,
            encoded: Default::default(),
            behind: OnceLock::new(),
        }
    }

    /// The bytes of the whole WebSocket message. For a large frame this may take a while: see
    /// [`Frame::ready`].
    pub fn bytes(&self, encoding: Encoding) -> &Bytes {
        self.encoded[encoding.index()].get_or_init(|| self.encode(encoding))
    }

    /// The bytes, unless they would first have to be encoded for longer than others can wait.
    pub fn ready(&self, encoding: Encoding) -> Option<&Bytes> {
        let encoded = self.encoded[encoding.index()].get();
        encoded.or_else(|| (!self.is_large()).then(|| self.bytes(encoding)))
    }

    /// Whether this encoding has been made.
    pub fn is_encoded(&self, encoding: Encoding) -> bool {
        self.encoded[encoding.index()].get().is_some()
    }

    /// Whether encoding it may take so long that other viewers would notice.
    pub fn is_large(&self) -> bool {
        self.text_len() > LARGE
    }

    /// Roughly how many bytes its text has.
    pub fn text_len(&self) -> usize {
        match &self.content {
            Content::Update(_, Update::Snapshot(version)) => version.text_len(),
            Content::Update(_, Update::Delta { fields, .. }) => fields
                .iter()
                .map(|(field, value)| field.len() + value.as_str().len())
                .sum(),
            Content::Json(text) | Content::Verbatim(text) => text.len(),
        }
    }

    /// The session inside a snapshot's text, sharing its bytes; empty for other frames.
    pub fn session(&self) -> Bytes {
        const PAYLOAD: &[u8] = b"\"payload\":";
        let Content::Update(_, Update::Snapshot(version)) = &self.content else {
            return Bytes::new();
        };
        let bytes = self.bytes(Encoding::default());
        // This text cannot occur before the payload: topics and revisions contain no quotes.
        let at = bytes
            .windows(PAYLOAD.len())
            .position(|window| window == PAYLOAD);
        let origins = || wire::origins(version.named_origins()).len();
        let behind = self.behind.get_or_init(|| origins() + "}".len());
        at.map_or_else(Bytes::new, |at| {
            bytes.slice(at + PAYLOAD.len()..bytes.len() - behind)
        })
    }

    fn encode(&self, encoding: Encoding) -> Bytes {
        let (data, payload) = self.payload(encoding);
        let header = FrameHeader {
            is_final: true,
            opcode: OpCode::Data(data),
            ..FrameHeader::default()
        };
        match encoding.deflate.then(|| deflated(&payload)).flatten() {
            Some(smaller) => message(
                FrameHeader {
                    rsv1: true,
                    ..header
                },
                &smaller,
            ),
            None => message(header, &payload),
        }
    }

    fn payload(&self, encoding: Encoding) -> (Data, Cow<'_, [u8]>) {
        let text = match &self.content {
            Content::Update(topic, update) => Cow::Owned(wire::update(topic, update)),
            Content::Json(text) => Cow::Borrowed(text.as_str()),
            Content::Verbatim(text) => return (Data::Text, text.as_bytes().into()),
        };
        if encoding.msgpack {
            return (Data::Binary, msgpack(&text).into());
        }
        match text {
            Cow::Owned(text) => (Data::Text, text.into_bytes().into()),
            Cow::Borrowed(text) => (Data::Text, text.as_bytes().into()),
        }
    }
}

/// A text message.
pub fn text(text: &str) -> Bytes {
    piece(text, true, true)
}

/// A piece of a text message (RFC 6455 §5.4).
pub fn piece(text: &str, is_first: bool, is_last: bool) -> Bytes {
    let data = match is_first {
        true => Data::Text,
        false => Data::Continue,
    };
    let header = FrameHeader {
        is_final: is_last,
        opcode: OpCode::Data(data),
        ..FrameHeader::default()
    };
    message(header, text.as_bytes())
}

/// A control frame (RFC 6455 §5.5). `payload` may have at most 125 bytes.
pub fn control(opcode: Control, payload: &[u8]) -> Bytes {
    let header = FrameHeader {
        is_final: true,
        opcode: OpCode::Control(opcode),
        ..FrameHeader::default()
    };
    message(header, payload)
}

/// The answer to a peer's close frame: the same code, if there is one.
pub fn close_reply(code: Option<u16>) -> Bytes {
    code.map_or_else(|| control(Control::Close, &[]), close)
}

/// A close frame.
pub fn close(code: u16) -> Bytes {
    control(Control::Close, &code.to_be_bytes())
}

fn message(header: FrameHeader, payload: &[u8]) -> Bytes {
    let length = payload.len() as u64;
    let mut bytes = Vec::with_capacity(header.len(length) + payload.len());
    // Writing to a `Vec` never fails.
    let _ = header.format(length, &mut bytes);
    bytes.extend_from_slice(payload);
    bytes.into()
}

/// The payload compressed on its own (RFC 7692 §7.2.1), if that makes it smaller.
fn deflated(payload: &[u8]) -> Option<Vec<u8>> {
    if payload.len() < DEFLATE_FROM {
        return None;
    }
    let mut compress = Compress::new(Compression::new(6), false);
    let mut out = Vec::with_capacity(payload.len() / 2 + 64);
    loop {
        let read = compress.total_in() as usize;
        let status = compress
            .compress_vec(&payload[read..], &mut out, FlushCompress::Sync)
            .ok()?;
        if out.len() < out.capacity() || status == Status::StreamEnd {
            break;
        }
        out.reserve(out.capacity());
    }
    out.truncate(
        out.len()
            .checked_sub(4)
            .filter(|at| out[*at..] == [0, 0, 0xff, 0xff])?,
    );
    (out.len() < payload.len()).then_some(out)
}

/// JSON text as MessagePack. Integers of more than 64 bits become floats.
fn msgpack(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    write_value(&mut out, &value_of(text));
    out
}

/// Writing to a `Vec` never fails, so the results are dropped.
fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => drop(encode::write_nil(out)),
        Value::Bool(value) => drop(encode::write_bool(out, *value)),
        Value::String(text) => drop(encode::write_str(out, text)),
        Value::Number(number) => write_number(out, &number.to_string()),
        Value::Array(items) => {
            drop(encode::write_array_len(out, items.len() as u32));
            items.iter().for_each(|item| write_value(out, item));
        }
        Value::Object(members) => {
            drop(encode::write_map_len(out, members.len() as u32));
            for (key, value) in members {
                drop(encode::write_str(out, key));
                write_value(out, value);
            }
        }
    }
}

fn write_number(out: &mut Vec<u8>, digits: &str) {
    match (digits.parse::<u64>(), digits.parse::<i64>()) {
        (Ok(number), _) => drop(encode::write_uint(out, number)),
        // -0 has to be a float: there is no negative zero among integers.
        (_, Ok(number)) if number != 0 => drop(encode::write_sint(out, number)),
        _ => drop(encode::write_f64(out, digits.parse().unwrap_or(f64::NAN))),
    }
}
