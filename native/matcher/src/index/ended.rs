//! The contacts whose enrollments ended a while ago (E18).
//!
//! Postgres has the ended enrollments. This table only saves asking it: for each contact it has the
//! time of the latest end, in 8 bytes: 11 to 21 with the free space of the table. Each tenant has a
//! time since which it is complete. Before that, every contact may have an
//! enrollment that ended: while the table is loaded, after a longer window was configured, for an
//! event that waited long in its stream. If there are too many contacts, it has those of a tenant
//! whose hashes are small, and any other one may have such an enrollment.
//! So the table can lack anything, and no event is lost.

use std::collections::BTreeMap;

use ahash::RandomState;
use hashbrown::{HashMap, HashTable};

use crate::event::time::LAST_US;

/// The contacts of all tenants in the table of one shard: at most 38 MB.
pub const MOST_CONTACTS: usize = 2_000_000;
/// A tenant's contacts are kept, and loaded, for this long and a quarter of its horizon beyond the
/// horizon, so that events that waited in their streams are still found in the table.
const MARGIN_US: i64 = 60_000_000;
const SECOND_US: i64 = 1_000_000;
/// After the horizon of a tenant became shorter, its contacts are kept for this long as before: a
/// goal that is turned off and on again need not be loaded again.
const KEEP_US: i64 = 86_400 * SECOND_US;
/// After every time of an event.
const NEVER: i64 = LAST_US + 1;
/// An end at an unknown time, until `sweep` knows the time.
const UNKNOWN: u32 = u32::MAX;

/// The latest end of an enrollment of a contact, in seconds.
#[derive(Debug, Clone, Copy)]
struct Contact {
    /// A part of the hash of tenant and contact. Another contact may have the same one: then
    /// Postgres is asked in vain.
    hash: u32,
    ended_at: u32,
}

const _: () = assert!(size_of::<Contact>() == 8);

/// The ends of a tenant that the table lacks: those before a time, back to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingEnds {
    pub tenant: u32,
    /// The generation of the tenant's part of the table. Ends that were read for another generation
    /// are not all that is missing now.
    pub generation: u64,
    pub before: i64,
    pub first: i64,
}

/// A tenant with goals that watch ended enrollments, or that had some.
#[derive(Debug)]
struct Tenant {
    /// For how long after its end an enrollment may be watched, in microseconds.
    horizon: i64,
    /// For how long contacts are kept: the longest horizon of the last day.
    kept: i64,
    /// Since when the horizon is known to be shorter than that.
    shorter_since: Option<i64>,
    /// The configured workflows with goals that watch.
    workflows: Box<[u32]>,
    contacts: HashTable<Contact>,
    /// See `MissingEnds`.
    generation: u64,
    /// Every end at or after this time is loaded, of the contacts whose hashes are at most
    /// `last_hash`.
    loaded: i64,
    /// The contacts with other hashes are left out.
    last_hash: u32,
    /// How many contacts it will probably have when its ends are loaded.
    expected: usize,
    /// Ends before this time were dropped.
    dropped: i64,
    swept_at: i64,
}

impl Tenant {
    fn complete_since(&self) -> i64 {
        self.loaded.max(self.dropped)
    }

    fn margin(horizon: i64) -> i64 {
        (horizon / 4).saturating_add(MARGIN_US)
    }

    /// The earliest end that the table should have at this time, for a horizon.
    fn start(horizon: i64, now_us: i64) -> i64 {
        now_us.saturating_sub(horizon.saturating_add(Tenant::margin(horizon)))
    }

    /// The earliest end that the table should have at this time and that was not dropped.
    fn missing_from(&self, now_us: i64) -> i64 {
        Tenant::start(self.horizon, now_us).max(self.dropped)
    }

    /// The time back to which ends are missing. `None` if the table has all that it should have.
    fn missing(&self, now_us: i64) -> Option<i64> {
        let first = self.missing_from(now_us);
        (self.horizon > 0 && self.loaded > first).then_some(first)
    }

    /// Sets for how long enrollments may be watched. Ends that only a longer horizon needs must be
    /// loaded.
    fn set_horizon(&mut self, horizon: i64, generation: u64) {
        self.horizon = horizon;
        if horizon < self.kept {
            return;
        }
        if horizon > self.kept {
            self.loaded = self.complete_since();
            self.dropped = i64::MIN;
            self.generation = generation;
        }
        self.kept = horizon;
        self.shorter_since = None;
    }

    /// Ends the time for which contacts are kept for a longer horizon.
    fn shorten(&mut self, now_us: i64) {
        if self.horizon < self.kept {
            let since = *self.shorter_since.get_or_insert(now_us);
            if now_us.saturating_sub(since) >= KEEP_US {
                self.kept = self.horizon;
                self.shorter_since = None;
            }
        }
    }

    /// Removes the contacts whose last end is before this time. Returns their number.
    fn drop_before(&mut self, time: i64) -> usize {
        let (before, end) = (self.contacts.len(), seconds(time));
        self.contacts.retain(|contact| contact.ended_at >= end);
        self.dropped = self.dropped.max(time);
        self.contacts.shrink_to_fit(|contact| spread(contact.hash));
        before - self.contacts.len()
    }

