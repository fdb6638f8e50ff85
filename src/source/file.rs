//! A watched file: what it holds is what the topic shows.
//!
//! Editors truncate, rename and delete; only a complete file is taken, and what is wrong
//! is said once it has lasted. Meanwhile viewers keep the last good state. What found no
//! room is tried again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::disk::{self, Disk, Fault, Look, Print};
use super::watch::Watch;
use crate::hub::{Hub, WriteError, WriteOptions};
use crate::state::name::TopicName;
use crate::state::session::Session;
use crate::state::topic::Change;

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
                let change = Change::Replace(session.clone());
                let written = hub.write(&topic, change, WriteOptions::default()).await;
                let content = (print, session);
                doubt.written(content, written.map(drop), &path, Instant::now());
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
    /// What was refused for a reason that may pass.
    refused: Option<Refused>,
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

struct Refused {
    /// When it was tried last.
    tried: Instant,
    print: Print,
    session: Session,
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
            Look::Same => {
                // Not at every event: writing to a store beside the file is one too.
                let due = |refused: &mut Refused| now - refused.tried >= POLL;
                if let Some(refused) = self.refused.take_if(due) {
                    return Verdict::Write(refused.print, refused.session);
                }
            }
            Look::Good(print, session) => {
                (self.waiting, self.refused) = (None, None);
                return Verdict::Write(print, session);
            }
            Look::Bad(fault) => {
                self.refused = None;
                self.consider(fault, now);
            }
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

    fn written(
        &mut self,
        (print, session): (Print, Session),
        written: Result<(), WriteError>,
        path: &Path,
        now: Instant,
    ) {
        let path = path.display();
        let fault = match &written {
            // Whatever the content: this is said once for all of them.
            Err(error @ (WriteError::Store(_) | WriteError::Full(_))) => {
                self.refused = Some(Refused {
                    tried: now,
                    print,
                    session,
                });
                disk::print(error.to_string().as_bytes())
            }
            _ => print,
        };
        match written {
            Ok(()) if self.said.take().is_some() => tracing::info!("{path} is good again"),
            Ok(()) | Err(WriteError::Stopping) => {}
            Err(_) if self.said == Some(fault) => {}
            Err(error) => {
                tracing::warn!("{path}: {error}; viewers keep the last good state");
                self.said = Some(fault);
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
    use crate::state::json::Json;
    use crate::state::topic::Refusal;

    fn bad(print: Print, passing: bool) -> Look {
        Look::Bad(Fault {
            print,
            text: format!("fault {print}"),
            passing,
        })
    }

    fn session() -> Session {
        Session::of_data("a", Json::empty_object())
    }

    fn good(print: Print) -> Look {
        Look::Good(print, session())
    }

    /// What depends on the content alone.
    fn never() -> WriteError {
        WriteError::Refused(Refusal::TooLarge(9))
    }

    /// Looks, has what is to be written refused for `error`, and tells whether there was any.
    fn refuse(doubt: &mut Doubt, look: Look, error: &WriteError, now: Instant) -> bool {
        let Verdict::Write(print, session) = doubt.judge(look, now) else {
            return false;
        };
        let path = Path::new("state.json");
        doubt.written((print, session), Err(error.clone()), path, now);
        true
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
        let (mut doubt, now) = (Doubt::default(), Instant::now());
        let path = Path::new("state.json");
        assert!(refuse(&mut doubt, good(1), &never(), now));
        assert_eq!(doubt.said, Some(1));
        doubt.written((2, session()), Ok(()), path, now);
        assert_eq!(doubt.said, None);
    }

    #[test]
    fn what_may_pass_is_tried_again_until_it_is_taken() {
        let path = Path::new("state.json");
        for error in [
            WriteError::Store("disk full".to_owned()),
            WriteError::Full(1),
        ] {
            let (mut doubt, start) = (Doubt::default(), Instant::now());
            assert!(refuse(&mut doubt, good(1), &error, start));
            let once = doubt.said;
            assert!(once.is_some());
            for look in 1..5 {
                let now = start + doubt.pause(start) * look;
                assert!(refuse(&mut doubt, Look::Same, &error, now), "{look}");
                assert_eq!(doubt.said, once, "and not said again");
                let early = now + POLL - ms(1);
                assert_eq!(doubt.judge(Look::Same, early), Verdict::Nothing);
            }
            let last = start + POLL * 5;
            let again = doubt.judge(Look::Same, last);
            assert_eq!(again, Verdict::Write(1, session()));
            doubt.written((1, session()), Ok(()), path, last);
            assert_eq!(doubt.said, None, "good again");
            assert_eq!(doubt.judge(Look::Same, last + POLL), Verdict::Nothing);
        }
    }

    #[test]
    fn what_the_content_is_refused_for_is_not_tried_again() {
        let (mut doubt, start) = (Doubt::default(), Instant::now());
        assert!(refuse(&mut doubt, good(1), &never(), start));
        assert_eq!(doubt.judge(Look::Same, start + POLL), Verdict::Nothing);
    }

    #[test]
    fn a_changed_file_goes_before_what_was_refused() {
        let full = WriteError::Full(1);
        let (mut doubt, start) = (Doubt::default(), Instant::now());
        assert!(refuse(&mut doubt, good(1), &full, start));
        let once = doubt.said;
        assert!(refuse(&mut doubt, good(2), &full, start + ms(5)));
        assert_eq!(doubt.said, once, "one fault, whatever the content");
        let now = start + ms(5) + POLL;
        assert_eq!(doubt.judge(Look::Same, now), Verdict::Write(2, session()));

        assert!(refuse(&mut doubt, good(3), &full, now));
        assert_eq!(doubt.judge(bad(4, false), now + ms(5)), said(4));
        assert_eq!(doubt.judge(Look::Same, now + POLL * 2), Verdict::Nothing);
    }
}
