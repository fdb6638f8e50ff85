//! Tokens, and the links that carry them. `Debug` shows neither: what holds one may be
//! printed without giving it away.

use std::fmt;
use std::ops::Deref;

use serde::Serialize;
use subtle::ConstantTimeEq;

/// What a writer or a viewer shows. Without `Display`, so that only [`Token::reveal`] leads
/// to its text. Comparing takes the same time for all tokens of one length.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// This text, whatever it is.
    pub fn new(text: impl Into<String>) -> Token {
        Token(text.into())
    }

    /// The text, for where it has to be: on the wire, in a link, in the file of its user.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Token) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A page's link, with a token in its fragment if one is needed. `Display` is the whole link,
/// to be handed out.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct PageLink(String);

impl PageLink {
    /// The link that is written so.
    pub fn new(text: impl Into<String>) -> PageLink {
        PageLink(text.into())
    }
}

impl Deref for PageLink {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PageLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PageLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once('#') {
            Some((page, _)) => write!(f, "{page}#…"),
            None => f.write_str(&self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_what_is_secret() {
        assert_eq!(format!("{:?}", Token::new("swordfish")), "…");
        let link = |text: &str| format!("{:?}", PageLink::new(text));
        assert_eq!(
            link("http://a:1/?topic=b#t=swordfish"),
            "http://a:1/?topic=b#…"
        );
        assert_eq!(link("http://a:1/"), "http://a:1/");
    }

    #[test]
    fn a_token_is_its_whole_text() {
        let token = Token::new("swordfish");
        assert_eq!(token.reveal(), "swordfish");
        assert!(token == Token::new("swordfish"));
        for other in ["", "swordfis", "swordfish ", "Swordfish"] {
            assert!(token != Token::new(other), "{other:?}");
        }
    }
}
