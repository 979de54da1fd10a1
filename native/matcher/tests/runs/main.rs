//! Runs of paused workflows, of merged contacts, and runs that have ended.

mod ended;
#[path = "../evaluate_support/mod.rs"]
mod evaluate_support;
mod merges;
mod missed;
