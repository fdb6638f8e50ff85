//! What is measured: this project's daemon and what it is compared with.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process::{Cores, Running, free_port};
use crate::room;

/// A server that sends every line of its standard input to all viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The bare send loop.
    Limit,
    /// The same again: how far its figures are from the first's is the noise.
    LimitAgain,
    Onlooker,
    /// An earlier binary of it.
    OnlookerBefore,
    OnlookerDeflate,
    OnlookerTls,
    /// A room, of which one after the other changes a row.
    OnlookerRoom,
    Bun,
    BunDeflate,
    Ws,
    WsDeflate,
    Recipe,
}

impl Peer {
    pub fn name(self) -> &'static str {
        match self {
            Peer::Limit => "LIMIT (bare send loop)",
            Peer::LimitAgain => "LIMIT again (noise gauge)",
            Peer::Onlooker => "onlooker",
            Peer::OnlookerBefore => "onlooker, before",
            Peer::OnlookerDeflate => "onlooker, deflate",
            Peer::OnlookerTls => "onlooker, TLS",
            Peer::OnlookerRoom => "onlooker, a room",
            Peer::Bun => "Bun",
            Peer::BunDeflate => "Bun, deflate",
            Peer::Ws => "ws",
            Peer::WsDeflate => "ws, deflate",
            Peer::Recipe => "tokio recipe",
        }
    }

    /// Whether its viewers offer permessage-deflate.
    pub fn deflates(self) -> bool {
        matches!(
            self,
            Peer::OnlookerDeflate | Peer::BunDeflate | Peer::WsDeflate
        )
    }

    fn is_onlooker(self) -> bool {
        matches!(
            self,
            Peer::Onlooker
                | Peer::OnlookerBefore
                | Peer::OnlookerDeflate
                | Peer::OnlookerTls
                | Peer::OnlookerRoom
        )
    }

    /// The line that makes it send `text` to everybody.
    pub fn line(self, text: &str) -> Result<Vec<u8>> {
        if !self.is_onlooker() {
            return Ok(text.as_bytes().to_vec());
        }
        let mut line = br#"{"type":"broadcast","text":"#.to_vec();
        serde_json::to_writer(&mut line, text)?;
        line.push(b'}');
        Ok(line)
    }

    /// Starts it on a free port.
    pub fn start(self, cores: Option<Cores>) -> Result<Running> {
        self.start_with(&[], cores)
    }

    /// Starts it with more arguments.
    pub fn start_with(self, more: &[String], cores: Option<Cores>) -> Result<Running> {
        let port = free_port()?;
        let mut command = self.command(port)?;
        command.extend_from_slice(more);
        Running::start(&command, port, cores).with_context(|| self.name())
    }

    /// Why it cannot be started here, if it cannot.
    pub fn missing(self) -> Option<String> {
        let file = match self {
            Peer::OnlookerBefore => match before() {
                Some(program) => program,
                None => return Some("ONLOOKER_BEFORE names none".to_owned()),
            },
            peer if peer.is_onlooker() => onlooker(),
            Peer::Bun | Peer::BunDeflate => bun(),
            Peer::Ws | Peer::WsDeflate => here("node_modules/ws/package.json"),
            _ => return None,
        };
        let found = file.exists();
        (!found).then(|| format!("{} is not there", file.display()))
    }

    fn command(self, port: u16) -> Result<Vec<String>> {
        let own = |part: &str| -> Result<Vec<String>> {
            let program = std::env::current_exe()?.display().to_string();
            Ok(vec![program, part.to_owned(), port.to_string()])
        };
        let script = |program: PathBuf, script: &str| {
            let script = here(script).display().to_string();
            vec![program.display().to_string(), script, port.to_string()]
        };
        let mut command = match self {
            Peer::Limit | Peer::LimitAgain => own("limit")?,
            Peer::Recipe => own("recipe")?,
            Peer::OnlookerRoom => return Ok(room::serve(serve("-", port))),
            Peer::Onlooker | Peer::OnlookerDeflate | Peer::OnlookerTls => {
                return Ok(serve("-", port));
            }
            Peer::OnlookerBefore => {
                let mut command = serve("-", port);
                let program = before().context("ONLOOKER_BEFORE")?;
                command[0] = program.display().to_string();
                return Ok(command);
            }
            Peer::Bun | Peer::BunDeflate => script(bun(), "peers/bun.ts"),
            Peer::Ws | Peer::WsDeflate => script("node".into(), "peers/ws.mjs"),
        };
        if self.deflates() {
            command.push("deflate".to_owned());
        }
        Ok(command)
    }
}

/// The daemon as it is measured: no limit on one address, and no waiting before a flush.
pub fn serve(source: &str, port: u16) -> Vec<String> {
    let text = format!(
        "serve {source} --port {port} --bind 127.0.0.1 --debounce 0ms --qr none -q --max-viewers 100000 --max-per-address 100000"
    );
    let mut command = vec![onlooker().display().to_string()];
    command.extend(text.split(' ').map(str::to_owned));
    command
}

/// The release binary, or the one that `ONLOOKER` names.
pub fn onlooker() -> PathBuf {
    std::env::var_os("ONLOOKER").map_or_else(|| here("../target/release/onlooker"), PathBuf::from)
}

fn before() -> Option<PathBuf> {
    std::env::var_os("ONLOOKER_BEFORE").map(PathBuf::from)
}

fn bun() -> PathBuf {
    here("node_modules/bun/bin/bun.exe")
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
