//! Encodes large frames for viewers that a flush did not bring up to date: newcomers, and those
//! that have fallen behind.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::task::TaskTracker;

use crate::wire::frame::{Encoding, Frame};

/// Encodes each frame once, on a blocking thread, however many viewers wait for it.
#[derive(Clone)]
pub struct Encoder {
    tasks: TaskTracker,
    jobs: Arc<Mutex<Vec<Job>>>,
}

type Then = Box<dyn FnOnce() + Send>;

/// A frame that is being encoded.
struct Job {
    frame: Arc<Frame>,
    encoding: Encoding,
    waiting: Vec<Then>,
}

impl Encoder {
    /// An encoder whose threads `tasks` waits for.
    pub fn new(tasks: &TaskTracker) -> Encoder {
        let (tasks, jobs) = (tasks.clone(), Arc::default());
        Encoder { tasks, jobs }
    }

    /// Encodes a frame, and then calls `then` on the thread that did it.
    pub fn encode(
        &self,
        frame: &Arc<Frame>,
        encoding: Encoding,
        then: impl FnOnce() + Send + 'static,
    ) {
        if !self.add(frame, encoding, Box::new(then)) {
            return;
        }
        let (encoder, frame) = (self.clone(), frame.clone());
        self.tasks.spawn_blocking(move || {
            frame.bytes(encoding);
            let waiting = encoder.take(&frame, encoding);
            waiting.into_iter().for_each(|then| then());
        });
    }

    /// Whether nobody has waited for it before.
    fn add(&self, frame: &Arc<Frame>, encoding: Encoding, then: Then) -> bool {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(job) = jobs.iter_mut().find(|job| job.is(frame, encoding)) {
            job.waiting.push(then);
            return false;
        }
        jobs.push(Job {
            frame: frame.clone(),
            encoding,
            waiting: vec![then],
        });
        true
    }

    fn take(&self, frame: &Arc<Frame>, encoding: Encoding) -> Vec<Then> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let job = jobs.iter().position(|job| job.is(frame, encoding));
        job.map_or_else(Vec::new, |at| jobs.swap_remove(at).waiting)
    }
}

impl Job {
    fn is(&self, frame: &Arc<Frame>, encoding: Encoding) -> bool {
        Arc::ptr_eq(&self.frame, frame) && self.encoding == encoding
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_frame_is_encoded_once_however_many_wait() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .expect("a runtime");
        let _inside = runtime.enter();
        // The only thread is busy until everybody waits.
        let (go, wait) = channel::<()>();
        let busy = runtime.spawn_blocking(move || wait.recv());
        let tasks = TaskTracker::new();
        let encoder = Encoder::new(&tasks);
        let (plain, deflate) = (Encoding::ALL[0], Encoding::ALL[2]);
        let frame = Arc::new(Frame::json("[1]".into()));
        let (done, told) = channel();
        for encoding in [plain, deflate, deflate, plain, deflate] {
            let (made, done) = (frame.clone(), done.clone());
            encoder.encode(&frame, encoding, move || {
                done.send(made.is_encoded(encoding)).expect("it is open");
            });
        }
        assert_eq!(tasks.len(), 2, "one for each encoding");
        go.send(()).expect("it waits");
        tasks.close();
        runtime.block_on(tasks.wait());
        drop(busy);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [true; 5]);
        assert!(encoder.jobs.lock().expect("no panic").is_empty());
    }
}
