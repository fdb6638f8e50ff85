//! Who may connect: decided once, before the 101 and before any answer, from the request's head
//! alone. The decision becomes a value that the next function demands.

mod guesses;
mod head;
mod names;
mod options;
mod pass;
mod rules;
mod token;

pub use head::{list, queries, query};
pub use options::{AccessOptions, HostToken};
pub use pass::{HostPass, Need, Pass, ViewerPass};
pub use rules::Access;
pub use token::{PageLink, Token, random_token};

#[cfg(test)]
mod tests;
