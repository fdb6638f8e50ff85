//! The configuration of a running daemon, which is read again on request.

use std::path::PathBuf;

use super::failure::Failure;
use super::refusal;
use super::written::Written;
use crate::access;
use crate::options::Options;
use crate::program::config::file::File;
use crate::program::config::keys::{KEYS, Key};
use crate::program::config::{Loaded, ViewerToken, find_file};
use crate::server::{Reloaded, Server};

/// What the command line and its file say: at the start, and now.
pub struct Configuration {
    written: Written,
    /// What the command makes of it.
    adapt: fn(&mut Loaded),
    /// What was in effect at the start; what needs a restart still is.
    begun: Loaded,
    /// What is in effect.
    pub now: Loaded,
}

impl Configuration {
    /// As the daemon starts.
    pub fn load(written: Written, adapt: fn(&mut Loaded)) -> Result<Configuration, Failure> {
        let mut begun = written.load()?;
        adapt(&mut begun);
        settle(&mut begun, None)?;
        Ok(Configuration {
            written,
            adapt,
            now: begun.clone(),
            begun,
        })
    }

    /// What the server is told.
    pub fn options(&self) -> &Options {
        &self.now.settings.options
    }

    /// Reads it again and takes over what a running server can. Returns what came of it, also in
    /// words.
    pub async fn reload(&mut self, server: &Server) -> Result<(Reloaded, String), Failure> {
        let next = self.again().await?;
        let reloaded = server.reload(&next.settings.options).await;
        let reloaded = reloaded.map_err(|error| refusal::failure(&error))?;
        let news = self.news(&next, reloaded.certificate);
        self.now = next;
        Ok((reloaded, news))
    }

    /// What is in effect from now on. A file that has gone is a fault: without it, other tokens
    /// would be valid.
    async fn again(&self) -> Result<Loaded, Failure> {
        let named = self.written.file.clone();
        let known = self.now.file.clone();
        // On a thread of its own, because reading some files never ends.
        let read = tokio::task::spawn_blocking(move || read_again(known, named));
        let file = read
            .await
            .map_err(|_| Failure::new("the daemon is stopping"))??;
        let mut next = self.written.resolve(file.as_ref())?;
        (self.adapt)(&mut next);
        settle(&mut next, Some(&self.now))?;
        Ok(next)
    }

    fn news(&self, next: &Loaded, certificate: bool) -> String {
        let base = |key: &Key| if key.live { &self.now } else { &self.begun };
        let value = |loaded: &Loaded, key: &Key| (key.show)(&loaded.settings);
        let changed = |live: bool| {
            let keys = KEYS.iter().filter(move |key| key.live == live);
            let other = keys.filter(|key| value(base(key), key) != value(next, key));
            other.map(|key| match key.look.secret {
                true => key.name.to_owned(),
                false => {
                    let (before, after) = (value(base(key), key), value(next, key));
                    format!("{} {before} → {after}", key.name)
                }
            })
        };
        let (begun, other) = (&self.begun.settings.options, &next.settings.options);
        let tables = [
            ("[fields]", begun.fields != other.fields),
            ("[rooms]", begun.rooms != other.rooms),
        ];
        let tables = tables.into_iter().filter(|(_, differs)| *differs);
        let waiting = changed(false).chain(tables.map(|(name, _)| name.to_owned()));
        let parts: Vec<String> = changed(true)
            .chain(certificate.then(|| "the certificate".to_owned()))
            .chain(waiting.map(|what| format!("{what} needs a restart")))
            .collect();
        match parts.is_empty() {
            true => "nothing has changed".to_owned(),
            false => parts.join("; "),
        }
    }
}

/// The file that is `known`, or the one that has appeared since.
fn read_again(known: Option<PathBuf>, named: Option<PathBuf>) -> Result<Option<File>, Failure> {
    let Some(path) = known.or_else(|| find_file(named.as_deref())) else {
        return Ok(None);
    };
    // A pipe yields its content only once.
    if path.exists() && !path.is_file() && !path.is_dir() {
        let path = path.display();
        return Err(Failure::new(format!(
            "{path}: is a pipe or device, not a file, and cannot be read a second time"
        )));
    }
    Ok(Some(File::read(&path)?))
}

/// Makes a viewer token if one has to be made; one that was made before is kept.
fn settle(loaded: &mut Loaded, before: Option<&Loaded>) -> Result<(), Failure> {
    if loaded.settings.viewer_token != ViewerToken::Random {
        return Ok(());
    }
    let before = before.map(|before| &before.settings);
    let made = before.filter(|before| before.viewer_token == ViewerToken::Random);
    let token = match made.and_then(|made| made.options.access.viewer_token.clone()) {
        Some(token) => token,
        None => access::random_token()
            .map_err(|error| Failure::new(format!("the system cannot make a token: {error}")))?,
    };
    loaded.settings.options.access.viewer_token = Some(token);
    Ok(())
}
