//! A topic's life, as a state.
//!
//! ```text
//!          awaited        written        deleting          deleted
//!     New ─────────► Empty ──────► Live ──────────► Leaving ─────────► Ended
//!      │               │ ▲        ▲ │ ▲               │                  ▲
//!      └─── written ───┼─┼────────┘ │ └── reverted ───┤                  │
//!                      │ └─ unmade ─┴─────────────────┤                  │
//!                      └────── unused, unwatched ─────┴── lost ──────────┘
//! ```
//!
//! A name may have one topic after the other. Whoever holds one that has ended, be it a viewer, a
//! source or a writer, goes on with the next of that name, or is sent away.

/// Where a topic is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It was made for its first write, which may be refused: nobody else knows it yet.
    New,
    /// It has no session yet, and exists for those who wait for one.
    Empty,
    /// It has a session.
    Live,
    /// It is being deleted: writers wait until the store has forgotten it.
    Leaving,
    /// It is gone; its name may stand for another topic.
    Ended,
}

/// What happens to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Somebody waits for its first session.
    Awaited,
    /// A change was accepted.
    Written,
    /// Somebody wants it deleted.
    Deleting,
    /// It is deleted, for good.
    Deleted,
    /// The store lost changes, and a deletion with them: the session before them is back.
    Reverted,
    /// The store lost the first session, which nobody was shown.
    Unmade,
    /// The store lost the first session, which was shown: viewers cannot be shown nothing.
    Lost,
    /// Nobody waits for its first session, or not any more.
    Unused,
    /// It shows a room, and nobody watches it any more.
    Unwatched,
}

impl Life {
    /// Where it is after that; none: that cannot happen to it.
    pub(super) fn after(self, turn: Turn) -> Option<Life> {
        match (self, turn) {
            (Life::New, Turn::Awaited) => Some(Life::Empty),
            (Life::New | Life::Empty | Life::Live, Turn::Written) => Some(Life::Live),
            (Life::Live, Turn::Deleting) => Some(Life::Leaving),
            (Life::Live | Life::Leaving, Turn::Reverted) => Some(Life::Live),
            (Life::Live | Life::Leaving, Turn::Unmade) => Some(Life::Empty),
            (Life::Live | Life::Leaving, Turn::Lost)
            | (Life::Leaving, Turn::Deleted)
            | (Life::New | Life::Empty, Turn::Unused)
            | (Life::Empty | Life::Live, Turn::Unwatched) => Some(Life::Ended),
            _ => None,
        }
    }

    /// Whether it can be written.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Life::New | Life::Empty | Life::Live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lived(turns: &[Turn]) -> Option<Life> {
        let mut turns = turns.iter();
        turns.try_fold(Life::New, |life, turn| life.after(*turn))
    }

    #[test]
    fn a_topic_is_made_deleted_and_never_comes_back() {
        use Turn::*;
        assert_eq!(lived(&[Written, Written]), Some(Life::Live));
        assert_eq!(lived(&[Written, Deleting]), Some(Life::Leaving));
        assert_eq!(lived(&[Written, Deleting, Deleted]), Some(Life::Ended));
        assert_eq!(lived(&[Unused]), Some(Life::Ended));
        assert_eq!(lived(&[Awaited, Written]), Some(Life::Live));
        assert_eq!(lived(&[Awaited, Unused]), Some(Life::Ended));
        for turn in [
            Awaited, Written, Deleting, Deleted, Reverted, Unmade, Lost, Unused, Unwatched,
        ] {
            assert_eq!(Life::Ended.after(turn), None, "{turn:?}");
        }
    }

    #[test]
    fn nobody_writes_to_what_is_leaving_and_nobody_deletes_twice() {
        use Turn::*;
        assert_eq!(lived(&[Written, Deleting, Written]), None);
        assert_eq!(lived(&[Written, Deleting, Deleting]), None);
        assert_eq!(lived(&[Deleting]), None, "there is nothing to delete");
        assert_eq!(lived(&[Written, Deleted]), None, "nobody has asked for it");
        assert_eq!(lived(&[Awaited, Deleting]), None);
        assert_eq!(lived(&[Written, Unused]), None, "its session is used");
    }

    #[test]
    fn a_lost_change_calls_off_the_deletion_behind_it() {
        use Turn::*;
        assert_eq!(lived(&[Written, Deleting, Reverted]), Some(Life::Live));
        assert_eq!(lived(&[Written, Deleting, Unmade]), Some(Life::Empty));
        assert_eq!(lived(&[Written, Deleting, Lost]), Some(Life::Ended));
        assert_eq!(lived(&[Written, Unmade, Unused]), Some(Life::Ended));
    }
}
