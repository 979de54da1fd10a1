//! The configuration of workflows and tenants, the forwards of merged contacts, and the contacts with
//! ended enrollments that goals watch.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::ended::{EndedContacts, MissingEnds};
use super::forwards::Target;
use super::{Index, KEEPS_CONTACTS};
use crate::config::{CHECKS_ON_ENROLLMENT, Workflow};
use crate::ids::packed::Key;

impl Index {
    /// Replaces the configuration of these workflows; others keep theirs. Visits every
    /// workflow once.
    pub fn configure(&mut self, workflows: Vec<(String, String, Workflow)>) {
        for (tenant, id, config) in workflows {
            // The workflow holds a reference to its tenant's name; this one is temporary.
            let (number, _) = self.acquire_tenant(&tenant);
            let workflow = self.acquire_workflow(number, &id);
            self.release_tenant(number);
            self.listens[workflow as usize] = config.listens();
            if config.is_active {
                self.forget_missed(workflow);
            }
            let previous = self.states[workflow as usize].config.replace(config);
            if previous.is_some() {
                // A configuration holds one reference to the workflow's name.
                self.release_workflow(workflow);
            }
        }
        self.update_tenant_listens();
    }

    /// Removes the configuration of these (tenant, workflow) pairs. Visits every workflow once.
    pub fn unconfigure<'a>(&mut self, workflows: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let mut is_changed = false;
        for (tenant, id) in workflows {
            let Some(workflow) = self.workflow(tenant, id) else {
                continue;
            };
            if self.states[workflow as usize].config.take().is_some() {
                self.listens[workflow as usize] = 0;
                self.release_workflow(workflow);
                is_changed = true;
            }
        }
        if is_changed {
            self.update_tenant_listens();
        }
    }

    /// These tenants have a projection of contacts from now on.
    pub fn keep_contacts<'a>(&mut self, tenants: impl IntoIterator<Item = &'a str>) {
        for tenant in tenants {
            let (number, _) = self.acquire_tenant(tenant);
            if !self.keeps_contacts.insert(number) {
                self.release_tenant(number);
            }
        }
        self.update_tenant_listens();
    }

    /// Whether any contact of the slots was merged into another.
    #[inline]
    pub fn has_forwards(&self) -> bool {
        !self.forwards.is_empty()
    }

    /// The contact into which this one was merged (E21).
    pub fn forward_of(&self, tenant: &str, contact: &str) -> Option<&Target> {
        let number = self.tenant(tenant)?;
        self.forwards.target(number, tenant, contact)
    }

    /// Sets the secret of the keys of forwards.
    pub fn set_forward_secret(&mut self, secret: &str) {
        self.forwards.set_secret(secret);
    }

    /// Adds a forward, or removes it (`None`).
    pub fn set_forward(&mut self, tenant: &str, key: Uuid, target: Option<Target>) {
        let (number, _) = self.acquire_tenant(tenant);
        let keeps_name = match target {
            Some(target) => self.forwards.insert(number, key, target),
            None => {
                if self.forwards.remove(number, key) {
                    self.release_tenant(number);
                }
                false
            }
        };
        if !keeps_name {
            self.release_tenant(number);
        }
    }

    fn update_tenant_listens(&mut self) {
        self.tenant_listens.fill(0);
        self.checks_on_enrollment = false;
        for (number, state) in self.states.iter().enumerate() {
            if let Some(config) = &state.config {
                let tenant = self.workflows.scope(number as u32);
                let needs = u8::from(config.needs_contacts()) * KEEPS_CONTACTS;
                self.tenant_listens[tenant as usize] |= self.listens[number] | needs;
                self.checks_on_enrollment |= self.listens[number] & CHECKS_ON_ENROLLMENT != 0;
            }
        }
        for &tenant in &self.keeps_contacts {
            self.tenant_listens[tenant as usize] |= KEEPS_CONTACTS;
        }
        self.update_ended();
    }

    /// Updates which of the configured tenants have goals that watch ended enrollments (E18).
    fn update_ended(&mut self) {
        let mut tenants: BTreeMap<u32, (i64, Vec<u32>)> = BTreeMap::new();
        for (number, state) in self.states.iter().enumerate() {
            let Some(config) = &state.config else {
                continue;
            };
            let horizon = config.horizon(self.late_us);
            let tenant = self.workflows.scope(number as u32);
            let (longest, workflows) = tenants.entry(tenant).or_default();
            if horizon > 0 {
                *longest = horizon.max(*longest);
                workflows.push(number as u32);
            }
        }
        self.ended.configure(tenants);
    }

    /// The contacts with ended enrollments that may be watched (E18).
    #[inline]
    pub fn ended(&self) -> &EndedContacts {
        &self.ended
    }

    pub fn ended_mut(&mut self) -> &mut EndedContacts {
        &mut self.ended
    }

    /// For how long an enrollment is watched after its end, by goals without a window.
    pub fn late_us(&self) -> i64 {
        self.late_us
    }

    /// The ends that must be loaded first, with the name of their tenant.
    pub fn ended_to_load(&self, now_us: i64) -> Option<(&str, MissingEnds)> {
        let missing = self.ended.to_load(now_us)?;
        Some((self.tenants.text(missing.tenant), missing))
    }

    /// Inserts the end of an enrollment that was loaded.
    pub fn load_ended(&mut self, tenant: &str, contact: &str, ended_at: i64, now_us: i64) {
        if let Some(tenant) = self.tenant(tenant) {
            let hash = self.hash(tenant, Key::of(contact));
            self.ended.load(tenant, hash, ended_at, now_us);
        }
    }

    /// An enrollment of a contact has ended at this time. `None`: it may have ended at any.
    pub fn insert_ended(&mut self, tenant: &str, contact: &str, ended_at: Option<i64>) {
        if let Some(tenant) = self.tenant(tenant) {
            let hash = self.hash(tenant, Key::of(contact));
            self.ended.insert(tenant, hash, ended_at);
        }
    }
}
