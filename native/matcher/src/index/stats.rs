//! Counts of the index's contents.

use super::records::Stats;
use super::{Index, WorkflowState};
use crate::event::MatchValues;

impl Index {
    pub fn stats(&self) -> Stats {
        let configured = || {
            self.states
                .iter()
                .filter_map(|state| Some((state, state.config.as_ref()?)))
        };
        Stats {
            tenants: self.tenants.len(),
            workflows: configured().count(),
            goals: configured().map(|(_, config)| config.goals.len()).sum(),
            contacts: self.contacts.len(),
            enrollments: self.enrollments.len(),
            listeners: configured()
                .map(|(state, config)| {
                    state.enrollments as usize * config.listeners_per_enrollment()
                })
                .sum(),
            ended_contacts: self.ended.len(),
            ended_contacts_dropped: self.ended.dropped(),
            bytes: self.bytes(),
        }
    }

    /// Bytes of memory in use, without the texts of the configuration.
    fn bytes(&self) -> usize {
        let met: usize = self.met.values().map(|met| size_of_val(&**met)).sum();
        let values: usize = self.match_values.values().map(MatchValues::bytes).sum();
        self.contacts.bytes()
            + self.enrollments.bytes()
            + self.table.bytes()
            + self.met.allocation_size()
            + met
            + self.match_values.allocation_size()
            + values
            + self.joined_at.allocation_size()
            + self.missed.allocation_size()
            + self.executions.bytes()
            + self.ended.bytes()
            + self.high_fanout.bytes()
            + self.long_ids.bytes()
            + self.tenants.bytes()
            + self.workflows.bytes()
            + self.states.capacity() * size_of::<WorkflowState>()
            + self.listens.capacity()
            + self.tenant_listens.capacity()
            + self.forwards.bytes()
    }
}
