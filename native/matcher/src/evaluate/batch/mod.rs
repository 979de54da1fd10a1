//! The changes that earlier events of a batch propose, and that later ones see.

mod deletions;
mod overlay;

pub use self::deletions::Deletions;
pub use self::overlay::Overlay;
