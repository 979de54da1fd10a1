//! Ids: how the index packs them, and those that goald derives.

pub mod derived;
pub(crate) mod packed;
