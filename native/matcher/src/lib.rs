//! The pure core of goald: decode, route, index, evaluate. No I/O, no clock, no Python.
//!
//! Modules depend in one direction; `tests/unit/native/test_rust_modules.py` checks it:
//!
//! ```text
//! matcher
//! evaluate, executions, intake
//! proposal, index
//! plan
//! config, route
//! decode, buffer, ids
//! wire
//! event
//! ```

pub mod buffer;
pub mod config;
pub mod decode;
pub mod evaluate;
pub mod event;
pub mod executions;
pub mod ids;
mod index;
pub mod intake;
pub mod matcher;
pub mod plan;
pub mod proposal;
pub mod route;
mod wire;
