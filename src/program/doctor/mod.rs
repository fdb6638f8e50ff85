//! Why a phone does not connect: facts about this machine, what they mean, and how that is told.
//! What is gathered is judged elsewhere, without looking at the machine again.

mod external;
pub mod facts;
mod firewall;
pub mod gather;
mod judge;
pub mod phones;
#[cfg_attr(not(target_os = "linux"), path = "system_absent.rs")]
pub mod system;
pub mod text;

pub use judge::judge;
