//! The commands that describe the command line to others: `completions` and `man`.

use clap_complete::Shell;

use super::arguments::CommandLine;
use super::failure::Failure;
use super::streams::print;

/// `onlooker completions SHELL`.
pub fn completions(shell: Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::shape(), "onlooker", &mut text);
    print(&String::from_utf8_lossy(&text)).map(drop)
}

/// `onlooker man`.
pub fn man() -> Result<(), Failure> {
    let mut text = Vec::new();
    let man = clap_mangen::Man::new(CommandLine::shape());
    let made = man.render(&mut text);
    made.map_err(|error| Failure::new(format!("cannot make the manual: {error}")))?;
    print(&String::from_utf8_lossy(&text)).map(drop)
}
