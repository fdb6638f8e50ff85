//! What the log tells of actions at `-v`: who asked for what, and what became of it. Never a value,
//! for it may be a secret.

use std::net::IpAddr;
use std::sync::Arc;

use tracing::Span;

use super::asker::Asker;
use crate::hub::notices::{Notices, cut};
use crate::hub::verbose::is_verbose;
use crate::state::room::RoomName;
use crate::wire::room::Asked;

/// An action that is being done. Its line is logged when this is dropped, for it may never be
/// answered.
pub struct ActionLine {
    notices: Arc<Notices>,
    span: Span,
    room: RoomName,
    channel: String,
    action: String,
    by: By,
    became: Became,
}

/// Who asks.
struct By {
    address: IpAddr,
    device: Box<str>,
    name: Box<str>,
    is_host: bool,
}

enum Became {
    Unanswered,
    Done(usize),
    Refused(String),
}

impl ActionLine {
    /// The line of an action, if anybody reads the log.
    pub fn of(
        notices: &Arc<Notices>,
        room: &RoomName,
        asked: &Asked,
        asker: &Asker<'_>,
    ) -> Option<Box<ActionLine>> {
        let kind = || asked.action.get("type")?.as_string();
        let line = || ActionLine {
            notices: notices.clone(),
            span: Span::current(),
            room: room.clone(),
            channel: cut(&asked.channel).into_owned(),
            action: cut(&kind().unwrap_or_default()).into_owned(),
            by: By {
                address: asker.address.to_canonical(),
                device: asker.device.into(),
                name: asker.name.into(),
                is_host: asker.is_host,
            },
            became: Became::Unanswered,
        };
        is_verbose().then(|| Box::new(line()))
    }

    /// It has changed so many rows.
    pub fn done(&mut self, rows: usize) {
        self.became = Became::Done(rows);
    }

    /// It has changed none.
    pub fn refused(&mut self, reason: &str) {
        self.became = Became::Refused(cut(reason).into_owned());
    }
}

impl By {
    /// For people: `iPhone · Safari (192.168.1.31)`.
    fn text(&self) -> String {
        let place = match self.address.is_loopback() {
            true => "this machine".to_owned(),
            false => self.address.to_string(),
        };
        match (&*self.device, self.is_host) {
            ("", _) => format!("host ({place})"),
            (device, true) => format!("{device} ({place}, with the host token)"),
            (device, false) => format!("{device} ({place})"),
        }
    }
}

impl Became {
    /// The verdict in a word, its detail, and both in words.
    fn told(&self) -> (&'static str, Option<&str>, String) {
        match self {
            Became::Unanswered => ("unanswered", None, "unanswered".to_owned()),
            Became::Done(1) => ("done", None, "done, 1 row".to_owned()),
            Became::Done(rows) => ("done", None, format!("done, {rows} rows")),
            Became::Refused(reason) => ("refused", Some(reason), format!("refused: {reason}")),
        }
    }
}

impl Drop for ActionLine {
    fn drop(&mut self) {
        let ActionLine {
            span,
            room,
            channel,
            action,
            by,
            became,
            ..
        } = &*self;
        // A host is trusted with as many lines as it wants, as it is with its writes.
        if !by.is_host && !self.notices.acted(by.address) {
            return;
        }
        let rows = match became {
            Became::Done(rows) => *rows,
            _ => 0,
        };
        let (verdict, detail, outcome) = became.told();
        tracing::debug!(
            parent: span,
            %room,
            channel,
            action,
            address = %by.address,
            device = (!by.device.is_empty()).then_some(&*by.device),
            name = (!by.name.is_empty()).then_some(&*by.name),
            rows,
            verdict,
            detail,
            told = format!("{room}: {action} in {channel} from {} · {outcome}", by.text()),
            "action"
        );
    }
}
