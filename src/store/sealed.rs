//! The entries of the file. Each names what it belongs to and has a checksum of its own, so that in
//! a damaged file the entries that are whole can be told from the others.

/// A key and a value.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// The checksums of entries, whatever their order: it differs when one is missing or outdated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum(pub u32);

/// An entry's value: the checksum, then each member after its length.
pub(super) fn seal(members: &[&str]) -> Vec<u8> {
    let lengths = members.iter().map(|member| member.len() + 4);
    let mut value = Vec::with_capacity(4 + lengths.sum::<usize>());
    value.extend([0; 4]);
    for member in members {
        // A value that is longer is refused by redb.
        let length = u32::try_from(member.len()).unwrap_or(u32::MAX);
        value.extend(length.to_le_bytes());
        value.extend(member.as_bytes());
    }
    let checksum = crc32fast::hash(&value[4..]);
    value[..4].copy_from_slice(&checksum.to_le_bytes());
    value
}

/// What [`seal`] was given; none when any of it has changed.
pub(super) fn unseal<const N: usize>(value: &[u8]) -> Option<[&str; N]> {
    let mut rest = value.get(4..)?;
    if crc32fast::hash(rest) != checksum(value) {
        return None;
    }
    let mut members = [""; N];
    for member in &mut members {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        *member = std::str::from_utf8(after.get(..length)?).ok()?;
        rest = &after[length..];
    }
    rest.is_empty().then_some(members)
}

/// The checksum that an entry has.
fn checksum(value: &[u8]) -> u32 {
    let first = value.first_chunk::<4>();
    first.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// The value of a head: whose it is, how far that has come, and the sum of its entries.
pub(super) fn seal_head(name: &str, reached: u64, sum: Sum) -> Vec<u8> {
    seal(&[name, &reached.to_string(), &sum.0.to_string()])
}

/// What a head holds.
pub(super) fn read_head(value: &[u8]) -> Option<(&str, u64, Sum)> {
    let [name, reached, sum] = unseal(value)?;
    Some((name, reached.parse().ok()?, Sum(sum.parse().ok()?)))
}

/// The key of something that belongs to a topic or a room. No such name has a zero.
pub(super) fn key_within(name: &str, rest: &str) -> Vec<u8> {
    [name.as_bytes(), &[0], rest.as_bytes()].concat()
}

/// After all keys of what belongs to it.
pub(super) fn end_within(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[1]].concat()
}

impl Sum {
    /// With another entry, or without it if it was included already.
    pub fn with(self, value: &[u8]) -> Sum {
        Sum(self.0 ^ checksum(value))
    }

    /// Whether entries that sum up to `found` are all of them, but for so many damaged ones that
    /// are known. A damaged one that still has its checksum counts; a checksum that is damaged
    /// itself differs where it was hit.
    pub fn is_all(self, found: Sum, damaged: usize) -> bool {
        (self.0 ^ found.0).count_ones() as usize <= damaged
    }
}
