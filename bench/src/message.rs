//! What is sent: numbered JSON that resembles a session's.

/// JSON text of a wanted size, with a number near its start.
pub struct Message {
    filling: String,
    size: usize,
}

impl Message {
    pub fn new(size: usize) -> Message {
        let mut filling = String::with_capacity(size + 128);
        let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
        for index in 0.. {
            if filling.len() >= size {
                break;
            }
            // A linear congruential generator: the same values every time.
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let (x, y, on) = (
                dice >> 40 & 0xffff,
                dice >> 20 & 0xffff,
                dice >> 62 & 1 == 0,
            );
            filling.push_str(&format!(
                "{{\"id\":{index},\"label\":\"sensor {index}\",\"x\":0.{x:05},\"y\":{y},\"on\":{on}}},"
            ));
        }
        Message { filling, size }
    }

    /// The text with this number in it.
    pub fn text(&self, number: u64) -> String {
        let mut text = format!("{{\"n\":{number},\"items\":[");
        let room = self.size.saturating_sub(text.len() + 4);
        let items = self.filling[..room.min(self.filling.len())]
            .rfind("},")
            .map_or(0, |at| at + 2);
        text.push_str(&self.filling[..items]);
        text.push('"');
        text.push_str(&"-".repeat(room - items));
        text.push_str("\"]}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_size_and_is_json() {
        for size in [100, 4096, 102_400] {
            let text = Message::new(size).text(123);
            assert_eq!(text.len(), size);
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["n"], 123);
        }
    }
}
