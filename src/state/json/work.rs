//! What a change may cost.

use std::sync::atomic::{AtomicBool, Ordering};

/// What a change may still cost, in bytes looked at and array elements moved. Once it is called
/// off, because nobody is waiting for it, there is nothing left.
pub struct Work<'a> {
    left: usize,
    called_off: &'a AtomicBool,
}

impl Work<'_> {
    /// This much, until the flag is raised.
    pub fn new(left: usize, called_off: &AtomicBool) -> Work<'_> {
        Work { left, called_off }
    }

    /// Takes the cost of a step before it is done; `None` if that is too much.
    pub fn spend(&mut self, cost: usize) -> Option<()> {
        if self.called_off.load(Ordering::Relaxed) {
            return None;
        }
        self.left = self.left.checked_sub(cost)?;
        Some(())
    }
}
