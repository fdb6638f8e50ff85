//! No keyboard: on a system without Unix's terminals, or without the feature `terminal`.

use super::keys::Key;

/// There is none.
pub enum Keyboard {}

/// None that could be changed.
#[derive(Clone)]
pub struct Modes;

impl Keyboard {
    pub fn find() -> Option<Keyboard> {
        None
    }

    pub fn take(&self) -> bool {
        match *self {}
    }

    pub fn give_back(&self) {
        match *self {}
    }

    pub fn modes(&self) -> Modes {
        match *self {}
    }

    pub async fn pressed(&mut self) -> Vec<Key> {
        match *self {}
    }
}

impl Modes {
    pub fn give_back(&self) {}
}

/// Never called: nothing asks for it.
pub fn suspend() -> bool {
    false
}
