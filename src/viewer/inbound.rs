//! What a viewer sends: checked against RFC 6455 and dropped. Pure. It holds no payload except
//! that of one control frame, so that an unfinished message costs no more than its header; only of
//! a room's people, whose messages count, it collects them.

use std::io::Cursor;
use std::time::Duration;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use crate::hub::Limits;
use crate::wire::close;

/// What has to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// To be answered with the same payload (RFC 6455 §5.5.3).
    Ping(Box<[u8]>),
    /// The peer closes: to be answered with this code, if there is one. Nothing after it counts.
    Close(Option<u16>),
    /// The peer broke a rule: to be closed with this code. Nothing after it counts.
    Fail(u16),
    /// A text message, of whoever may send any.
    Text(String),
    /// A binary one.
    Binary,
}

/// The span over which a viewer's budget is counted.
const BUDGET_SPAN: Duration = Duration::from_secs(10);

/// The longest header: two bytes, eight for the length, four for the mask.
const HEADER: usize = 14;

/// The state of one viewer's inbound bytes.
#[derive(Default)]
pub struct Inbound {
    header: [u8; HEADER],
    header_len: u8,
    frame: Option<Open>,
    message: Option<Message>,
    control: Vec<u8>,
    /// What has arrived of a message, where messages count.
    collected: Option<Vec<u8>>,
    over: bool,
    deflate: bool,
    /// How many bytes a message may have.
    message_limit: u64,
    budget: Budget,
}

/// A frame whose payload is arriving.
struct Open {
    opcode: OpCode,
    is_final: bool,
    mask: [u8; 4],
    read: u64,
    length: u64,
}

/// A message whose frames are arriving.
struct Message {
    /// Whether it is text to be checked. Compressed text would have to be inflated for that.
    text: bool,
    length: u64,
    /// The beginning of a character whose end is still to come.
    tail: Vec<u8>,
}

#[derive(Default)]
struct Budget {
    frames_limit: u32,
    bytes_limit: u64,
    since: Duration,
    frames: u32,
    bytes: u64,
}

impl Inbound {
    /// `deflate` tells whether the first reserved bit was agreed on (RFC 7692).
    pub fn new(limits: &Limits, deflate: bool) -> Inbound {
        let budget = Budget {
            frames_limit: limits.inbound_frames,
            bytes_limit: limits.inbound_bytes as u64,
            ..Budget::default()
        };
        Inbound {
            deflate,
            message_limit: budget.bytes_limit,
            budget,
            ..Inbound::default()
        }
    }

    /// Of one of a room's people, whose messages count: ten times as many may come as are done, and
    /// each may hold a row.
    pub fn of_people(limits: &Limits) -> Inbound {
        const ENVELOPE: usize = 4 * 1024;
        let message = limits.row.saturating_mul(2).saturating_add(ENVELOPE) as u64;
        let frames_limit = limits.actions.saturating_mul(10);
        let budget = Budget {
            frames_limit,
            bytes_limit: message.saturating_mul(limits.actions.into()),
            ..Budget::default()
        };
        Inbound {
            collected: Some(Vec::new()),
            message_limit: message,
            budget,
            ..Inbound::default()
        }
    }

    /// How many bytes are held of a message that is still arriving.
    pub fn unfinished(&self) -> usize {
        self.collected.as_ref().map_or(0, Vec::len)
    }

    /// Takes bytes as they arrived. `now` is the time since a fixed moment. `pings` is how many of
    /// our pings are unanswered: a pong to one of them costs nothing.
    pub fn feed(&mut self, mut bytes: &mut [u8], now: Duration, pings: u8) -> Vec<Signal> {
        let mut signals = Vec::new();
        while !self.over && (!bytes.is_empty() || self.is_complete()) {
            match self.step(bytes, now, pings) {
                Ok((used, signal)) => {
                    signals.extend(signal);
                    bytes = &mut bytes[used..];
                }
                Err(code) => signals.push(Signal::Fail(code)),
            }
            self.over = matches!(signals.last(), Some(Signal::Close(_) | Signal::Fail(_)));
        }
        signals
    }

    fn is_complete(&self) -> bool {
        self.frame
            .as_ref()
            .is_some_and(|frame| frame.read == frame.length)
    }

    /// Takes one byte of a header, or one piece of payload.
    fn step(
        &mut self,
        bytes: &mut [u8],
        now: Duration,
        pings: u8,
    ) -> Result<(usize, Option<Signal>), u16> {
        let Some(mut frame) = self.frame.take() else {
            self.header[usize::from(self.header_len)] = bytes[0];
            self.header_len += 1;
            self.open(now, pings)?;
            return Ok((1, None));
        };
        let used = usize::try_from(frame.length - frame.read)
            .map_or(bytes.len(), |left| left.min(bytes.len()));
        let piece = &mut bytes[..used];
        for (byte, at) in piece.iter_mut().zip(frame.read..) {
            *byte ^= frame.mask[(at % 4) as usize];
        }
        frame.read += used as u64;
        self.payload(&frame, piece)?;
        if frame.read < frame.length {
            self.frame = Some(frame);
            return Ok((used, None));
        }
        Ok((used, self.end(&frame)?))
    }

