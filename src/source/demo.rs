//! What `onlooker demo` shows: a wave, and the fields that move it.

use indexmap::IndexMap;
use serde_json::json;

use crate::state::fields::Field;
use crate::state::json::Json;

/// The session, which is an example of a file as well.
pub fn session() -> Json {
    Json::parse(include_bytes!("../../examples/wave.json")).unwrap_or_else(|_| Json::empty_object())
}

/// The whitelist, with bounds for the host panel's sliders.
pub fn fields() -> IndexMap<String, Field> {
    let fields = json!({
        "speed": { "type": "number", "min": 0, "max": 5, "step": 0.05 },
        "amplitude": { "type": "number", "min": 0, "max": 1, "step": 0.01 },
        "color": { "type": "string" },
        "paused": { "type": "boolean" },
    });
    serde_json::from_value(fields).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::fields::Whitelist;
    use crate::state::session::Session;

    #[test]
    fn the_session_is_one_that_the_fields_allow() {
        let session = Session::from_json(&session(), "demo").unwrap();
        let whitelist = Whitelist::Declared(fields());
        assert_eq!(whitelist.check(&session.config), []);
        assert_eq!(whitelist.fields().len(), session.config.len());
    }
}