    /// Leaves out contacts, regardless of the times of their ends, so that `most` stay. Returns how many
    /// it removes.
    fn keep(&mut self, most: usize) -> usize {
        let excess = self.contacts.len().saturating_sub(most);
        if excess > 0 {
            let mut hashes: Vec<u32> = self.contacts.iter().map(|c| c.hash).collect();
            let (_, first, _) = hashes.select_nth_unstable(most);
            self.last_hash = first.saturating_sub(1);
            self.contacts.retain(|contact| contact.hash < *first);
            self.contacts.shrink_to_fit(|contact| spread(contact.hash));
        }
        excess
    }

    /// How many contacts it would probably have if none were left out.
    fn all(&self) -> usize {
        let part = (f64::from(self.last_hash) + 1.0) / (f64::from(u32::MAX) + 1.0);
        (self.contacts.len() as f64 / part) as usize
    }

    /// How many contacts it has, or will probably have after the load that it needs.
    fn expected(&self, now_us: i64) -> usize {
        let loads = self.missing(now_us).map_or(0, |_| self.expected);
        self.contacts.len().max(loads)
    }

    /// Has all contacts again. Their ends must be loaded.
    fn extend(&mut self, generation: u64) {
        self.expected = self.all();
        self.last_hash = u32::MAX;
        self.loaded = NEVER;
        self.generation = generation;
    }
}

/// Contacts with ended enrollments, by tenant.
#[derive(Debug)]
pub struct EndedContacts {
    most: usize,
    tenants: HashMap<u32, Tenant, RandomState>,
    len: usize,
    /// The last generation of a tenant.
    generation: u64,
    /// The contacts that were dropped because there were too many.
    dropped: u64,
}

impl EndedContacts {
    /// An empty table for at most `most` contacts.
    pub fn new(most: usize) -> EndedContacts {
        EndedContacts {
            most: most.max(1),
            tenants: HashMap::default(),
            len: 0,
            generation: 0,
            dropped: 0,
        }
    }

    /// Replaces the configured tenants: their horizons in microseconds, 0 if they do not watch ended
    /// enrollments, and their workflows that watch.
    pub fn configure(&mut self, tenants: BTreeMap<u32, (i64, Vec<u32>)>) {
        self.retain(|number, _| tenants.contains_key(&number));
        for (number, (horizon, workflows)) in tenants {
            if horizon == 0 && !self.tenants.contains_key(&number) {
                continue;
            }
            self.generation += 1;
            let tenant = self.tenants.entry(number).or_insert_with(|| Tenant {
                horizon: 0,
                kept: 0,
                shorter_since: None,
                workflows: Box::default(),
                contacts: HashTable::new(),
                generation: self.generation,
                loaded: NEVER,
                last_hash: u32::MAX,
                expected: 0,
                dropped: i64::MIN,
                swept_at: i64::MIN,
            });
            tenant.set_horizon(horizon, self.generation);
            tenant.workflows = workflows.into();
        }
    }

    /// Removes the other tenants.
    fn retain(&mut self, keeps: impl Fn(u32, &Tenant) -> bool) {
        self.tenants.retain(|&number, tenant| {
            let is_kept = keeps(number, tenant);
            if !is_kept {
                self.len -= tenant.contacts.len();
            }
            is_kept
        });
    }

    /// The workflows of a tenant that watch ended enrollments.
    #[inline]
    pub fn workflows(&self, tenant: u32) -> &[u32] {
        let tenant = self.tenants.get(&tenant);
        tenant.map_or(&[], |tenant| &tenant.workflows)
    }

    /// Whether a contact may have an enrollment that is watched at this time.
    #[inline]
    pub fn may_have(&self, tenant: u32, hash: u64, time: i64) -> bool {
        let Some(tenant) = self.tenants.get(&tenant) else {
            return false;
        };
        if tenant.workflows.is_empty() {
            return false;
        }
        let first = time.saturating_sub(tenant.horizon);
        let hash = part(hash);
        if first < tenant.complete_since() || hash > tenant.last_hash {
            return true;
        }
        if tenant.contacts.is_empty() {
            return false;
        }
        let first = seconds(first);
        let found = tenant
            .contacts
            .find(spread(hash), |contact| contact.hash == hash);
        found.is_some_and(|contact| contact.ended_at >= first)
    }

    /// An enrollment of a contact has ended at this time. `None`: it may have ended at any.
    pub fn insert(&mut self, tenant: u32, hash: u64, ended_at: Option<i64>) {
        let Some(tenant) = self.tenants.get_mut(&tenant) else {
            return;
        };
        let ended_at = ended_at.map_or(UNKNOWN, |at| seconds(at).min(UNKNOWN - 1));
        let hash = part(hash);
        if hash > tenant.last_hash {
            return;
        }
        let key = spread(hash);
        if let Some(contact) = tenant
            .contacts
            .find_mut(key, |contact| contact.hash == hash)
        {
            contact.ended_at = contact.ended_at.max(ended_at);
            return;
        }
        let contact = Contact { hash, ended_at };
        tenant
            .contacts
            .insert_unique(key, contact, |contact| spread(contact.hash));
        self.len += 1;
        if self.len > self.most {
            self.shrink();
        }
    }

