//! The pure core of goald: decode, route, index, evaluate. No I/O, no clock, no Python.

pub mod amount;
pub mod event;
