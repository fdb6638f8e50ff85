//! Reads what is left of a damaged file, page by page. redb opens only what it can verify as a
//! whole: it refuses a file that was not closed in order if one page of its last two commits is
//! damaged, and offers no way to read the others. Nothing is trusted here; the entries themselves
//! show which of them are as they were written.
//!
//! This is the third format of redb: a page with two commit slots, then the pages of trees. A
//! leaf has keys and values, a branch the pages below it; the first tree lists the tables.

use std::collections::BTreeSet;

use super::entries::Entries;
use super::rooms::Rooms;
use super::sealed::Entry;
use super::topics::Topics;

const PAGE: usize = 4096;
/// Where the commit slots are, how long they are, and what is where inside them.
const SLOTS: [usize; 2] = [64, 192];
const SLOT: usize = 128;
const ROOT: usize = 8;
const TRANSACTION: usize = 104;
/// Pages in a region.
const REGION: usize = 1 << 20;
/// No tree in a real file is that deep.
const DEEPEST: usize = 32;

/// The entries of the two commits that a file knows, the newer first.
pub(super) fn commits(bytes: &[u8]) -> Vec<Entries> {
    let slot = |at: usize| bytes.get(at..at + SLOT);
    let mut slots: Vec<&[u8]> = SLOTS.into_iter().filter_map(slot).collect();
    slots.sort_by_key(|slot| std::cmp::Reverse(number(slot, TRANSACTION)));
    slots.into_iter().map(|slot| entries(bytes, slot)).collect()
}

fn entries(bytes: &[u8], slot: &[u8]) -> Entries {
    let (tables, _) = tree(bytes, number(slot, ROOT));
    let table = |name: &[u8]| {
        let found = tables.iter().find(|(known, _)| known == name);
        // Its definition: a kind, a length, whether there is a root, the root.
        match found.map(|(_, table)| (table.get(9), table)) {
            Some((Some(0), _)) => (Vec::new(), true),
            Some((_, table)) => tree(bytes, number(table, 10)),
            None => (Vec::new(), false),
        }
    };
    let has = |name: &[u8]| tables.iter().any(|(known, _)| known == name);
    let (heads, all_heads) = table(b"heads");
    let (wholes, all_wholes) = table(b"wholes");
    let (parts, all_parts) = table(b"parts");
    let (rooms, all_rooms) = table(b"rooms");
    let (rows, all_rows) = table(b"rows");
    let (meta, _) = table(b"onlooker");
    let format = meta.iter().find(|(key, _)| key == b"format");
    let format = format.and_then(|(_, format)| number(format, 0));
    let had_rooms = !matches!(format, Some(1..=3));
    Entries {
        // A table of another program may have the name of one of ours.
        is_ours: has(b"onlooker") || has(b"heads") && has(b"wholes"),
        topics: Topics {
            heads,
            wholes,
            parts,
            lacks_topics: !all_heads && !all_wholes,
            lacks_parts: !all_parts,
        },
        rooms: Rooms {
            heads: rooms,
            rows,
            lacks_rooms: had_rooms && !all_rooms && !all_rows,
            lacks_rows: !all_rows,
        },
    }
}

/// The entries of a tree, and whether all of its pages are there.
pub(super) fn tree(bytes: &[u8], root: Option<u64>) -> (Vec<Entry>, bool) {
    let mut walk = Walk {
        bytes,
        left: bytes.len(),
        seen: BTreeSet::new(),
        found: Vec::new(),
    };
    let is_whole = root.is_some_and(|root| walk.page(root, DEEPEST));
    (walk.found, is_whole)
}

/// A walk through the pages of a tree, no longer than the file.
struct Walk<'a> {
    bytes: &'a [u8],
    /// How many more bytes there can be: pages that overlap would yield more than the file has.
    left: usize,
    /// Where the pages so far began.
    seen: BTreeSet<usize>,
    found: Vec<Entry>,
}

impl Walk<'_> {
    fn page(&mut self, at: u64, depth: usize) -> bool {
        let Some((start, page)) = page(self.bytes, at) else {
            return false;
        };
        if depth == 0 || !self.seen.insert(start) {
            return false;
        }
        match page {
            [1, _, ..] => self.leaf(page),
            [2, _, ..] => self.branch(page, depth),
            _ => false,
        }
    }

    /// Takes so many bytes off what is left; returns whether there were as many.
    fn take(&mut self, count: usize) -> bool {
        let left = self.left.checked_sub(count);
        self.left = left.unwrap_or_default();
        left.is_some()
    }

    fn branch(&mut self, page: &[u8], depth: usize) -> bool {
        let children = usize::from(count(page)) + 1;
        let mut whole = true;
        for index in 0..children {
            match number(page, 8 + 16 * children + 8 * index) {
                Some(child) if self.take(8) => whole &= self.page(child, depth - 1),
                _ => return false,
            }
        }
        whole
    }

    /// Where each key ends, where each value ends, the keys, the values.
    fn leaf(&mut self, page: &[u8]) -> bool {
        let count = usize::from(count(page));
        let end = |index: usize| {
            let bytes = page.get(4 + 4 * index..)?.first_chunk::<4>()?;
            usize::try_from(u32::from_le_bytes(*bytes)).ok()
        };
        let mut whole = true;
        let mut key_start = 4 + 8 * count;
        let mut value_start = count.checked_sub(1).and_then(end).unwrap_or(page.len());
        for index in 0..count {
            let (Some(key_end), Some(value_end)) = (end(index), end(count + index)) else {
                return false;
            };
            let key = page.get(key_start..key_end);
            let value = page.get(value_start..value_end);
            match (key, value) {
                (Some(key), Some(value)) if self.take(8 + key.len() + value.len()) => {
                    self.found.push((key.to_vec(), value.to_vec()));
                }
                _ => whole = false,
            }
            (key_start, value_start) = (key_end, value_end);
        }
        whole
    }
}

/// Where a page is, and its bytes, by its number: the order of its size, its region, its place.
fn page(bytes: &[u8], number: u64) -> Option<(usize, &[u8])> {
    let order = usize::try_from(number >> 59)
        .ok()
        .filter(|order| *order <= 20)?;
    let place = usize::try_from(number & (0xf_ffff >> order)).ok()?;
    let region = usize::try_from((number >> 20) & 0xf_ffff).ok()?;
    let first = region.checked_mul(REGION)?.checked_add(place << order)?;
    let start = first.checked_add(1)?.checked_mul(PAGE)?;
    let page = bytes.get(start..start.checked_add(PAGE << order)?)?;
    Some((start, page))
}

fn count(page: &[u8]) -> u16 {
    let bytes = page.get(2..).and_then(|rest| rest.first_chunk::<2>());
    bytes.map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*bytes))
}
