//! Ids that goald makes: derived, so that a repeat makes the same one (design 3.1).

use uuid::Uuid;

/// The UUIDv5 of `parts` in goald's namespace. Each part goes in as "<bytes>:<part>", so
/// that no two lists of parts make the same name.
fn derived(parts: &[&str]) -> Uuid {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"goald");
    let mut name = String::new();
    for part in parts {
        name.push_str(&part.len().to_string());
        name.push(':');
        name.push_str(part);
    }
    Uuid::new_v5(&namespace, name.as_bytes())
}

/// The id of an enrollment's exit.
pub fn exit_id(tenant: &str, enrollment: &str) -> Uuid {
    derived(&[tenant, enrollment])
}

/// The id of the record that an enrollment met a goal.
pub fn achievement_id(tenant: &str, enrollment: &str, goal: &str) -> Uuid {
    derived(&[tenant, enrollment, goal])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_has_the_id_that_any_language_derives() {
        // Python: uuid5(uuid5(NAMESPACE_DNS, "goald"), "4:acme3:e-1")
        let expected = Uuid::new_v5(
            &Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"goald"),
            b"4:acme3:e-1",
        );
        assert_eq!(exit_id("acme", "e-1"), expected);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(exit_id("a", "1:b"), exit_id("a1", ":b"));
        assert_ne!(achievement_id("t", "e", "g"), exit_id("t", "e"));
        // Lengths are of bytes, not of characters.
        assert_eq!(exit_id("é", "e"), derived(&["é", "e"]));
    }
}
