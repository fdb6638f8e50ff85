//! A server at a port that is free.

use tokio::sync::mpsc;

use crate::http::Reported;
use crate::options::Options;
use crate::server::{Server, StartError};

/// Starts a server at its port or, while that is in use, at one of so many after it; `reports` gets
/// what phones find out at `/check`.
///
/// # Errors
/// Names the last port that was tried, if all are in use.
pub async fn start(
    options: &Options,
    others: u16,
    reports: Option<mpsc::Sender<Reported>>,
) -> Result<Server, StartError> {
    let last = options.port.saturating_add(others);
    let mut options = options.clone();
    loop {
        match Server::start_for(options.clone(), reports.clone()).await {
            Err(StartError::AddressInUse { .. }) if options.port < last => options.port += 1,
            started => return started,
        }
    }
}
