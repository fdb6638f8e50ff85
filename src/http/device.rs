//! What a viewer is, for people: a few words from its user agent.

/// Such as `iPhone · Safari`, `Android · Chrome` or `wscat`; an empty agent is a program.
pub fn label(agent: &str) -> String {
    const DEVICES: [(&str, &str); 8] = [
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("CrOS", "Chromebook"),
        ("Windows", "Windows"),
        ("Macintosh", "Mac"),
        ("Linux", "Linux"),
        ("okhttp", "Android"),
    ];
    // Chrome also calls itself Safari, and Edge calls itself both: the most specific name comes
    // first.
    const BROWSERS: [(&str, &str); 8] = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser", "Samsung Internet"),
        ("Firefox", "Firefox"),
        ("FxiOS", "Firefox"),
        ("CriOS", "Chrome"),
        ("Chrome", "Chrome"),
        ("Safari", "Safari"),
    ];
    let find = |names: &[(&str, &'static str)]| {
        let found = names.iter().find(|(part, _)| agent.contains(part));
        found.map(|(_, name)| *name)
    };
    match (find(&DEVICES), find(&BROWSERS)) {
        (Some(device), Some(browser)) => format!("{device} · {browser}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => program(agent),
    }
}

fn program(agent: &str) -> String {
    let name: String = agent
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c))
        .take(24)
        .collect();
    match name.is_empty() {
        true => "program".to_owned(),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn labels() {
        let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1";
        assert_eq!(label(iphone), "iPhone · Safari");
        let android = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile Safari/537.36";
        assert_eq!(label(android), "Android · Chrome");
        assert_eq!(label("curl/8.5.0"), "curl");
        assert_eq!(label(""), "program");
        assert_eq!(label("<script>"), "program");
    }
}
