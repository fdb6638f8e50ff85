//! The commands that print one text: `token`, `qr`, `config`.

use serde_json::Value;

use super::arguments::{ConfigArgs, PlaceArgs, QrArgs};
use super::daemon::{Daemon, elsewhere, kept_token, port};
use super::failure::Failure;
use super::runtime::block_on;
use super::runtime_dir;
use super::streams::print;
use crate::program::config::show;
use crate::program::terminal::{self, banner};

pub fn token(place: &PlaceArgs) -> Result<(), Failure> {
    let loaded = place.load()?;
    let port = port(&loaded)?;
    let token = kept_token(port)?.ok_or_else(|| {
        Failure::new(format!(
            "no token for port {port} in {}: is onlooker running here as this user? name its port with --port{}",
            runtime_dir::directory().display(),
            elsewhere()
        ))
    })?;
    print(&format!("{}\n", token.reveal())).map(drop)
}

pub fn qr(args: QrArgs) -> Result<(), Failure> {
    let text = match args.text {
        Some(text) => text,
        None => {
            let daemon = Daemon::to_write(&args.daemon)?;
            let status: Value = block_on(daemon.status())?;
            let link = status["urls"][0].as_str();
            link.ok_or_else(|| Failure::new("the daemon names no link"))?
                .to_owned()
        }
    };
    print(&banner::code(&text, terminal::width())).map(drop)
}

pub fn config(args: ConfigArgs) -> Result<(), Failure> {
    let text = match args.default {
        true => show::template(),
        false => show::effective(&args.serve.split().0.load()?),
    };
    print(&text).map(drop)
}
