//! A topic's name, checked once, where it arrives.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a topic: 1 to 128 letters, digits, `.`, `_` or `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(Arc<str>);

/// A text that cannot name a topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot name a topic: use 1 to 128 of letters, digits, '.', '_' and '-'")]
pub struct NameError(String);

impl TopicName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest valid name, for a source such as a file whose own name may hold anything.
    pub fn from_lossy(text: &str) -> TopicName {
        let kept: String = text
            .chars()
            .map(|c| if is_allowed(c) { c } else { '-' })
            .take(128)
            .collect();
        let name = if kept.is_empty() { "main" } else { &kept };
        TopicName(name.into())
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

impl FromStr for TopicName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<TopicName, NameError> {
        if (1..=128).contains(&text.len()) && text.chars().all(is_allowed) {
            Ok(TopicName(text.into()))
        } else {
            Err(NameError(text.chars().take(140).collect()))
        }
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["main", "a.b_c-9", &"x".repeat(128)] {
            assert_eq!(good.parse::<TopicName>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "é", "a\n", &"x".repeat(129)] {
            assert!(bad.parse::<TopicName>().is_err(), "{bad:?}");
        }
        assert_eq!(
            TopicName::from_lossy("my state (1)").as_str(),
            "my-state--1-"
        );
    }
}
