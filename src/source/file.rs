//! A watched file: the topic shows what it holds.
//!
//! Editors truncate, rename and delete; only a complete file is taken, and what is wrong
//! is reported once it has lasted. Meanwhile viewers keep the last good state, if there was one.
//! What found no room is tried again.
//!
//! The file is looked at every 100 ms; nothing is watched. That takes 115 ms of a core in a
//! minute for one file and 276 ms for ten (22 ms and 35 ms with the system's events), wakes the
//! process 49 times a second (6), and shows a save after 60 ms at the median (7), which is little
//! beside a debounce of 250 ms. In return a save on a network drive, a bind mount or in a
//! container is seen as soon as any other instead of after 2 s, no limit of watches is run into,
//! and 200 lines are gone that followed links and replaced directories to know what to watch.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::disk::{self, Disk, Fault, Fingerprint, Look};
use crate::hub::{Hub, WriteError, WriteOptions};
use crate::state::name::TopicName;
use crate::state::session::Session;
use crate::state::topic::Change;

/// From one look at the file to the next.
const PAUSE: Duration = Duration::from_millis(100);
/// What found no room is tried again this often.
const RETRY: Duration = Duration::from_secs(2);
/// Content that stays unreadable this long is not being written.
const PATIENCE: Duration = Duration::from_millis(500);
/// Nor is a file that was never readable for so long, whatever it held.
const LIMIT: Duration = Duration::from_secs(5);

/// Shows `path` as `topic` until `stop`. The session is called as the file is, without
/// its extension, unless it says otherwise.
pub async fn run(path: PathBuf, hub: Hub, topic: TopicName, stop: CancellationToken) {
    let _source = hub.attach(&topic);
    let mut from = writer(&path);
    let mut disk = Disk::new(&path, hub.limits().session);
    let mut doubt = Doubt::default();
    let mut is_first = true;
    loop {
        // On a thread of its own: a network drive may take its time.
        let look = tokio::task::spawn_blocking(move || {
            let look = disk.look();
            (disk, look)
        });
        let looked = tokio::select! {
            () = stop.cancelled() => return,
            looked = look => looked,
        };
        let Ok((back, look)) = looked else { return };
        disk = back;
        if is_first {
            (from.age, is_first) = (disk.age(), false);
        }
        match doubt.judge(look, Instant::now()) {
            Verdict::Write(fingerprint, session) => {
                let change = Change::Replace(session.clone());
                let written = hub.write(&topic, change, from.clone()).await;
                from.age = Duration::ZERO;
                let content = (fingerprint, session);
                let refused = doubt.written(content, written.map(drop), &path, Instant::now());
                if let Some(text) = refused {
                    report(&text, &hub, &topic);
                }
            }
            Verdict::Report(text) => {
                hub.refused(&topic, &from, rule(&text, &path));
                report(&text, &hub, &topic);
            }
            Verdict::Nothing => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(PAUSE) => {}
        }
    }
}

/// The file as a writer, under its name.
fn writer(path: &Path) -> WriteOptions {
    WriteOptions {
        source: path.file_name().map(|name| name.to_string_lossy().into()),
        ..WriteOptions::default()
    }
}

/// What is wrong with the file, without its path.
fn rule<'a>(text: &'a str, path: &Path) -> &'a str {
    let path = path.to_string_lossy();
    let rest = text.strip_prefix(&*path).unwrap_or(text);
    rest.trim_start_matches(':').trim_start()
}

/// Says what is wrong, and what is shown meanwhile.
fn report(text: &str, hub: &Hub, topic: &TopicName) {
    let shown = hub.topic(topic).and_then(|entry| entry.session());
    match shown {
        Some(_) => tracing::warn!("{text}; viewers keep the last good state"),
        None => tracing::warn!("{text}; viewers see nothing yet"),
    }
}

/// What is wrong with the file, or may be wrong.
#[derive(Default)]
struct Doubt {
    /// A fault that may pass.
    waiting: Option<Waiting>,
    /// What was refused for a reason that may go away.
    refused: Option<Refused>,
    /// The fault that was reported last, until the file is good.
    reported: Option<Fingerprint>,
}

struct Waiting {
    /// When there began to be nothing to show.
    began: Instant,
    /// When that began to be for this reason.
    since: Instant,
    fault: Fault,
}

struct Refused {
    /// When it was tried last.
    tried: Instant,
    fingerprint: Fingerprint,
    session: Session,
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Write(Fingerprint, Session),
    Report(String),
    Nothing,
}

impl Doubt {
    fn judge(&mut self, look: Look, now: Instant) -> Verdict {
        match look {
            Look::Same => {
                let due = |refused: &mut Refused| now - refused.tried >= RETRY;
                if let Some(refused) = self.refused.take_if(due) {
                    return Verdict::Write(refused.fingerprint, refused.session);
                }
            }
            Look::Good(fingerprint, session) => {
                (self.waiting, self.refused) = (None, None);
                return Verdict::Write(fingerprint, session);
            }
            Look::Bad(fault) => {
                self.refused = None;
                self.consider(fault, now);
            }
        }
        self.report(now)
    }

    fn consider(&mut self, fault: Fault, now: Instant) {
        let before = self.waiting.take();
        if self.reported == Some(fault.fingerprint) {
            return;
        }
        let began = before.as_ref().map_or(now, |before| before.began);
        let same = before.filter(|before| before.fault.fingerprint == fault.fingerprint);
        let since = same.map_or(now, |same| same.since);
        self.waiting = Some(Waiting {
            began,
            since,
            fault,
        });
    }

