//! A watched file: what it holds is what the topic shows.
//!
//! Editors truncate, rename and delete; only a complete file is taken, and what is wrong
//! is said once it has lasted. Meanwhile viewers keep the last good state.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::disk::{Disk, Fault, Look, Print};
use super::watch::Watch;
use crate::hub::{Hub, WriteError, WriteOptions};
use crate::name::TopicName;
use crate::session::Session;
use crate::topic::Change;

/// Network and bind mounts send no events.
const POLL: Duration = Duration::from_secs(2);
/// An event seldom comes alone.
const GATHER: Duration = Duration::from_millis(5);
/// A half-written file is read again this soon, then ever less often.
const SOONEST: Duration = Duration::from_millis(20);
const LATEST: Duration = Duration::from_millis(200);
/// One content that stays unreadable this long is not being written.
const PATIENCE: Duration = Duration::from_millis(500);
/// Nor is a file that was never readable for so long, whatever it held.
const LIMIT: Duration = Duration::from_secs(5);

/// Shows `path` as `topic` until `stop`. The session is called as the file is, without
/// its extension, unless it says otherwise.
pub async fn run(path: PathBuf, hub: Hub, topic: TopicName, stop: CancellationToken) {
    let _source = hub.attach(&topic);
    let wake = Arc::new(Notify::new());
    let mut eyes = Eyes {
        disk: Disk::new(&path, hub.limits().session),
        watch: Watch::new(wake.clone()),
        path: path.clone(),
    };
    let mut doubt = Doubt::default();
    loop {
        let looked = tokio::select! {
            () = stop.cancelled() => return,
            looked = eyes.look() => looked,
        };
        let Some((back, look)) = looked else { return };
        eyes = back;
        match doubt.judge(look, Instant::now()) {
            Verdict::Write(print, session) => {
                let written = hub.write(&topic, Change::Replace(session), WriteOptions::default());
                doubt.written(print, written.await.map(drop), &path);
            }
            Verdict::Say(text) => tracing::warn!("{text}; viewers keep the last good state"),
            Verdict::Nothing => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(doubt.pause(Instant::now())) => {}
            () = wake.notified() => sleep(GATHER).await,
        }
    }
}

struct Eyes {
    disk: Disk,
    watch: Watch,
    path: PathBuf,
}

impl Eyes {
    /// Looks off the async threads. Watching comes first, so that nothing changes unseen
    /// between the look and the wait.
    async fn look(mut self) -> Option<(Eyes, Look)> {
        let look = tokio::task::spawn_blocking(move || {
            self.watch.follow(&self.path);
            let look = self.disk.look();
            (self, look)
        });
        look.await.ok()
    }
}

/// What is wrong with the file, or may be.
#[derive(Default)]
struct Doubt {
    /// A fault that may pass.
    waiting: Option<Waiting>,
    /// The last fault that was said, until the file is good.
    said: Option<Print>,
}

struct Waiting {
    /// Since when there is nothing to show.
    began: Instant,
    /// Since when for this reason.
    since: Instant,
    fault: Fault,
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Write(Print, Session),
    Say(String),
    Nothing,
}

impl Doubt {
    fn judge(&mut self, look: Look, now: Instant) -> Verdict {
        match look {
            Look::Same => {}
            Look::Good(print, session) => {
                self.waiting = None;
                return Verdict::Write(print, session);
            }
            Look::Bad(fault) => self.consider(fault, now),
        }
        self.speak(now)
    }

    fn consider(&mut self, fault: Fault, now: Instant) {
        let before = self.waiting.take();
        if self.said == Some(fault.print) {
            return;
        }
        let began = before.as_ref().map_or(now, |before| before.began);
        let same = before.filter(|before| before.fault.print == fault.print);
        let since = same.map_or(now, |same| same.since);
        self.waiting = Some(Waiting {
            began,
            since,
            fault,
        });
    }