    /// The ends that must be loaded first: of the tenant whose part of the table is complete for
    /// the shortest time. `None` if the table has all that it should have.
    pub fn to_load(&self, now_us: i64) -> Option<MissingEnds> {
        let missing = self.tenants.iter().filter_map(|(&number, tenant)| {
            Some(MissingEnds {
                tenant: number,
                generation: tenant.generation,
                before: tenant.loaded,
                first: tenant.missing(now_us)?,
            })
        });
        missing.max_by_key(|of| (of.before, of.tenant))
    }

    /// Inserts an end that was loaded, unless the table has it or need not have it.
    pub fn load(&mut self, tenant: u32, hash: u64, ended_at: i64, now_us: i64) {
        let wants =
            |tenant: &Tenant| (tenant.missing_from(now_us)..tenant.loaded).contains(&ended_at);
        if self.tenants.get(&tenant).is_some_and(wants) {
            self.insert(tenant, hash, Some(ended_at));
        }
    }

    /// All ends of a tenant that were missing at this generation are loaded back to this time.
    /// Returns the time back to which ends are missing now; `None` if none are, or if the
    /// generation is another one.
    pub fn set_loaded(
        &mut self,
        tenant: u32,
        generation: u64,
        first: i64,
        now_us: i64,
    ) -> Option<i64> {
        let tenant = self.tenants.get_mut(&tenant)?;
        if tenant.generation != generation {
            return None;
        }
        tenant.loaded = tenant.loaded.min(first);
        tenant.missing(now_us)
    }

    /// Removes contacts whose enrollments are not watched any more.
    pub fn sweep(&mut self, now_us: i64) {
        let mut parts = Vec::new();
        for (&number, tenant) in &mut self.tenants {
            tenant.shorten(now_us);
            let since = now_us.saturating_sub(tenant.swept_at);
            let is_due = since >= Tenant::margin(tenant.kept);
            if !is_due || (tenant.contacts.is_empty() && tenant.last_hash == u32::MAX) {
                continue;
            }
            for contact in tenant.contacts.iter_mut() {
                if contact.ended_at == UNKNOWN {
                    contact.ended_at = seconds(now_us).min(UNKNOWN - 1);
                }
            }
            self.len -= tenant.drop_before(Tenant::start(tenant.kept, now_us));
            tenant.swept_at = now_us;
            if tenant.last_hash < u32::MAX {
                parts.push((tenant.all(), number));
            }
        }
        self.retain(|_, tenant| tenant.kept > 0);
        parts.sort_unstable();
        for (all, number) in parts {
            self.extend(number, all, now_us);
        }
    }

    /// Lets a tenant have all its contacts again, if they fit next to those of the others.
    fn extend(&mut self, number: u32, all: usize, now_us: i64) {
        let others = self.tenants.iter().filter(|&(&other, _)| other != number);
        let expected: usize = others.map(|(_, tenant)| tenant.expected(now_us)).sum();
        if expected + all > self.target() {
            return;
        }
        if let Some(tenant) = self.tenants.get_mut(&number) {
            self.generation += 1;
            tenant.extend(self.generation);
        }
    }

    /// How many contacts stay when there were too many.
    fn target(&self) -> usize {
        self.most - self.most / 8
    }

    /// Leaves out contacts of the tenants that have most, down to a number that is the same for them,
    /// until seven eighths of the table are in use. Other tenants lose none. Not the oldest ones:
    /// then all contacts of the tenant could have an enrollment that ended since.
    fn shrink(&mut self) {
        let target = self.target();
        let mut sizes: Vec<usize> = self.tenants.values().map(|t| t.contacts.len()).collect();
        sizes.sort_unstable();
        let (mut rest, mut count) = (target, sizes.len());
        let mut share = target;
        for size in sizes {
            share = rest / count;
            if size > share {
                break;
            }
            rest -= size;
            count -= 1;
        }
        for tenant in self.tenants.values_mut() {
            let dropped = tenant.keep(share);
            self.len -= dropped;
            self.dropped += dropped as u64;
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// The number of contacts that were dropped because there were too many.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Bytes of memory in use.
    pub fn bytes(&self) -> usize {
        let of =
            |tenant: &Tenant| tenant.contacts.allocation_size() + size_of_val(&*tenant.workflows);
        self.tenants.values().map(of).sum::<usize>() + self.tenants.allocation_size()
    }
}

/// The part of a hash that the table keeps.
fn part(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Distributes that part over all bits.
fn spread(hash: u32) -> u64 {
    u64::from(hash)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .rotate_left(32)
        ^ u64::from(hash)
}

fn seconds(time: i64) -> u32 {
    let seconds = time.div_euclid(SECOND_US);
    u32::try_from(seconds.max(0)).unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests;
