//! JSON text in the making, while another format is read. It is bounded: an alias in YAML and a
//! name in CSV's first row are short, and what they stand for comes again and again.

use std::ops::Range;

use crate::state::json::Json;

/// What JSON has no word for, or no room: at which byte of the file, and why.
pub type Misfit = (usize, String);

/// A text to which tokens are added; the commas between them come by themselves.
pub struct Draft {
    text: String,
    max: usize,
}

impl Draft {
    /// Nothing yet, and never more than `max` bytes but for the last brackets.
    pub fn new(max: usize) -> Draft {
        let text = String::new();
        Draft { text, max }
    }

    /// How much there is, in bytes.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// An array or an object begins.
    pub fn open(&mut self, at: usize, bracket: &str) -> Result<Range<usize>, Misfit> {
        self.value(at, bracket)
    }

    /// It ends.
    pub fn close(&mut self, bracket: char) {
        self.text.push(bracket);
    }

    /// The name of the member that comes next.
    pub fn key(&mut self, at: usize, key: &str) -> Result<(), Misfit> {
        self.string(at, key)?;
        self.text.push(':');
        Ok(())
    }

    /// A string, and where it is now.
    pub fn string(&mut self, at: usize, content: &str) -> Result<Range<usize>, Misfit> {
        self.value(at, Json::string(content).as_str())
    }

    /// Any value as JSON, and where it is now.
    pub fn value(&mut self, at: usize, json: &str) -> Result<Range<usize>, Misfit> {
        let start = self.begin(at, json.len())?;
        self.text.push_str(json);
        Ok(start..self.text.len())
    }

    /// A value that is there already.
    pub fn again(&mut self, at: usize, value: Range<usize>) -> Result<(), Misfit> {
        self.begin(at, value.len())?;
        self.text.extend_from_within(value);
        Ok(())
    }

    /// The whole text; also finds what only JSON forbids.
    pub fn finish(self) -> Result<Json, Misfit> {
        // A position in this text would mean nothing to a person.
        Json::parse(self.text.as_bytes()).map_err(|error| (0, error.reason))
    }

    /// A comma if one is needed, and where the next value begins.
    fn begin(&mut self, at: usize, len: usize) -> Result<usize, Misfit> {
        if self.text.len() + len >= self.max {
            let reason = format!(
                "over the limit of {} bytes as JSON (--max-session)",
                self.max
            );
            return Err((at, reason));
        }
        if !self.text.is_empty() && !self.text.ends_with(['[', '{', ':']) {
            self.text.push(',');
        }
        Ok(self.text.len())
    }
}