    /// Says a fault that has lasted, once.
    fn speak(&mut self, now: Instant) -> Verdict {
        let lasted = |waiting: &mut Waiting| {
            !waiting.fault.passing
                || now - waiting.since >= PATIENCE
                || now - waiting.began >= LIMIT
        };
        match self.waiting.take_if(lasted) {
            Some(Waiting { fault, .. }) => {
                self.said = Some(fault.print);
                Verdict::Say(fault.text)
            }
            None => Verdict::Nothing,
        }
    }

    fn written(&mut self, print: Print, written: Result<(), WriteError>, path: &Path) {
        let path = path.display();
        match written {
            Ok(()) if self.said.take().is_some() => tracing::info!("{path} is good again"),
            Ok(()) | Err(WriteError::Stopping) => {}
            Err(_) if self.said == Some(print) => {}
            Err(error) => {
                tracing::warn!("{path}: {error}; viewers keep the last good state");
                self.said = Some(print);
            }
        }
    }

    /// How long to wait for an event before looking again.
    fn pause(&self, now: Instant) -> Duration {
        let doubled = |waiting: &Waiting| (now - waiting.since).clamp(SOONEST, LATEST);
        self.waiting.as_ref().map_or(POLL, doubled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;

    fn bad(print: Print, passing: bool) -> Look {
        Look::Bad(Fault {
            print,
            text: format!("fault {print}"),
            passing,
        })
    }

    fn good(print: Print) -> Look {
        Look::Good(print, Session::of_data("a", Json::empty_object()))
    }

    fn said(print: Print) -> Verdict {
        Verdict::Say(format!("fault {print}"))
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_half_written_file_is_read_again_ever_less_often() {
        let (mut doubt, start) = (Doubt::default(), Instant::now());
        let mut pauses = Vec::new();
        let mut now = start;
        while doubt.judge(bad(1, true), now) == Verdict::Nothing {
            pauses.push(doubt.pause(now).as_millis());
            now += doubt.pause(now);
        }
        assert_eq!(pauses, [20, 20, 40, 80, 160, 200]);
        assert_eq!(doubt.pause(now), POLL);
    }

    #[test]
    fn one_content_is_said_once() {
        let (mut doubt, start) = (Doubt::default(), Instant::now());
        assert_eq!(doubt.judge(bad(1, true), start), Verdict::Nothing);
        assert_eq!(doubt.judge(Look::Same, start + ms(499)), Verdict::Nothing);
        assert_eq!(doubt.judge(Look::Same, start + ms(500)), said(1));
        assert_eq!(doubt.judge(Look::Same, start + ms(5000)), Verdict::Nothing);
        // Saved again: truncated first, then the same text.
        assert_eq!(
            doubt.judge(bad(2, true), start + ms(6000)),
            Verdict::Nothing
        );
        assert_eq!(
            doubt.judge(bad(1, true), start + ms(6010)),
            Verdict::Nothing
        );
        assert_eq!(doubt.judge(bad(3, false), start + ms(6020)), said(3));
    }

    #[test]
    fn a_writer_at_work_is_waited_for_but_not_for_ever() {
        let (mut doubt, start) = (Doubt::default(), Instant::now());
        for step in 0..50 {
            let now = start + ms(100) * step;
            assert_eq!(
                doubt.judge(bad(u64::from(step), true), now),
                Verdict::Nothing
            );
        }
        assert_eq!(doubt.judge(bad(50, true), start + LIMIT), said(50));
    }

    #[test]
    fn a_good_file_ends_the_doubt() {
        let (mut doubt, start) = (Doubt::default(), Instant::now());
        assert_eq!(doubt.judge(bad(1, true), start), Verdict::Nothing);
        assert!(matches!(
            doubt.judge(good(2), start + ms(20)),
            Verdict::Write(2, _)
        ));
        assert_eq!(doubt.judge(Look::Same, start + ms(5000)), Verdict::Nothing);
    }

    #[test]
    fn a_refusal_is_said_until_it_is_taken() {
        let mut doubt = Doubt::default();
        let path = Path::new("state.json");
        doubt.written(1, Err(WriteError::NoTopic("a".to_owned())), path);
        assert_eq!(doubt.said, Some(1));
        doubt.written(2, Ok(()), path);
        assert_eq!(doubt.said, None);
    }
}
