//! Where the commands' futures run.

use tokio::runtime::Builder;

use super::failure::Failure;

/// Runs one command's future to its end; whatever still blocks then (stdin) is left behind.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = match cores {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(cores).enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::new(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}
