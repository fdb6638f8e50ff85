//! An action whose rows are on their way into the bucket of a cluster: it is answered when all of them
//! are there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::line::ActionLine;
use super::reply::{Denied, Done, Reply};
use crate::state::room::RowId;

/// An action, and what has become of its rows.
pub struct Whole(Mutex<Parts>);

struct Parts {
    /// Its channel's place.
    channel: usize,
    rows: Vec<(RowId, Part)>,
    coming: usize,
    there: usize,
    reply: Option<Reply>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Coming,
    There,
    /// There is nothing to change.
    Nothing,
}

/// Who has made a row that is on its way: an action, and which of its rows it is.
#[derive(Clone)]
pub struct RowMaker {
    pub whole: Arc<Whole>,
    pub place: usize,
}

/// An action has been answered: whom to wake, and what to log when no lock is held.
pub struct Answered {
    pub by: Option<u64>,
    _line: Option<Box<ActionLine>>,
}

impl Whole {
    /// An action that changes these rows of a channel.
    pub fn new(channel: usize, rows: impl Iterator<Item = RowId>, reply: Reply) -> Whole {
        let rows: Vec<_> = rows.map(|id| (id, Part::Coming)).collect();
        Whole(Mutex::new(Parts {
            channel,
            coming: rows.len(),
            there: 0,
            rows,
            reply: Some(reply),
        }))
    }

    /// It has no rows to wait for.
    pub fn done(&self, from: u64, to: u64) -> Option<Answered> {
        self.parts().answer(from, to)
    }

    /// It ends without the rows that have not come.
    pub fn fail(&self, reason: Denied) -> Option<(Reply, Denied)> {
        let mut parts = self.parts();
        let (all, there) = (parts.rows.len(), parts.there);
        let reply = parts.reply.take()?;
        let reason = match there {
            0 => reason,
            _ => Denied::Partly(there, all, Box::new(reason)),
        };
        Some((reply, reason))
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        // A panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parts {
    fn settle(&mut self, place: usize, part: Part) -> Option<()> {
        let row = self.rows.get_mut(place)?;
        if row.1 == Part::Coming {
            row.1 = part;
            self.coming -= 1;
            self.there += usize::from(part == Part::There);
        }
        (self.coming == 0).then_some(())
    }
}

impl RowMaker {
    /// Its row is shown since the change from one place to another. Answers the action if it was the
    /// last one.
    pub fn there(&self, from: u64, to: u64) -> Option<Answered> {
        self.settle(Part::There, from, to)
    }

    /// There was nothing to change, up to this place.
    pub fn nothing(&self, head: u64) -> Option<Answered> {
        self.settle(Part::Nothing, head, head)
    }

    fn settle(&self, part: Part, from: u64, to: u64) -> Option<Answered> {
        let mut parts = self.whole.parts();
        parts.settle(self.place, part)?;
        parts.answer(from, to)
    }
}

impl Parts {
    fn answer(&mut self, from: u64, to: u64) -> Option<Answered> {
        let Reply {
            by,
            answer,
            mut line,
        } = self.reply.take()?;
        let rows = self.rows.iter().filter(|(_, part)| *part == Part::There);
        let done = Done {
            channel: self.channel,
            rows: rows.map(|(id, _)| id.clone()).collect(),
            from,
            to,
        };
        if let Some(line) = &mut line {
            line.done(done.rows.len());
        }
        // One who was told that it took too long is told of the rows as all others are.
        let by = answer.send(Ok(done)).ok().and(by);
        Some(Answered { by, _line: line })
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::hub::receipt::WriteError;
    use crate::hub::rooms::Answer;

    fn whole(ids: &[&str]) -> (Arc<Whole>, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        let reply = Reply {
            by: Some(7),
            answer,
            line: None,
        };
        let ids = ids.iter().map(|id| RowId::from(*id));
        (Arc::new(Whole::new(0, ids, reply)), answered)
    }

    fn maker(whole: &Arc<Whole>, place: usize) -> RowMaker {
        let whole = whole.clone();
        RowMaker { whole, place }
    }

    #[test]
    fn an_action_is_answered_when_the_last_of_its_rows_is_there() {
        let (whole, mut answered) = whole(&["1", "2", "3"]);
        assert!(maker(&whole, 2).there(4, 5).is_none());
        assert!(maker(&whole, 2).there(9, 9).is_none(), "it counts once");
        assert!(maker(&whole, 0).nothing(5).is_none());
        assert!(answered.try_recv().is_err());
        let woken = maker(&whole, 1).there(5, 6).expect("an answer");
        assert_eq!(woken.by, Some(7));
        let done = answered.try_recv().expect("an answer").expect("rows");
        assert_eq!(done.rows, [RowId::from("2"), RowId::from("3")]);
        assert_eq!((done.from, done.to), (5, 6));
        assert!(
            whole.fail(Denied::Stopping).is_none(),
            "it is answered once"
        );
    }

    #[test]
    fn whoever_does_not_wait_any_more_is_told_as_all_others_are() {
        let (whole, answered) = whole(&["1"]);
        drop(answered);
        let woken = maker(&whole, 0).there(4, 5).expect("an answer");
        assert_eq!(woken.by, None);
    }

    #[test]
    fn a_failure_in_between_says_how_many_rows_are_changed() {
        let lost = || Denied::from(WriteError::Cluster("x".to_owned()));
        let (none, _answered) = whole(&["1", "2"]);
        let (_, reason) = none.fail(lost()).expect("a reply");
        assert_eq!(reason, lost());
        let (some, _answered) = whole(&["1", "2"]);
        maker(&some, 0).there(4, 5);
        let (_, reason) = some.fail(lost()).expect("a reply");
        assert_eq!(reason.clone().problem().status, 503);
        assert_eq!(reason.reasons()[0], "only 1 of 2 rows are changed");
    }
}