    /// Begins a frame once its header is complete.
    fn open(&mut self, now: Duration, pings: u8) -> Result<(), u16> {
        let mut cursor = Cursor::new(&self.header[..usize::from(self.header_len)]);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| close::PROTOCOL)?;
        let Some((header, length)) = parsed else {
            return Ok(());
        };
        let Some(mask) = header.mask else {
            return Err(close::PROTOCOL);
        };
        let header_len = std::mem::take(&mut self.header_len);
        if usize::from(header_len) != header.len(length) || length > i64::MAX as u64 {
            return Err(close::PROTOCOL);
        }
        self.check(&header, length)?;
        let answers = matches!(header.opcode, OpCode::Control(Control::Pong)) && pings > 0;
        self.budget.spend(now, length, u32::from(!answers))?;
        self.frame = Some(Open {
            opcode: header.opcode,
            is_final: header.is_final,
            mask,
            read: 0,
            length,
        });
        Ok(())
    }

    fn check(&mut self, header: &FrameHeader, length: u64) -> Result<(), u16> {
        let starts = matches!(header.opcode, OpCode::Data(Data::Text | Data::Binary));
        if header.rsv2 || header.rsv3 || (header.rsv1 && !(self.deflate && starts)) {
            return Err(close::PROTOCOL);
        }
        match header.opcode {
            OpCode::Control(_) if !header.is_final || length > 125 => return Err(close::PROTOCOL),
            OpCode::Control(_) => return Ok(()),
            OpCode::Data(Data::Continue) if self.message.is_none() => return Err(close::PROTOCOL),
            OpCode::Data(Data::Text | Data::Binary) if self.message.is_some() => {
                return Err(close::PROTOCOL);
            }
            OpCode::Data(data) => {
                let text = data == Data::Text && !header.rsv1;
                self.message.get_or_insert(Message {
                    text,
                    length: 0,
                    tail: Vec::new(),
                });
            }
        }
        let message = self.message.as_mut().ok_or(close::PROTOCOL)?;
        message.length = message.length.saturating_add(length);
        let fits = message.length <= self.message_limit;
        fits.then_some(()).ok_or(close::TOO_LARGE)
    }

    fn payload(&mut self, frame: &Open, piece: &[u8]) -> Result<(), u16> {
        match (frame.opcode, &mut self.message) {
            (OpCode::Control(_), _) => self.control.extend_from_slice(piece),
            (OpCode::Data(_), Some(message)) if message.text => {
                message.utf8(piece)?;
                if let Some(collected) = &mut self.collected {
                    collected.extend_from_slice(piece);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, frame: &Open) -> Result<Option<Signal>, u16> {
        match frame.opcode {
            OpCode::Control(control) => {
                let payload = std::mem::take(&mut self.control);
                match control {
                    Control::Ping => Ok(Some(Signal::Ping(payload.into()))),
                    Control::Close => closing(&payload).map(|code| Some(Signal::Close(code))),
                    _ => Ok(None),
                }
            }
            OpCode::Data(_) if frame.is_final => match self.message.take() {
                Some(message) if !message.tail.is_empty() => Err(close::INVALID),
                Some(message) => Ok(self.collect(message.text)),
                None => Ok(None),
            },
            OpCode::Data(_) => Ok(None),
        }
    }
}

impl Inbound {
    /// The message that is complete, where messages count.
    fn collect(&mut self, is_text: bool) -> Option<Signal> {
        let collected = std::mem::take(self.collected.as_mut()?);
        match String::from_utf8(collected) {
            Ok(text) if is_text => Some(Signal::Text(text)),
            _ => Some(Signal::Binary),
        }
    }
}

impl Message {
    /// Checks the next piece of a text. A character may be split anywhere.
    fn utf8(&mut self, piece: &[u8]) -> Result<(), u16> {
        let joined;
        let text = if self.tail.is_empty() {
            piece
        } else {
            joined = [self.tail.as_slice(), piece].concat();
            &joined
        };
        self.tail = match std::str::from_utf8(text) {
            Ok(_) => Vec::new(),
            Err(error) if error.error_len().is_none() => text[error.valid_up_to()..].to_vec(),
            Err(_) => return Err(close::INVALID),
        };
        Ok(())
    }
}

impl Budget {
    fn spend(&mut self, now: Duration, bytes: u64, frames: u32) -> Result<(), u16> {
        if now.saturating_sub(self.since) >= BUDGET_SPAN {
            (self.since, self.frames, self.bytes) = (now, 0, 0);
        }
        self.frames += frames;
        self.bytes += bytes;
        let within = self.frames <= self.frames_limit && self.bytes <= self.bytes_limit;
        within.then_some(()).ok_or(close::POLICY)
    }
}

/// The code in a close frame, if there is one (RFC 6455 §5.5.1, §7.4).
fn closing(payload: &[u8]) -> Result<Option<u16>, u16> {
    if payload.is_empty() {
        return Ok(None);
    }
    let (code, reason) = payload.split_first_chunk().ok_or(close::PROTOCOL)?;
    let code = u16::from_be_bytes(*code);
    if !CloseCode::from(code).is_allowed() {
        return Err(close::PROTOCOL);
    }
    std::str::from_utf8(reason).map_err(|_| close::INVALID)?;
    Ok(Some(code))
}