    /// Reports a fault that has lasted, once.
    fn report(&mut self, now: Instant) -> Verdict {
        let lasted = |waiting: &mut Waiting| {
            !waiting.fault.passing
                || now - waiting.since >= PATIENCE
                || now - waiting.began >= LIMIT
        };
        match self.waiting.take_if(lasted) {
            Some(Waiting { fault, .. }) => {
                self.reported = Some(fault.fingerprint);
                Verdict::Report(fault.text)
            }
            None => Verdict::Nothing,
        }
    }

    /// Learns what became of a session; tells what it was refused for, if that is news.
    fn written(
        &mut self,
        (fingerprint, session): (Fingerprint, Session),
        written: Result<(), WriteError>,
        path: &Path,
        now: Instant,
    ) -> Option<String> {
        let path = path.display();
        let fault = match &written {
            // Reported once, whatever the content.
            Err(error) if error.may_pass() => {
                self.refused = Some(Refused {
                    tried: now,
                    fingerprint,
                    session,
                });
                disk::fingerprint(error.to_string().as_bytes())
            }
            _ => fingerprint,
        };
        match written {
            Ok(()) if self.reported.take().is_some() => tracing::info!("{path} is good now"),
            Ok(()) | Err(WriteError::Stopping) => {}
            Err(_) if self.reported == Some(fault) => {}
            Err(error) => {
                self.reported = Some(fault);
                return Some(format!("{path}: {error}"));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::json::Json;
    use crate::state::topic::Refusal;

    fn bad(fingerprint: Fingerprint, passing: bool) -> Look {
        Look::Bad(Fault {
            fingerprint,
            text: format!("fault {fingerprint}"),
            passing,
        })
    }

    fn session() -> Session {
        Session::of_data("a", Json::empty_object())
    }

    fn good(fingerprint: Fingerprint) -> Look {
        Look::Good(fingerprint, session())
    }

    /// A refusal that depends on the content alone.
    fn never() -> WriteError {
        WriteError::Refused(Refusal::TooLarge(9))
    }

    /// Has what a look wants to write refused with `error`; tells whether there was anything.
    fn refuse(doubt: &mut Doubt, look: Look, error: &WriteError, now: Instant) -> bool {
        let Verdict::Write(fingerprint, session) = doubt.judge(look, now) else {
            return false;
        };
        let path = Path::new("state.json");
        doubt.written((fingerprint, session), Err(error.clone()), path, now);
        true
    }

    fn reported(fingerprint: Fingerprint) -> Verdict {
        Verdict::Report(format!("fault {fingerprint}"))
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn one_content_is_reported_once() {
        let (mut doubt, start) = (Doubt::default(), Instant::now());
        assert_eq!(doubt.judge(bad(1, true), start), Verdict::Nothing);
        assert_eq!(doubt.judge(Look::Same, start + ms(499)), Verdict::Nothing);
        assert_eq!(doubt.judge(Look::Same, start + ms(500)), reported(1));
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
        assert_eq!(doubt.judge(bad(3, false), start + ms(6020)), reported(3));
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
        assert_eq!(doubt.judge(bad(50, true), start + LIMIT), reported(50));
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
    fn a_refusal_is_reported_until_it_is_taken() {
        let (mut doubt, now) = (Doubt::default(), Instant::now());
        let path = Path::new("state.json");
        assert!(refuse(&mut doubt, good(1), &never(), now));
        assert_eq!(doubt.reported, Some(1));
        doubt.written((2, session()), Ok(()), path, now);
        assert_eq!(doubt.reported, None);
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
            let once = doubt.reported;
            assert!(once.is_some());
            for look in 1..5 {
                let now = start + RETRY * look;
                assert!(refuse(&mut doubt, Look::Same, &error, now), "{look}");
                assert_eq!(doubt.reported, once, "and not reported again");
                let early = now + RETRY - ms(1);
                assert_eq!(doubt.judge(Look::Same, early), Verdict::Nothing);
            }
            let last = start + RETRY * 5;
            let again = doubt.judge(Look::Same, last);
            assert_eq!(again, Verdict::Write(1, session()));
            doubt.written((1, session()), Ok(()), path, last);
            assert_eq!(doubt.reported, None, "good now");
            assert_eq!(doubt.judge(Look::Same, last + RETRY), Verdict::Nothing);
        }
    }

    #[test]
    fn what_the_content_is_refused_for_is_not_tried_again() {
        let (mut doubt, start) = (Doubt::default(), Instant::now());
        assert!(refuse(&mut doubt, good(1), &never(), start));
        assert_eq!(doubt.judge(Look::Same, start + RETRY), Verdict::Nothing);
    }

    #[test]
    fn a_changed_file_goes_before_what_was_refused() {
        let full = WriteError::Full(1);
        let (mut doubt, start) = (Doubt::default(), Instant::now());
        assert!(refuse(&mut doubt, good(1), &full, start));
        let once = doubt.reported;
        assert!(refuse(&mut doubt, good(2), &full, start + ms(5)));
        assert_eq!(doubt.reported, once, "one fault, whatever the content");
        let now = start + ms(5) + RETRY;
        assert_eq!(doubt.judge(Look::Same, now), Verdict::Write(2, session()));

        assert!(refuse(&mut doubt, good(3), &full, now));
        assert_eq!(doubt.judge(bad(4, false), now + ms(5)), reported(4));
        assert_eq!(doubt.judge(Look::Same, now + RETRY * 2), Verdict::Nothing);
    }
}
