//! What a request's head says: lists in headers, values in the query.

use hyper::header::{HeaderMap, HeaderName, SEC_WEBSOCKET_PROTOCOL};

/// The subprotocols that a request offers, in its order.
pub fn subprotocols(headers: &HeaderMap) -> Vec<String> {
    list(headers, SEC_WEBSOCKET_PROTOCOL)
}

/// The items of a header that is a comma-separated list.
pub fn list(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
    let values = headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    values
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
    let pairs = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let decode = |value: &str| {
        percent_encoding::percent_decode_str(&value.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    pairs
        .filter(|(name, _)| *name == key)
        .map(|(_, value)| decode(value))
        .collect()
}
