//! The viewer's frame reader: any bytes, cut anywhere, mean the same; nothing follows the
//! end, and it keeps no more than one control frame.

#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use onlooker::Limits;
use onlooker::internals::{Inbound, Signal};

#[derive(Arbitrary, Debug)]
struct Input {
    deflate: bool,
    cuts: Vec<u8>,
    bytes: Vec<u8>,
}

const CODES: [u16; 4] = [1002, 1007, 1008, 1009];

fuzz_target!(|input: Input| {
    let whole = signals(&input, &[]);
    let pieces = signals(&input, &input.cuts);
    assert_eq!(whole, pieces, "how bytes arrive changes what they mean");
    for (at, signal) in whole.iter().enumerate() {
        let last = at + 1 == whole.len();
        match signal {
            Signal::Ping(payload) => assert!(payload.len() <= 125),
            Signal::Close(code) => {
                assert!(last);
                assert!(code.is_none_or(|code| (1000..5000).contains(&code)));
            }
            Signal::Fail(code) => assert!(last && CODES.contains(code)),
            Signal::Text(_) | Signal::Binary => unreachable!("a viewer's messages do not count"),
        }
    }
    assert!(whole.len() <= 101, "the budget holds");
});

fn signals(input: &Input, cuts: &[u8]) -> Vec<Signal> {
    let mut inbound = Inbound::new(&Limits::default(), input.deflate);
    let mut bytes = input.bytes.clone();
    let mut rest = bytes.as_mut_slice();
    let mut found = Vec::new();
    let mut cuts = cuts.iter();
    while !rest.is_empty() {
        let cut = cuts
            .next()
            .map_or(rest.len(), |cut| usize::from(*cut).min(rest.len()));
        let (piece, after) = rest.split_at_mut(cut);
        found.extend(inbound.feed(piece, Duration::ZERO, 0));
        rest = after;
    }
    found
}
