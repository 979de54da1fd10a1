//! The enrollments for which missed events are judged, and those whose events a batch keeps (E19).

use ahash::RandomState;
use hashbrown::HashSet;
use uuid::Uuid;

/// An enrollment of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Run {
    /// Its record number in the index.
    Indexed(u32),
    /// The number of the effect that starts it.
    New(usize),
}

/// Tenant, enrollment id and event.
type Judged<'o> = (&'o str, &'o str, Uuid);

/// The enrollments of which the batch keeps an event, and those that alone are judged.
#[derive(Debug, Default)]
pub struct Missed<'o> {
    kept: HashSet<Run, RandomState>,
    only: Option<HashSet<Judged<'o>, RandomState>>,
}

impl<'o> Missed<'o> {
    /// `only`: see `EvaluateOptions`.
    pub fn new(only: Option<&'o [(String, String, Uuid)]>) -> Missed<'o> {
        let row = |(tenant, enrollment, event): &'o (String, String, Uuid)| {
            (tenant.as_str(), enrollment.as_str(), *event)
        };
        Missed {
            kept: HashSet::default(),
            only: only.map(|rows| rows.iter().map(row).collect()),
        }
    }

    /// Whether the events of the batch were missed earlier, and are judged for some enrollments
    /// only.
    #[inline]
    pub fn is_replay(&self) -> bool {
        self.only.is_some()
    }
    /// Whether an event of this key is judged for this enrollment: always, unless `is_replay`.
    pub fn is_judged(&self, tenant: &str, enrollment: &str, event: Uuid) -> bool {
        let only = self.only.as_ref();
        only.is_none_or(|only| only.contains(&(tenant, enrollment, event)))
    }

    /// Keeps an event of this enrollment. False if the batch keeps an earlier one.
    pub fn keep(&mut self, run: Run) -> bool {
        self.kept.insert(run)
    }
}
