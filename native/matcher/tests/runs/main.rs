//! Runs of paused workflows and of merged contacts.

#[path = "../evaluate_support/mod.rs"]
mod evaluate_support;
mod merges;
mod missed;
