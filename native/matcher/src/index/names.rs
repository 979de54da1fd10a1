//! Interned names of tenants and workflows, with reference counts.

use ahash::RandomState;
use hashbrown::HashTable;

/// A name within a scope: the tenant's number for a workflow, 0 for a tenant.
#[derive(Debug)]
struct Name {
    scope: u32,
    references: u32,
    text: Box<str>,
}

/// Names by number. A name without references is removed and its number reused.
#[derive(Debug, Default)]
pub struct Names {
    hasher: RandomState,
    table: HashTable<u32>,
    names: Vec<Name>,
    free: Vec<u32>,
}

impl Names {
    /// Names in use.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// One more than the highest number ever in use.
    pub fn bound(&self) -> usize {
        self.names.len()
    }

    #[inline]
    pub fn find(&self, scope: u32, text: &str) -> Option<u32> {
        self.table
            .find(self.hash(scope, text), |&number| {
                let name = &self.names[number as usize];
                name.scope == scope && *name.text == *text
            })
            .copied()
    }

    pub fn text(&self, number: u32) -> &str {
        &self.names[number as usize].text
    }

    pub fn scope(&self, number: u32) -> u32 {
        self.names[number as usize].scope
    }

    /// Adds a reference to a name. Returns its number, and whether the name is new.
    pub fn acquire(&mut self, scope: u32, text: &str) -> (u32, bool) {
        if let Some(number) = self.find(scope, text) {
            self.names[number as usize].references += 1;
            return (number, false);
        }
        let name = Name {
            scope,
            references: 1,
            text: text.into(),
        };
        let number = if let Some(number) = self.free.pop() {
            self.names[number as usize] = name;
            number
        } else {
            self.names.push(name);
            (self.names.len() - 1) as u32
        };
        let (hasher, names) = (&self.hasher, &self.names);
        self.table
            .insert_unique(hash(hasher, scope, text), number, |&other| {
                let name = &names[other as usize];
                hash(hasher, name.scope, &name.text)
            });
        (number, true)
    }

    /// Removes a reference. True if it was the last, so that the number is free.
    pub fn release(&mut self, number: u32) -> bool {
        let name = &mut self.names[number as usize];
        name.references -= 1;
        if name.references > 0 {
            return false;
        }
        let (scope, text) = (name.scope, std::mem::take(&mut name.text));
        let hash = self.hash(scope, &text);
        if let Ok(entry) = self.table.find_entry(hash, |&other| other == number) {
            entry.remove();
        }
        self.free.push(number);
        true
    }

    /// Bytes of memory in use.
    pub fn bytes(&self) -> usize {
        let texts: usize = self.names.iter().map(|name| name.text.len()).sum();
        texts + self.table.allocation_size() + self.names.capacity() * size_of::<Name>()
    }

    #[inline]
    fn hash(&self, scope: u32, text: &str) -> u64 {
        hash(&self.hasher, scope, text)
    }
}

#[inline]
fn hash(hasher: &RandomState, scope: u32, text: &str) -> u64 {
    hasher.hash_one((scope, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_removed_with_its_last_reference() {
        let mut names = Names::default();
        let (first, is_new) = names.acquire(0, "acme");
        assert!(is_new);
        assert_eq!(names.acquire(0, "acme"), (first, false));
        let (other, _) = names.acquire(1, "acme");
        assert_ne!(first, other);
        assert!(!names.release(first));
        assert!(names.release(first));
        assert_eq!(names.find(0, "acme"), None);
        assert_eq!(names.find(1, "acme"), Some(other));
        assert_eq!(names.acquire(0, "globex"), (first, true));
        assert_eq!((names.len(), names.bound()), (2, 2));
        assert_eq!((names.text(other), names.scope(other)), ("acme", 1));
    }
}
