//! The pure core of goald.
