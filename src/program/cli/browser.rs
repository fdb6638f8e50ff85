//! Opening a link in this machine's browser.

use std::process::Stdio;

use tokio::process::Command;

/// Opens a link with what the system has for that, and waits until it is known whether that
/// worked: some openers end only with the browser.
///
/// # Errors
/// Says why nothing was opened.
pub async fn open(link: &str) -> Result<(), String> {
    if !has_desktop() {
        return Err("there is no desktop here".to_owned());
    }
    let mut reason = "no browser was found".to_owned();
    for command in open::commands(link) {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut command = Command::from(command);
        // Nothing of it may reach our terminal: neither what it says nor, to it, a Ctrl-C.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        #[cfg(unix)]
        command.process_group(0);
        match command.status().await {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => reason = format!("{program}: {status}"),
            Err(_) => {}
        }
    }
    Err(reason)
}

/// Whether a browser has a place to appear. Without one, some openers start a browser for
/// terminals, in ours.
fn has_desktop() -> bool {
    const SIGNS: [&str; 4] = ["DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "BROWSER"];
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(any(windows, target_os = "macos")) || SIGNS.iter().any(|name| is_set(&name))
}
