//! Who made the changes that wait to be flushed.

use crate::state::topic::Writer;

/// The writers of one flush, as far as they matter: one of them is named to those who fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Authors {
    /// There are no changes.
    #[default]
    Nobody,
    /// All changes are of the one with this name.
    One(String),
    /// They are of several, or of somebody without a name.
    Several,
}

impl Authors {
    /// Together with a change of another writer.
    pub fn and(&mut self, writer: &Writer) {
        *self = match (&self, &writer.source_id) {
            (Authors::Nobody, Some(name)) => Authors::One(name.clone()),
            (Authors::One(one), Some(name)) if one == name => return,
            _ => Authors::Several,
        };
    }

    /// The name of the only one.
    pub fn name(self) -> Option<String> {
        match self {
            Authors::One(name) => Some(name),
            _ => None,
        }
    }
}
