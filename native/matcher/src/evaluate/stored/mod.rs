//! The answers of Postgres to the questions of earlier evaluations of the same events.

pub mod ended;
pub mod known_contacts;
pub mod later_merges;
pub mod missed;
pub mod origins;
pub mod repeats;
pub mod used_events;
