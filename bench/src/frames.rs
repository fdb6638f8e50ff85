//! What a viewer needs of RFC 6455 to count messages: where each begins, where it ends, and its
//! first bytes. Payloads are skipped, not kept.

/// So many bytes of a message are looked at.
pub const HEAD: usize = 192;

/// What arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival<'a> {
    /// A whole message, by its first bytes.
    Message(&'a [u8]),
    /// To be answered with the same payload.
    Ping(&'a [u8]),
    Pong,
    Close,
}

/// One viewer's place in the stream.
#[derive(Default)]
pub struct Frames {
    header: [u8; 10],
    have: usize,
    /// The frame whose payload is arriving: its first byte and what is still to come.
    open: Option<(u8, u64)>,
    head: Vec<u8>,
    /// How a message begins of which more frames are to come.
    begun: Vec<u8>,
}

impl Frames {
    /// Takes bytes as they came and tells what they complete.
    pub fn feed(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Arrival<'_>)) {
        while !bytes.is_empty() || matches!(self.open, Some((_, 0))) {
            let Some((first, left)) = self.open else {
                bytes = self.header(bytes);
                continue;
            };
            let now = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (piece, rest) = bytes.split_at(now);
            bytes = rest;
            let seen = &piece[..piece.len().min(HEAD - self.head.len())];
            if now as u64 == left && self.head.is_empty() {
                self.open = None;
                announce(&mut self.begun, first, seen, &mut tell);
                continue;
            }
            self.head.extend_from_slice(seen);
            self.open = Some((first, left - now as u64));
            if now as u64 == left {
                self.open = None;
                announce(&mut self.begun, first, &self.head, &mut tell);
                self.head.clear();
            }
        }
    }

    /// Takes header bytes; the frame is open once they are all there.
    fn header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        self.header[self.have] = bytes[0];
        self.have += 1;
        let long = |length: usize| match length {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        if self.have >= 2 && self.have == long(usize::from(self.header[1])) {
            let length = match self.header[1] {
                126 => u64::from(u16::from_be_bytes([self.header[2], self.header[3]])),
                127 => self.header[2..]
                    .iter()
                    .fold(0, |length, &byte| length << 8 | u64::from(byte)),
                length => u64::from(length),
            };
            self.have = 0;
            self.open = Some((self.header[0], length));
        }
        &bytes[1..]
    }
}

fn announce(begun: &mut Vec<u8>, first: u8, head: &[u8], tell: &mut impl FnMut(Arrival<'_>)) {
    let is_final = first & 0x80 != 0;
    match first & 0x0f {
        0 if is_final => tell(Arrival::Message(&std::mem::take(begun))),
        1 | 2 if is_final => tell(Arrival::Message(head)),
        1 | 2 => *begun = head.to_vec(),
        8 => tell(Arrival::Close),
        9 => tell(Arrival::Ping(head)),
        10 => tell(Arrival::Pong),
        _ => {}
    }
}

/// A frame as a client sends it; the mask is zero, which leaves the payload as it is.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            // No client here sends more than that.
            frame.extend((length as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// The number that a message carries near its start, as `"n":17`.
pub fn number(head: &[u8]) -> Option<u64> {
    const KEY: &[u8] = b"\"n\":";
    let at = head.windows(KEY.len()).position(|window| window == KEY)?;
    let digits = head[at + KEY.len()..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |number, digit| {
        Some(number.unwrap_or(0) * 10 + u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..126 => frame.push(length as u8),
            length @ 126..65536 => {
                frame.push(126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(payload);
        frame
    }

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let large = format!("{{\"n\":42,\"rest\":\"{}\"}}", "x".repeat(70_000));
        let mut stream = frame(0x81, b"{\"n\":7}");
        stream.extend(frame(0x89, b"are you there"));
        stream.extend(frame(0x82, b""));
        stream.extend(frame(0x81, large.as_bytes()));
        stream.extend(frame(0x01, b"{\"n\":5,"));
        stream.extend(frame(0x89, b""));
        stream.extend(frame(0x80, b"\"m\":6}"));
        stream.extend(frame(0x81, "y".repeat(300).as_bytes()));
        for cut in [1, 2, 3, 7, 1000, stream.len()] {
            let (mut frames, mut seen) = (Frames::default(), Vec::new());
            for piece in stream.chunks(cut) {
                frames.feed(piece, |arrival| {
                    seen.push(match arrival {
                        Arrival::Message(head) => (number(head), head.len()),
                        Arrival::Ping(payload) => (Some(0), payload.len()),
                        _ => (None, 0),
                    });
                });
            }
            let expected = [
                (Some(7), 7),
                (Some(0), 13),
                (None, 0),
                (Some(42), HEAD),
                (Some(0), 0),
                (Some(5), 7),
                (None, HEAD),
            ];
            assert_eq!(seen, expected, "cut into {cut}");
        }
    }
}
