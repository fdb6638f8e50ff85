//! What can still be read of a damaged file, page by page. redb reads only what it can verify as
//! a whole; here nothing is trusted, and the rows tell which of them are as they were written.
//!
//! The file's shape is redb's third: a page with two commit slots, then the pages of trees. A
//! leaf has keys and values, a branch has the pages below it; the first tree has the tables.

use std::collections::BTreeSet;

use super::rows::{Row, Rows};

const PAGE: usize = 4096;
/// Where the commit slots are, how long they are, and where in them things are.
const SLOTS: [usize; 2] = [64, 192];
const SLOT: usize = 128;
const ROOT: usize = 8;
const TRANSACTION: usize = 104;
/// Pages in a region.
const REGION: usize = 1 << 20;
/// No tree of a real file is as deep.
const DEEPEST: usize = 32;

/// The rows as of each of the two commits that a file knows, the newer first.
pub(super) fn commits(bytes: &[u8]) -> Vec<Rows> {
    let slot = |at: usize| bytes.get(at..at + SLOT);
    let mut slots: Vec<&[u8]> = SLOTS.into_iter().filter_map(slot).collect();
    slots.sort_by_key(|slot| std::cmp::Reverse(number(slot, TRANSACTION)));
    slots.into_iter().map(|slot| rows(bytes, slot)).collect()
}

fn rows(bytes: &[u8], slot: &[u8]) -> Rows {
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
    let (heads, all_heads) = table(b"heads");
    let (wholes, all_wholes) = table(b"wholes");
    let (parts, all_parts) = table(b"parts");
    Rows {
        heads,
        wholes,
        parts,
        lacks_topics: !all_heads && !all_wholes,
        lacks_parts: !all_parts,
    }
}

/// The rows of a tree, and whether all of its pages are there.
fn tree(bytes: &[u8], root: Option<u64>) -> (Vec<Row>, bool) {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    let root = root.filter(|root| walk(bytes, *root, DEEPEST, &mut seen, &mut found));
    (found, root.is_some())
}

fn walk(
    bytes: &[u8],
    at: u64,
    depth: usize,
    seen: &mut BTreeSet<u64>,
    found: &mut Vec<Row>,
) -> bool {
    if depth == 0 || !seen.insert(at) {
        return false;
    }
    match page(bytes, at) {
        Some(page @ [1, _, ..]) => leaf(page, found),
        Some(page @ [2, _, ..]) => {
            let children = usize::from(count(page)) + 1;
            let mut whole = true;
            for index in 0..children {
                let child = number(page, 8 + 16 * children + 8 * index);
                whole &= child.is_some_and(|child| walk(bytes, child, depth - 1, seen, found));
            }
            whole
        }
        _ => false,
    }
}

/// A page by its number: the order of its size, the region, the place in it.
fn page(bytes: &[u8], number: u64) -> Option<&[u8]> {
    let order = usize::try_from(number >> 59)
        .ok()
        .filter(|order| *order <= 20)?;
    let place = usize::try_from(number & (0xf_ffff >> order)).ok()?;
    let region = usize::try_from((number >> 20) & 0xf_ffff).ok()?;
    let first = region.checked_mul(REGION)?.checked_add(place << order)?;
    let start = first.checked_add(1)?.checked_mul(PAGE)?;
    bytes.get(start..start.checked_add(PAGE << order)?)
}

/// Where each key ends, where each value ends, the keys, the values.
fn leaf(page: &[u8], found: &mut Vec<Row>) -> bool {
    let mut whole = true;
    let count = usize::from(count(page));
    let end = |index: usize| {
        let bytes = page.get(4 + 4 * index..)?.first_chunk::<4>()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let between = |before: usize, index: usize, first: usize| {
        let start = if index == first {
            Some(before)
        } else {
            end(index - 1)
        };
        page.get(start?..end(index)?)
    };
    for index in 0..count {
        let key = between(4 + 8 * count, index, 0);
        let value = between(end(count - 1).unwrap_or(page.len()), count + index, count);
        match (key, value) {
            (Some(key), Some(value)) => found.push((key.to_vec(), value.to_vec())),
            _ => whole = false,
        }
    }
    whole
}

fn count(page: &[u8]) -> u16 {
    let bytes = page.get(2..).and_then(|rest| rest.first_chunk::<2>());
    bytes.map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*bytes))
}
