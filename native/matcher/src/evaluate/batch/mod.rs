//! The changes that earlier events of a batch propose, and that later ones see.

mod deletions;
mod overlay;
mod own_run;

pub use self::deletions::Deletions;
pub use self::overlay::Overlay;
pub use self::own_run::{OwnRun, OwnStart};
