//! What a request's head says: lists in headers, values in the query, and the token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use hyper::http::request::Parts;

use super::token::Token;
use crate::wire::TOKEN_SUBPROTOCOL;

/// The token that came with a request: in the header, as a subprotocol, or in the query.
pub(super) fn shown_token(request: &Parts) -> Option<Token> {
    let bearer = |value: &HeaderValue| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        let is_bearer = scheme.eq_ignore_ascii_case("bearer");
        is_bearer.then(|| token.trim().to_owned())
    };
    let header = request.headers.get(AUTHORIZATION).and_then(bearer);
    let subprotocol = || {
        let offered = list(&request.headers, SEC_WEBSOCKET_PROTOCOL);
        offered.iter().find_map(|offered| token_of(offered))
    };
    header
        .or_else(subprotocol)
        .or_else(|| query(request.uri.query()?, "token"))
        .map(Token::new)
}

fn token_of(subprotocol: &str) -> Option<String> {
    let encoded = subprotocol.strip_prefix(TOKEN_SUBPROTOCOL)?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?).ok()
}

/// The items of a header that is a comma-separated list.
pub fn list(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
    let values = headers.get_all(name).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|item| item.trim().to_owned())
        .filter(|item| !item.is_empty())
        .collect()
}

/// The first value of a query parameter.
pub fn query(query: &str, key: &str) -> Option<String> {
    queries(query, key).into_iter().next()
}

/// All values of a query parameter.
pub fn queries(query: &str, key: &str) -> Vec<String> {
    let decode = |value: &str| {
        percent_encoding::percent_decode_str(&value.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| *name == key)
        .map(|(_, value)| decode(value))
        .collect()
}
