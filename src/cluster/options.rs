//! How a cluster is found.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// Where the daemons of a cluster meet. Without servers there is no cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterOptions {
    /// Servers of one NATS cluster, tried in turn.
    pub servers: Vec<NatsUrl>,
    /// The bucket that holds the topics; rooms are in another one beside it.
    pub bucket: String,
    /// On how many servers the bucket is kept when it is made; none: on all, three at most.
    pub replicas: Option<usize>,
    /// A file with the credentials of a NATS user.
    pub credentials: Option<PathBuf>,
}

impl Default for ClusterOptions {
    fn default() -> ClusterOptions {
        ClusterOptions {
            servers: Vec::new(),
            bucket: "onlooker".to_owned(),
            replicas: None,
            credentials: None,
        }
    }
}

/// The URL of a NATS server. It may carry a password or a token, which is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsUrl(String);

impl NatsUrl {
    /// Reads `nats://host:4222`, `tls://…`, or a host with or without a port.
    ///
    /// # Errors
    /// Says what it should look like, without quoting it: a password may be in it.
    pub fn parse(text: &str) -> Result<NatsUrl, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("nats", text));
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let is_one = matches!(scheme, "nats" | "tls") && !host.is_empty();
        match is_one && !text.contains(char::is_whitespace) && !host.contains(['/', '?', '#']) {
            true => Ok(NatsUrl(format!("{scheme}://{rest}"))),
            false => Err("expected a server of NATS, like nats://192.168.1.20:4222 or tls://user:password@nats.example:4222".to_owned()),
        }
    }

    /// The user and the password that it carries; without a user, the second is a token.
    pub fn login(&self) -> Option<(Option<String>, String)> {
        let (_, rest) = self.0.split_once("://")?;
        let (login, _) = rest.rsplit_once('@')?;
        let decode = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        Some(match login.split_once(':') {
            Some((user, password)) => (Some(decode(user)), decode(password)),
            None => (None, decode(login)),
        })
    }
}

impl fmt::Display for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("nats", &self.0));
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        write!(f, "{scheme}://{host}")
    }
}

impl fmt::Debug for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let url = NatsUrl::parse("tls://me:s3cret@nats.example:4222").expect("a URL");
        assert_eq!(format!("{url} {url:?}").matches("s3cret").count(), 0);
        assert_eq!(url.to_string(), "tls://nats.example:4222");
        let login = |url: &str| NatsUrl::parse(url).ok().and_then(|url| url.login());
        let user = Some("me".to_owned());
        assert_eq!(url.login(), Some((user.clone(), "s3cret".to_owned())));
        assert_eq!(login("me:p@:/#%40@h"), Some((user, "p@:/#@".to_owned())));
        assert_eq!(login("nats://t0ken@h"), Some((None, "t0ken".to_owned())));
        assert_eq!(login("nats://h:4222"), None);
        assert_eq!(
            NatsUrl::parse("localhost").map(|url| url.to_string()),
            Ok("nats://localhost".to_owned())
        );
        for wrong in ["http://x:4222", "nats://", "nats://a b", "nats://h/p", ""] {
            let error = NatsUrl::parse(wrong).expect_err(wrong);
            assert!(error.contains("expected a server of NATS"));
        }
    }
}
