//! Tokens: made and shown.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::http::request::Parts;

use super::Token;
use super::head::{query, subprotocols};
use crate::wire::TOKEN_SUBPROTOCOL;

/// At least 128 random bits, as text that fits a URL.
///
/// # Errors
/// When the system has no randomness to give.
pub fn random_token() -> Result<Token, getrandom::Error> {
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes)?;
    // Begins with a letter: after `--token` a hyphen would begin another flag.
    bytes[0] &= 0x7f;
    Ok(Token::new(URL_SAFE_NO_PAD.encode(bytes)))
}

/// The token that came with a request: as a header, a subprotocol, or in the query.
pub fn shown_token(request: &Parts) -> Option<Token> {
    let bearer = |value: &HeaderValue| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| token.trim().to_owned())
    };
    let header = || request.headers.get(AUTHORIZATION).and_then(bearer);
    let subprotocol = || {
        subprotocols(&request.headers)
            .into_iter()
            .find_map(|offered| token_of(&offered))
    };
    header()
        .or_else(subprotocol)
        .or_else(|| query(request.uri.query()?, "token"))
        .map(Token::new)
}

fn token_of(subprotocol: &str) -> Option<String> {
    let encoded = subprotocol.strip_prefix(TOKEN_SUBPROTOCOL)?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?).ok()
}
