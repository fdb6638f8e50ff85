//! A file that is read but never written: what redb writes to it stays in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

const BLOCK: u64 = 4096;
/// The length of the file's head: its magic number, its geometry, and two commit slots.
pub(super) const HEAD: usize = 320;
/// How every redb file begins.
pub(super) const MAGIC: [u8; 9] = *b"redb\x1a\n\xa9\r\n";
const FLAGS: usize = 9;
const SECOND_IS_NEWER: u8 = 1;
const UNCLEAN: u8 = 2;
const TRANSACTIONS: [usize; 2] = [64 + 104, 192 + 104];

/// A cheap handle: all copies are the same overlay.
#[derive(Clone, Debug)]
pub(super) struct Overlay(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    file: File,
    len: u64,
    /// Where the file ends; anything beyond is in `blocks`, or zero.
    file_len: u64,
    /// What was written, by block.
    blocks: BTreeMap<u64, Vec<u8>>,
}

/// What a head says about the last commits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commits {
    flags: u8,
    ids: [u64; 2],
}

impl Overlay {
    /// Over a file as it is now.
    pub fn new(file: &File) -> io::Result<Overlay> {
        let file = file.try_clone()?;
        let len = file.metadata()?.len();
        Ok(Overlay(Arc::new(Mutex::new(Inner {
            file,
            len,
            file_len: len,
            blocks: BTreeMap::new(),
        }))))
    }

    /// Restores the parts of the head that are the same in all our files, and marks it as not
    /// closed, so that redb verifies the rest.
    pub fn mend_head(&self) -> io::Result<()> {
        let mut flags = [0];
        self.read(FLAGS as u64, &mut flags)?;
        self.write(0, &MAGIC)?;
        self.write(FLAGS as u64, &[flags[0] & SECOND_IS_NEWER | UNCLEAN, 0, 0])?;
        let sizes = [4096_u32, 0, 1 << 20].map(u32::to_le_bytes);
        self.write(12, sizes.as_flattened())
    }

    /// What its head says.
    pub fn commits(&self) -> io::Result<Commits> {
        let mut head = [0; HEAD];
        self.read(0, &mut head)?;
        let id = |at: usize| {
            let bytes = head[at..].first_chunk();
            bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        Ok(Commits {
            flags: head[FLAGS],
            ids: TRANSACTIONS.map(id),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Commits {
    /// Whether redb went back to a commit before the last one when it opened the file: it then
    /// counts on from that one.
    pub fn went_back(self, opened: Commits) -> bool {
        let newest = |ids: [u64; 2]| ids[0].max(ids[1]);
        let said = self.ids[usize::from(self.flags & SECOND_IS_NEWER)];
        let unclean = self.flags & UNCLEAN != 0;
        unclean && (newest(opened.ids) <= newest(self.ids) || said != newest(self.ids))
    }
}

impl Inner {
    fn block(&mut self, index: u64) -> io::Result<Vec<u8>> {
        if let Some(block) = self.blocks.get(&index) {
            return Ok(block.clone());
        }
        let start = index * BLOCK;
        let there = self.file_len.saturating_sub(start).min(BLOCK);
        self.file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        (&self.file).take(there).read_to_end(&mut block)?;
        block.resize(BLOCK as usize, 0);
        Ok(block)
    }

    /// Calls `work` with each block's piece of a range; it returns whether it changed it.
    fn each(
        &mut self,
        offset: u64,
        len: usize,
        mut work: impl FnMut(&mut [u8], usize) -> bool,
    ) -> io::Result<()> {
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let within = (at % BLOCK) as usize;
            let piece = (len - done).min(BLOCK as usize - within);
            let mut block = self.block(at / BLOCK)?;
            if work(&mut block[within..within + piece], done) {
                self.blocks.insert(at / BLOCK, block);
            }
            done += piece;
        }
        Ok(())
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.inner().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut inner = self.inner();
        if offset.saturating_add(out.len() as u64) > inner.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        inner.each(offset, out.len(), |piece, done| {
            out[done..done + piece.len()].copy_from_slice(piece);
            false
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = self.inner();
        if len < inner.len {
            inner.file_len = inner.file_len.min(len);
            let rest = len.div_ceil(BLOCK);
            _ = inner.blocks.split_off(&rest);
            if let Some(block) = inner.blocks.get_mut(&(len / BLOCK)) {
                block[(len % BLOCK) as usize..].fill(0);
            }
        }
        inner.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        inner.len = inner.len.max(offset.saturating_add(data.len() as u64));
        inner.each(offset, data.len(), |piece, done| {
            piece.copy_from_slice(&data[done..done + piece.len()]);
            true
        })
    }
}
