//! The devices that watch, as a list in which one can be selected.

use super::keys::Step;
use super::{Paint, fit, neutral};
use crate::viewer::ViewerInfo;

const HINT: &str = "↑ ↓ select   x sends the device away   d closes the list";

/// What is selected: the viewer, and where it was in the list, for when it has gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selected {
    id: u64,
    at: usize,
}

impl Selected {
    /// The same viewer, or whoever is in its place now. None in an empty list.
    pub fn settle(self, viewers: &[ViewerInfo]) -> Option<Selected> {
        let found = viewers.iter().position(|viewer| viewer.id == self.id);
        let at = found.unwrap_or(self.at).min(viewers.len().checked_sub(1)?);
        Selected::at(viewers, at)
    }

    /// The one above or below, as far as there is one.
    pub fn step(self, viewers: &[ViewerInfo], step: Step) -> Option<Selected> {
        let here = self.settle(viewers)?;
        let at = match step {
            Step::Up => here.at.saturating_sub(1),
            Step::Down => here.at + 1,
        };
        Selected::at(viewers, at).or(Some(here))
    }

    fn at(viewers: &[ViewerInfo], at: usize) -> Option<Selected> {
        let id = viewers.get(at)?.id;
        Some(Selected { id, at })
    }

    /// Who is selected.
    pub fn viewer(self, viewers: &[ViewerInfo]) -> Option<&ViewerInfo> {
        viewers.iter().find(|viewer| viewer.id == self.id)
    }
}

/// The list, in at most so many rows; around what is selected, where it is longer.
pub fn lines(
    viewers: &[ViewerInfo],
    selected: Selected,
    (columns, rows): (usize, usize),
    paint: Paint,
) -> Vec<String> {
    let columns = columns.saturating_sub(1);
    let note = |text: &str| paint.dim(&format!("  {}", fit::cut(text, columns.saturating_sub(2))));
    if viewers.is_empty() {
        return vec![note("no devices yet: scan the code, or open the link")];
    }
    let room = rows.saturating_sub(2).clamp(1, viewers.len());
    let here = selected.settle(viewers).map_or(0, |selected| selected.at);
    let first = here.saturating_sub(room / 2).min(viewers.len() - room);
    let shown = &viewers[first..first + room];
    let widths = Widths::of(shown);
    let row = |(at, viewer): (usize, &ViewerInfo)| {
        let mark = if first + at == here { "▸" } else { " " };
        let text = fit::cut(&format!("{mark} {}", widths.row(viewer)), columns);
        match first + at == here {
            true => paint.bold(&text),
            false => text,
        }
    };
    let mut out: Vec<String> = shown.iter().enumerate().map(row).collect();
    let others = viewers.len() - room;
    if others > 0 {
        out.push(note(&format!("… and {others} more")));
    }
    out.push(note(HINT));
    out
}

/// How wide the columns are.
struct Widths {
    device: usize,
    place: usize,
    address: usize,
}

impl Widths {
    fn of(viewers: &[ViewerInfo]) -> Widths {
        let widest = |part: fn(&ViewerInfo) -> &str| {
            let widths = viewers
                .iter()
                .map(|viewer| fit::width(&neutral(part(viewer))));
            widths.max().unwrap_or(0).min(32)
        };
        Widths {
            device: widest(|viewer| &viewer.device),
            place: widest(place),
            address: widest(|viewer| &viewer.address),
        }
    }

    /// Name and lag first: they stay where the terminal is narrow.
    fn row(&self, viewer: &ViewerInfo) -> String {
        let column = |text: &str, width| fit::column(&neutral(text), width);
        format!(
            "{}  {}  {}  {}",
            column(&viewer.device, self.device),
            fit::column(&lag(viewer), 13),
            column(place(viewer), self.place),
            column(&viewer.address, self.address).trim_end(),
        )
    }
}

