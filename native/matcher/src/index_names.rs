//! Names that many records share (tenants, workflows), each kept once and counted.

use ahash::RandomState;
use hashbrown::HashTable;

/// A name within a scope: a workflow's is its tenant's number, a tenant's is 0.
#[derive(Debug)]
struct Name {
    scope: u32,
    uses: u32,
    text: Box<str>,
}

/// Numbers for names. One that nobody uses any more goes, and its number is given again.
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

    /// One more than the greatest number given.
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

    /// The number of a name, used once more; and whether the name is new.
    pub fn take(&mut self, scope: u32, text: &str) -> (u32, bool) {
        if let Some(number) = self.find(scope, text) {
            self.names[number as usize].uses += 1;
            return (number, false);
        }
        let name = Name {
            scope,
            uses: 1,
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

    /// One use less; true where that was the last, and the number is free.
    pub fn release(&mut self, number: u32) -> bool {
        let name = &mut self.names[number as usize];
        name.uses -= 1;
        if name.uses > 0 {
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

    /// Bytes held.
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
    fn a_name_lasts_as_long_as_it_is_used() {
        let mut names = Names::default();
        let (first, new) = names.take(0, "acme");
        assert!(new);
        assert_eq!(names.take(0, "acme"), (first, false));
        let (other, _) = names.take(1, "acme");
        assert_ne!(first, other);
        assert!(!names.release(first));
        assert!(names.release(first));
        assert_eq!(names.find(0, "acme"), None);
        assert_eq!(names.find(1, "acme"), Some(other));
        assert_eq!(names.take(0, "globex"), (first, true));
        assert_eq!((names.len(), names.bound()), (2, 2));
        assert_eq!((names.text(other), names.scope(other)), ("acme", 1));
    }
}
