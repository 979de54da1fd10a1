//! The pure core of goald: decode, route, index, evaluate. No I/O, no clock, no Python.

pub mod amount;
pub mod buffer;
pub mod config;
pub mod criteria;
mod criteria_read;
pub mod decode;
pub mod engine;
mod engine_explain;
mod evaluate;
mod evaluate_overlay;
mod evaluate_record;
pub mod event;
mod ids;
pub mod ids_derived;
mod index;
mod index_crowds;
mod index_names;
mod index_prefetch;
mod index_slab;
mod index_table;
pub mod limits;
mod load;
pub mod proposal;
pub mod reject;
pub mod route;
pub mod time;