/// The room that it is in, or the topic that it watches.
fn place(viewer: &ViewerInfo) -> &str {
    viewer.room.as_deref().unwrap_or(&viewer.topic)
}

/// `up to date`, `340 ms behind`, `3 s behind`.
fn lag(viewer: &ViewerInfo) -> String {
    match viewer.behind_ms {
        0 => "up to date".to_owned(),
        ms @ 1..1_000 => format!("{ms} ms behind"),
        ms @ 1_000..120_000 => format!("{} s behind", ms / 1_000),
        ms => format!("{} min behind", ms / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewer(id: u64, device: &str, behind_ms: u64) -> ViewerInfo {
        ViewerInfo {
            room: None,
            id,
            topic: "main".to_owned(),
            device: device.to_owned(),
            address: "192.168.1.7".to_owned(),
            connected_ms: 0,
            revision: None,
            current: true,
            bytes: 0,
            behind_ms,
        }
    }

    fn room(count: u64) -> Vec<ViewerInfo> {
        (1..=count).map(|id| viewer(id, "wscat", 0)).collect()
    }

    fn shown(viewers: &[ViewerInfo], selected: Selected, size: (usize, usize)) -> Vec<String> {
        lines(viewers, selected, size, Paint { on: false })
    }

    #[test]
    fn each_device_has_its_lag() {
        let viewers = [
            viewer(1, "iPhone · Safari", 0),
            viewer(2, "ws\x1bcat", 3_400),
        ];
        let lines = shown(&viewers, Selected::default(), (80, 10));
        assert_eq!(
            lines[..2],
            [
                "▸ iPhone · Safari  up to date     main  192.168.1.7",
                "  ws␛cat           3 s behind     main  192.168.1.7",
            ]
        );
        assert!(lines[2].contains("x sends"));
        assert_eq!(lag(&viewer(1, "", 340)), "340 ms behind");
        assert_eq!(lag(&viewer(1, "", 240_000)), "4 min behind");
    }

    #[test]
    fn a_person_is_in_its_room() {
        let person = ViewerInfo {
            room: Some("main/lobby".to_owned()),
            topic: "main.lobby".to_owned(),
            ..viewer(1, "iPad", 0)
        };
        let lines = shown(
            &[person, viewer(2, "wscat", 0)],
            Selected::default(),
            (80, 10),
        );
        assert_eq!(lines[0], "▸ iPad   up to date     main/lobby  192.168.1.7");
    }

    #[test]
    fn a_long_list_shows_where_the_selected_one_is() {
        let viewers = room(50);
        for (id, at) in [(1, 0), (25, 24), (50, 49)] {
            let lines = shown(&viewers, Selected { id, at }, (20, 8));
            assert_eq!(lines.len(), 8);
            assert!(lines.iter().any(|line| line.starts_with('▸')));
            assert!(lines[6].ends_with("… and 44 more"));
            assert!(lines.iter().all(|line| fit::width(line) < 20));
        }
        assert_eq!(shown(&viewers, Selected::default(), (1, 0)).len(), 3);
        assert_eq!(shown(&[], Selected::default(), (80, 8)).len(), 1);
    }

    #[test]
    fn the_selection_follows_its_viewer_and_survives_it() {
        let mut viewers = room(3);
        let second = Selected::default().step(&viewers, Step::Down).unwrap();
        assert_eq!(second.viewer(&viewers).unwrap().id, 2);
        viewers.remove(0);
        assert_eq!(second.settle(&viewers), Some(Selected { id: 2, at: 0 }));
        let last = second.step(&viewers, Step::Down).unwrap();
        assert_eq!(last.step(&viewers, Step::Down), Some(last));
        viewers.truncate(1);
        assert_eq!(last.settle(&viewers).unwrap().id, 2);
        assert_eq!(last.settle(&[]), None);
        assert_eq!(Selected::default().step(&viewers, Step::Up).unwrap().id, 2);
    }
}
