//! The head of a file: its magic number, its geometry, and two commit slots.

/// Its length.
pub(super) const HEAD: usize = 320;
/// How every redb file begins.
pub(super) const MAGIC: [u8; 9] = *b"redb\x1a\n\xa9\r\n";
const FLAGS: usize = 9;
const SECOND_IS_NEWER: u8 = 1;
const UNCLEAN: u8 = 2;
const SIZES: usize = 12;
const TRANSACTIONS: [usize; 2] = [64 + 104, 192 + 104];

/// What a head says about the last commits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commits {
    flags: u8,
    ids: [u64; 2],
}

impl Commits {
    /// Of the file that begins so; of a shorter one nothing.
    pub fn of(head: &[u8]) -> Commits {
        let id = |at: usize| {
            let bytes = head.get(at..).and_then(|rest| rest.first_chunk());
            bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        Commits {
            flags: head.get(FLAGS).copied().unwrap_or_default(),
            ids: TRANSACTIONS.map(id),
        }
    }

    /// Whether redb went back to a commit before the last one when it opened the file: it then
    /// counts on from that one.
    pub fn went_back(self, opened: Commits) -> bool {
        let newest = |ids: [u64; 2]| ids[0].max(ids[1]);
        let said = self.ids[usize::from(self.flags & SECOND_IS_NEWER)];
        let unclean = self.flags & UNCLEAN != 0;
        unclean && (newest(opened.ids) <= newest(self.ids) || said != newest(self.ids))
    }
}

/// Restores the parts of the head that are the same in all our files, and marks it as not
/// closed, so that redb verifies the rest.
pub(super) fn mend(file: &mut [u8]) {
    let Some(head) = file.get_mut(..HEAD) else {
        return;
    };
    let flags = head[FLAGS] & SECOND_IS_NEWER | UNCLEAN;
    head[..FLAGS].copy_from_slice(&MAGIC);
    head[FLAGS..SIZES].copy_from_slice(&[flags, 0, 0]);
    let sizes = [4096_u32, 0, 1 << 20].map(u32::to_le_bytes);
    head[SIZES..SIZES + 12].copy_from_slice(sizes.as_flattened());
}
