//! One connection for requests, as a script has it: each is answered before the next is made.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// The slowest answer that is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// A connection that stays open.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The revision that an answer tells in its `ETag`; empty where it tells none.
pub type Revision = String;

impl Client {
    pub fn connect(address: SocketAddr) -> Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Client {
            stream,
            buffer: vec![0; 1 << 20],
        })
    }

    /// Asks, and reads the whole answer, which has to be a good one.
    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Revision> {
        let answer = self.answer(method, path, body)?;
        let tag = header(head(&answer).context("no head")?, "etag").unwrap_or_default();
        Ok(tag.trim_matches('"').to_owned())
    }

    /// The text that is found there.
    pub fn text(&mut self, path: &str) -> Result<String> {
        let answer = self.answer("GET", path, "")?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    fn answer(&mut self, method: &str, path: &str, body: &str) -> Result<Vec<u8>> {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        while !is_whole(&answer)? {
            let read = self.stream.read(&mut self.buffer)?;
            ensure!(read > 0, "the connection ended within an answer");
            answer.extend_from_slice(&self.buffer[..read]);
        }
        let head = head(&answer).context("no head")?;
        ensure!(head.starts_with("HTTP/1.1 20"), "{method} {path}: {head}");
        Ok(answer)
    }
}

fn is_whole(answer: &[u8]) -> Result<bool> {
    let Some(head) = head(answer) else {
        return Ok(false);
    };
    match (
        header(head, "content-length"),
        header(head, "transfer-encoding"),
    ) {
        (Some(length), _) => Ok(answer.len() >= head.len() + length.parse::<usize>()?),
        // JSON holds no bare line break, so this is no part of a chunk.
        (None, Some("chunked")) => Ok(answer.ends_with(b"\r\n0\r\n\r\n")),
        _ => bail!("the answer's length is not told: {head}"),
    }
}

/// The head with the empty line at its end, once it is there.
fn head(answer: &[u8]) -> Option<&str> {
    const END: &[u8] = b"\r\n\r\n";
    let at = answer.windows(END.len()).position(|four| four == END)?;
    std::str::from_utf8(&answer[..at + END.len()]).ok()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = headers.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some(value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_answer_is_seen() {
        let whole = |text: &str| is_whole(text.as_bytes()).unwrap();
        assert!(!whole("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"));
        assert!(!whole("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"));
        assert!(whole("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n";
        assert!(!whole(chunked));
        assert!(whole(&format!("{chunked}0\r\n\r\n")));
    }
}
