//! The pure core of goald: decode, route, index, evaluate. No I/O, no clock, no Python.

pub mod amount;
pub mod buffer;
pub mod decode;
pub mod event;
pub mod limits;
pub mod reject;
pub mod route;
pub mod time;
