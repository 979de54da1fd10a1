//! Derived ids: a repeated event derives the same id, so that it changes nothing (D1).

use std::sync::LazyLock;

use uuid::Uuid;

/// goald's namespace.
static NAMESPACE: LazyLock<Uuid> = LazyLock::new(|| Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"goald"));

/// The UUIDv5 of `parts` in goald's namespace. Each part is written as "<bytes>:<part>", so
/// that different parts never produce the same name.
fn derived(parts: &[&str]) -> Uuid {
    let mut name = String::new();
    for part in parts {
        name.push_str(&part.len().to_string());
        name.push(':');
        name.push_str(part);
    }
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

/// The id of an enrollment's exit.
pub fn exit_id(tenant: &str, enrollment: &str) -> Uuid {
    derived(&[tenant, enrollment])
}

/// The id of an enrollment's achievement of a goal.
pub fn achievement_id(tenant: &str, enrollment: &str, goal: &str) -> Uuid {
    derived(&[tenant, enrollment, goal])
}

/// Identifies an event within its tenant: by its `source` and `id` (E11).
pub type EventKey = Uuid;

pub fn event_key(source: &str, id: &str) -> EventKey {
    derived(&[source, id])
}

/// The id of an execution, derived from its trigger (X9).
pub fn execution_id(trigger: &[&str]) -> Uuid {
    derived(&[&["execution"], trigger].concat())
}

/// The idempotency key of the jobs of a step's visit (X3).
pub fn job_key(visit: &[&str]) -> Uuid {
    derived(&[&["job"], visit].concat())
}

/// Identifies a merged contact without its id (E21). `secret`: of the database, so that the id
/// cannot be found by trying.
pub fn forward_key(secret: &str, tenant: &str, contact: &str) -> Uuid {
    derived(&["forward", secret, tenant, contact])
}

/// Parses the text of an event key.
pub fn parse_event_key(text: &str) -> Option<EventKey> {
    Uuid::try_parse(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_id_can_be_derived_in_other_languages() {
        // Python: uuid5(uuid5(NAMESPACE_DNS, "goald"), "4:acme3:e-1")
        let expected = Uuid::new_v5(
            &Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"goald"),
            b"4:acme3:e-1",
        );
        assert_eq!(exit_id("acme", "e-1"), expected);
    }

    #[test]
    fn different_parts_never_derive_the_same_id() {
        assert_ne!(exit_id("a", "1:b"), exit_id("a1", ":b"));
        assert_ne!(achievement_id("t", "e", "g"), exit_id("t", "e"));
        // Lengths are in bytes, not in characters.
        assert_eq!(exit_id("é", "e"), derived(&["é", "e"]));
    }
}
