//! What a channel is declared to be: its columns, who decides on actions, and who may ask for them.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::state::fields::Field;
use crate::state::json::Kind;

/// The last members of every row, which are the daemon's.
pub const TIMES: [&str; 3] = ["created_at", "updated_at", "deleted_at"];

/// The columns of a channel's rows, `id` first.
pub type Columns = IndexMap<String, Field>;

/// A channel as it is declared.
#[derive(Clone, Debug)]
pub struct Channel {
    /// What its rows hold.
    pub columns: Columns,
    /// Who decides what an action does.
    pub actions: Actions,
    /// Who may ask for one.
    pub writers: Writers,
    /// Whether the room's topic shows it.
    pub show: bool,
}

/// Who decides what an action does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Actions {
    /// The daemon: create, update, delete, delete-all.
    #[default]
    Rows,
    /// The room's host.
    Host,
    /// Nobody: only the host writes.
    None,
}

/// Who may ask for an action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Writers {
    /// Who shows the host token.
    #[default]
    Host,
    /// Whoever may watch.
    Viewers,
}

impl Channel {
    /// A channel of these columns, with everything else as it is by default.
    ///
    /// # Errors
    /// Says which column is in the way.
    pub fn new(columns: Columns) -> Result<Channel, String> {
        let channel = Channel {
            columns,
            actions: Actions::default(),
            writers: Writers::default(),
            show: false,
        };
        channel.check().map(|()| channel)
    }

    /// Whether rows can be made of its columns; says which one is in the way.
    pub(crate) fn check(&self) -> Result<(), String> {
        let first = self.columns.first();
        let first = first.map(|(name, field)| (name.as_str(), field.kind));
        if !matches!(first, Some(("id", Kind::String | Kind::Number))) {
            return Err("the first column has to be id, a string or a number".to_owned());
        }
        for (name, column) in &self.columns {
            if TIMES.contains(&name.as_str()) {
                return Err(format!("{name} is in every row already: leave it out"));
            }
            column
                .check()
                .map_err(|reason| format!("{name}: {reason}"))?;
        }
        Ok(())
    }

    /// The names of all members of a row.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.keys().map(String::as_str).chain(TIMES)
    }
}

/// A map's own equality leaves out the order, which is that of a row's members.
impl PartialEq for Channel {
    fn eq(&self, other: &Channel) -> bool {
        self.columns.as_slice() == other.columns.as_slice()
            && (self.actions, self.writers, self.show) == (other.actions, other.writers, other.show)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[(&str, Kind)]) -> Columns {
        let column = |(name, kind): &(&str, Kind)| (name.to_string(), Field::of(*kind));
        names.iter().map(column).collect()
    }

    #[test]
    fn what_is_no_row_is_named() {
        let wrong = |names: &[(&str, Kind)]| Channel::new(columns(names)).unwrap_err();
        let (id, text) = (("id", Kind::String), ("text", Kind::String));
        let first = "the first column has to be id, a string or a number";
        for names in [&[][..], &[text, id], &[("id", Kind::Boolean), text]] {
            assert_eq!(wrong(names), first);
        }
        assert_eq!(
            wrong(&[id, ("deleted_at", Kind::Number)]),
            "deleted_at is in every row already: leave it out"
        );
        assert_eq!(
            wrong(&[id, ("text", Kind::Null)]),
            "text: null fits no type"
        );
        let channel = Channel::new(columns(&[id, text])).unwrap();
        let names: Vec<&str> = channel.names().collect();
        assert_eq!(
            names,
            ["id", "text", "created_at", "updated_at", "deleted_at"]
        );
    }

    #[test]
    fn the_order_of_the_columns_is_part_of_a_channel() {
        let of = |names: [&str; 3]| Channel::new(columns(&names.map(|name| (name, Kind::String))));
        let channel = of(["id", "a", "b"]).unwrap();
        assert_eq!(channel, of(["id", "a", "b"]).unwrap());
        assert_ne!(channel, of(["id", "b", "a"]).unwrap());
    }
}
