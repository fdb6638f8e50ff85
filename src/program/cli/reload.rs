//! The configuration of a running daemon, which is read again when it is asked to.

use std::path::PathBuf;

use clap::ArgMatches;

use super::{Failure, arguments, load, resolve, serve};
use crate::access;
use crate::options::Options;
use crate::program::config::file::File;
use crate::program::config::keys::{KEYS, Key};
use crate::program::config::{Loaded, ViewerToken, find_file};
use crate::server::{Reloaded, Server};

/// What a command line and its file say, at the start and by now.
pub struct Configuration<'a> {
    matches: &'a ArgMatches,
    /// What the command makes of it.
    adapt: fn(&mut Loaded),
    /// What needs a restart is as it was then.
    begun: Loaded,
    now: Loaded,
}

impl Configuration<'_> {
    /// As the daemon begins.
    ///
    /// # Errors
    /// Something cannot be so.
    pub fn load(
        matches: &ArgMatches,
        adapt: fn(&mut Loaded),
    ) -> Result<Configuration<'_>, Failure> {
        let mut begun = load(matches)?;
        adapt(&mut begun);
        settle(&mut begun, None)?;
        Ok(Configuration {
            matches,
            adapt,
            now: begun.clone(),
            begun,
        })
    }

    /// What holds.
    pub fn now(&self) -> &Loaded {
        &self.now
    }

    /// What the server is told.
    pub fn options(&self) -> &Options {
        &self.now.settings.options
    }

    /// Reads it again, and takes over what a running server can. What came of it, and in words.
    ///
    /// # Errors
    /// Something cannot be so; all stays as it was.
    pub async fn reload(&mut self, server: &Server) -> Result<(Reloaded, String), Failure> {
        let next = self.again().await?;
        let reloaded = server.reload(&next.settings.options).await;
        let reloaded = reloaded.map_err(serve::failure)?;
        let news = self.news(&next, reloaded.certificate);
        self.now = next;
        Ok((reloaded, news))
    }

    /// What holds by now. A file that is gone is a fault: without it, other tokens would hold.
    async fn again(&self) -> Result<Loaded, Failure> {
        let named = arguments::config_file(self.matches).map(PathBuf::from);
        let known = self.now.file.clone();
        // Apart, for a file may keep who reads it waiting for ever.
        let read = tokio::task::spawn_blocking(move || read_again(known, named));
        let file = read
            .await
            .map_err(|_| Failure::new("the daemon is stopping"))??;
        let mut next = resolve(file.as_ref(), self.matches)?;
        (self.adapt)(&mut next);
        settle(&mut next, Some(&self.now))?;
        Ok(next)
    }

    fn news(&self, next: &Loaded, certificate: bool) -> String {
        let base = |key: &Key| if key.live { &self.now } else { &self.begun };
        let value = |loaded: &Loaded, key: &Key| key.show(&loaded.settings);
        let changed = |live: bool| {
            let keys = KEYS.iter().filter(move |key| key.live == live);
            let other = keys.filter(|key| value(base(key), key) != value(next, key));
            other.map(|key| match key.secret {
                true => key.name.to_owned(),
                false => {
                    let (before, after) = (value(base(key), key), value(next, key));
                    format!("{} {before} → {after}", key.name)
                }
            })
        };
        let fields = self.begun.settings.options.fields != next.settings.options.fields;
        let waiting = changed(false).chain(fields.then(|| "[fields]".to_owned()));
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

/// The file that was `known`, or the one that there is by now.
fn read_again(known: Option<PathBuf>, named: Option<PathBuf>) -> Result<Option<File>, Failure> {
    let Some(path) = known.or_else(|| find_file(named.as_deref())) else {
        return Ok(None);
    };
    // A pipe gives what it holds once.
    if path.exists() && !path.is_file() && !path.is_dir() {
        let path = path.display();
        return Err(Failure::new(format!(
            "{path}: is a pipe or device, not a file, and cannot be read a second time"
        )));
    }
    Ok(Some(File::read(&path)?))
}

/// Makes a viewer token where one is to be made; the one of before is kept.
fn settle(loaded: &mut Loaded, before: Option<&Loaded>) -> Result<(), Failure> {
    let was_made = |before: &&Loaded| before.settings.viewer_token == ViewerToken::Random;
    let made = before.filter(was_made);
    let made = made.and_then(|before| before.settings.options.access.viewer_token.clone());
    loaded.settings.options.access.viewer_token = match (&loaded.settings.viewer_token, made) {
        (ViewerToken::None, _) => None,
        (ViewerToken::Given(token), _) => Some(token.clone()),
        (ViewerToken::Random, Some(made)) => Some(made),
        (ViewerToken::Random, None) => Some(access::random_token().map_err(|error| {
            Failure::new(format!("the system has no random token to give: {error}"))
        })?),
    };
    Ok(())
}
