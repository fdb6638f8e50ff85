//! Encodes large frames for viewers that a flush did not bring up to date: newcomers, and those
//! that have fallen behind.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::task::TaskTracker;

use crate::wire::frame::{Encoding, Frame};

/// Encodes each frame once, on a blocking thread, however many viewers wait for it.
#[derive(Clone)]
pub struct Encoder {
    tasks: TaskTracker,
    jobs: Arc<Mutex<Jobs>>,
}

/// Who waits for which frame, by its address, in which encoding. The thread that encodes a frame
/// keeps it, and so its address, until it has taken them from here.
type Jobs = HashMap<(usize, Encoding), Vec<Then>>;
type Then = Box<dyn FnOnce() + Send>;

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
        let job = (Arc::as_ptr(frame).addr(), encoding);
        let mut jobs = self.jobs();
        let waiting = jobs.entry(job).or_default();
        waiting.push(Box::new(then));
        if waiting.len() == 1 {
            let (encoder, frame) = (self.clone(), frame.clone());
            self.tasks.spawn_blocking(move || {
                frame.bytes(encoding);
                let waiting = encoder.jobs().remove(&job).unwrap_or_default();
                waiting.into_iter().for_each(|then| then());
            });
        }
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
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
