//! Tokens, and the links that carry them. `Debug` shows neither, so that whatever holds one can
//! be printed without giving it away.

use std::fmt;
use std::ops::Deref;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use subtle::ConstantTimeEq;

/// What a writer or a viewer shows. It has no `Display`, so that only [`Token::reveal`] leads
/// to its text. Comparing takes the same time for all tokens of the same length.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Any text as a token.
    pub fn new(text: impl Into<String>) -> Token {
        Token(text.into())
    }

    /// The text, for where it is needed: on the wire, in a link, in its user's file.
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

/// At least 128 random bits, as text that fits into a URL.
///
/// # Errors
/// When the system cannot supply randomness.
pub fn random_token() -> Result<Token, getrandom::Error> {
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes)?;
    // Start with a letter: after `--token`, a hyphen would start another flag.
    bytes[0] &= 0x7f;
    Ok(Token::new(URL_SAFE_NO_PAD.encode(bytes)))
}

/// A page's link, with a token in its fragment if one is needed. `Display` is the whole link,
/// to be handed out.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct PageLink(String);

impl PageLink {
    /// The link with this text.
    pub fn new(text: impl Into<String>) -> PageLink {
        PageLink(text.into())
    }

    /// What may be shown to everybody.
    pub fn without_token(&self) -> &str {
        self.0.split('#').next().unwrap_or_default()
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
        let page = self.without_token();
        let rest = if page.len() < self.0.len() {
            "#…"
        } else {
            ""
        };
        write!(f, "{page}{rest}")
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
        let link = PageLink::new("http://a:1/?topic=b#t=swordfish");
        assert_eq!(link.without_token(), "http://a:1/?topic=b");
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
