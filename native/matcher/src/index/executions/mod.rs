//! The executions of enrollments: a record of 56 bytes each, found by the number of the enrollment.
//!
//! The contact index finds the enrollments of a contact, and this table their executions. So
//! enrollments without an execution take at most four bytes, and none if no execution is near.

mod counts;
mod record;
mod steps;
mod wheel;

use std::collections::{BTreeSet, HashMap};

use self::record::Record;
use self::wheel::Wheel;
use super::slab::{NONE, Slab};

pub use self::counts::ExecutionCounts;
pub use self::record::{Execution, State};
pub use self::steps::Steps;

/// Enrollments per page of links.
const PAGE: usize = 1024;

/// An execution, ordered by time.
type Timed = (i64, u32);
/// A due execution, ordered by whether it needs a permit: the others hold theirs until they start a
/// job. Then by the time at which its step became due.
type Due = (bool, i64, u32);

/// The timers and counts of a workflow.
#[derive(Debug, Default)]
struct OfWorkflow {
    is_active: bool,
    /// The timers that do not fire because the workflow is inactive (X11).
    suspended: BTreeSet<Timed>,
}

/// The plan of an execution, as far as this table knows it.
#[derive(Debug, Clone, Copy, Default)]
struct OfPlan {
    workflow: u32,
    executions: u32,
}

#[derive(Debug)]
pub struct Executions {
    records: Slab<Record>,
    /// The number of executions, by state.
    states: [u32; State::ALL.len()],
    /// By enrollment: its execution, or `NONE`.
    links: Vec<Option<Box<[u32; PAGE]>>>,
    wheel: Wheel,
    /// Timers that have fired and are not processed, the oldest first.
    fired: BTreeSet<Timed>,
    /// The executions that wait for a job, by the numbers of `step_queues`.
    queues: Vec<BTreeSet<Due>>,
    plans: Vec<OfPlan>,
    /// By plan: the number of the queue of each step.
    step_queues: Vec<Box<[u32]>>,
    workflows: Vec<OfWorkflow>,
    /// By execution: the done steps that its plan does not have. Rare.
    other_done: HashMap<u32, Box<[Box<str>]>>,
    /// The contacts to which executions moved, and that may have more than they may (E21).
    moved: BTreeSet<u32>,
}

impl Default for Executions {
    fn default() -> Executions {
        Executions {
            records: Slab::new(),
            states: [0; State::ALL.len()],
            links: Vec::new(),
            wheel: Wheel::default(),
            fired: BTreeSet::new(),
            queues: Vec::new(),
            plans: Vec::new(),
            step_queues: Vec::new(),
            workflows: Vec::new(),
            other_done: HashMap::new(),
            moved: BTreeSet::new(),
        }
    }
}

impl Executions {
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// The number of the execution of an enrollment.
    pub fn of(&self, enrollment: u32) -> Option<u32> {
        let page = self.links.get(enrollment as usize / PAGE)?.as_ref()?;
        Some(page[enrollment as usize % PAGE]).filter(|&at| at != NONE)
    }

    pub fn get(&self, at: u32) -> Execution {
        self.records.get(at).execution()
    }

    /// The contact and the enrollment of an execution.
    pub fn owner(&self, at: u32) -> (u32, u32) {
        let record = self.records.get(at);
        (record.contact, record.enrollment)
    }

    /// The ids of the done steps that its plan does not have.
    pub fn other_done(&self, at: u32) -> &[Box<str>] {
        self.other_done.get(&at).map_or(&[], |ids| ids)
    }

    /// Sets them.
    pub fn set_other_done(&mut self, at: u32, ids: &[Box<str>]) {
        if ids.is_empty() {
            self.other_done.remove(&at);
        } else {
            self.other_done.insert(at, ids.into());
        }
    }

    /// Sets the workflow of a plan, and the queues of its steps, before executions use it. A plan that
    /// they use keeps its queues.
    pub fn set_plan(&mut self, plan: u32, workflow: u32, queues: Box<[u32]>) {
        let at = plan as usize;
        if self.plans.len() <= at {
            self.plans.resize_with(at + 1, OfPlan::default);
            self.step_queues.resize_with(at + 1, Box::default);
        }
        self.plans[at].workflow = workflow;
        let bound = queues.iter().max().map_or(0, |last| *last as usize + 1);
        if self.queues.len() < bound {
            self.queues.resize_with(bound, BTreeSet::new);
        }
        self.step_queues[at] = queues;
        if self.workflows.len() <= workflow as usize {
            self.workflows
                .resize_with(workflow as usize + 1, OfWorkflow::default);
        }
    }

    /// Whether an execution uses the plan.
    pub fn uses(&self, plan: u32) -> bool {
        self.plans[plan as usize].executions > 0
    }

    /// Starts or stops the timers of a workflow (X11).
    pub fn set_active(&mut self, workflow: u32, is_active: bool) {
        let of_workflow = &mut self.workflows[workflow as usize];
        if std::mem::replace(&mut of_workflow.is_active, is_active) == is_active {
            return;
        }
        if is_active {
            self.fired.append(&mut of_workflow.suspended);
            return;
        }
        let (records, plans) = (&self.records, &self.plans);
        let suspends = |timed: &Timed| {
            let execution = records.get(timed.1).execution();
            plans[execution.plan as usize].workflow == workflow && execution.state != State::Failed
        };
        let stopped: Vec<Timed> = self.fired.iter().copied().filter(suspends).collect();
        for timed in stopped {
            self.fired.remove(&timed);
            of_workflow.suspended.insert(timed);
        }
    }

    /// Adds the execution of an enrollment that has none.
    pub fn insert(&mut self, contact: u32, enrollment: u32, execution: &Execution) -> u32 {
        let at = self
            .records
            .insert(Record::new(enrollment, contact, execution));
        let page = enrollment as usize / PAGE;
        if self.links.len() <= page {
            self.links.resize_with(page + 1, || None);
        }
        let page = self.links[page].get_or_insert_with(|| Box::new([NONE; PAGE]));
        page[enrollment as usize % PAGE] = at;
        self.plans[execution.plan as usize].executions += 1;
        self.enter(at, execution);
        at
    }

    /// Replaces an execution.
    pub fn update(&mut self, at: u32, execution: &Execution) {
        let before = self.get(at);
        self.leave(at, &before);
        self.plans[before.plan as usize].executions -= 1;
        self.plans[execution.plan as usize].executions += 1;
        let (contact, enrollment) = self.owner(at);
        *self.records.get_mut(at) = Record::new(enrollment, contact, execution);
        self.enter(at, execution);
    }

    /// Removes the execution of an enrollment, if it has one.
    pub fn remove_of(&mut self, enrollment: u32) {
        let Some(at) = self.of(enrollment) else {
            return;
        };
        let execution = self.get(at);
        self.leave(at, &execution);
        self.plans[execution.plan as usize].executions -= 1;
        let page = self.links[enrollment as usize / PAGE].as_mut();
        if let Some(page) = page {
            page[enrollment as usize % PAGE] = NONE;
        }
        self.set_other_done(at, &[]);
        let (contact, _) = self.owner(at);
        self.moved.remove(&contact);
        self.records.remove(at);
    }

    /// An execution moved to a contact.
    pub fn mark_moved(&mut self, contact: u32) {
        self.moved.insert(contact);
    }

    /// The contacts to which executions moved, until one of their executions leaves memory or
    /// `forget_moved`.
    pub fn moved(&self) -> impl Iterator<Item = u32> {
        self.moved.iter().copied()
    }

    /// Executions of a contact are those that it may have.
    pub fn forget_moved(&mut self, contact: u32) {
        self.moved.remove(&contact);
    }

    /// Fires the timers that are not later than `watermark` (X6).
    pub fn advance(&mut self, watermark: i64) {
        let (records, plans) = (&mut self.records, &self.plans);
        let mut fired = Vec::new();
        self.wheel
            .advance(records, watermark, |due, at| fired.push((due, at)));
        for timed in fired {
            let execution = records.get(timed.1).execution();
            let of_workflow = &mut self.workflows[plans[execution.plan as usize].workflow as usize];
            if of_workflow.is_active || execution.state == State::Failed {
                self.fired.insert(timed);
            } else {
                of_workflow.suspended.insert(timed);
            }
        }
    }

    /// The executions whose timers have fired, the oldest first.
    pub fn fired(&self) -> impl Iterator<Item = u32> {
        self.fired.iter().map(|&(_, at)| at)
    }

    /// The executions in a queue, in its order.
    pub fn queue(&self, number: u32) -> impl ExactSizeIterator<Item = u32> {
        self.queues[number as usize].iter().map(|&(_, _, at)| at)
    }

    /// The queues that are not empty.
    pub fn queues(&self) -> impl Iterator<Item = u32> {
        let queues = self.queues.iter().enumerate();
        let queues = queues.filter(|(_, queue)| !queue.is_empty());
        queues.map(|(number, _)| number as u32)
    }

    /// The queue of a due execution, and its place there.
    fn due_place(&mut self, at: u32, execution: &Execution) -> (&mut BTreeSet<Due>, Due) {
        let of_steps = &self.step_queues[execution.plan as usize];
        let queue = of_steps[usize::from(execution.step)] as usize;
        let place = (!execution.state.has_permit(), execution.since, at);
        (&mut self.queues[queue], place)
    }

    /// The executions in this state. Reads all of them.
    pub fn in_state(&self, state: State) -> impl Iterator<Item = u32> {
        let pages = self
            .links
            .iter()
            .flatten()
            .flat_map(|page| page.iter().copied());
        pages.filter(move |&at| at != NONE && self.get(at).state == state)
    }

    /// Adds an execution to the queue or the timers that its state needs.
    fn enter(&mut self, at: u32, execution: &Execution) {
        self.states[execution.state as usize] += 1;
        let of_plan = self.plans[execution.plan as usize];
        if execution.state.is_due() {
            let (queue, place) = self.due_place(at, execution);
            queue.insert(place);
        } else if let Some(due) = self.records.get(at).due() {
            if !self.wheel.insert(&mut self.records, at, due) {
                self.timers(of_plan.workflow, execution.state)
                    .insert((due, at));
            }
        }
    }

    fn leave(&mut self, at: u32, execution: &Execution) {
        self.states[execution.state as usize] -= 1;
        let of_plan = self.plans[execution.plan as usize];
        if execution.state.is_due() {
            let (queue, place) = self.due_place(at, execution);
            queue.remove(&place);
        } else if let Some(due) = self.records.get(at).due() {
            if !self
                .timers(of_plan.workflow, execution.state)
                .remove(&(due, at))
            {
                self.wheel.remove(&mut self.records, at);
            }
        }
    }

    /// The fired timers of executions in this state.
    fn timers(&mut self, workflow: u32, state: State) -> &mut BTreeSet<Timed> {
        let of_workflow = &mut self.workflows[workflow as usize];
        if of_workflow.is_active || state == State::Failed {
            &mut self.fired
        } else {
            &mut of_workflow.suspended
        }
    }

    /// The counts at this time. Reads the timers that are due, and no other executions.
    pub fn counts(&self, now: i64) -> ExecutionCounts {
        let first_due = self.queues.iter().flat_map(|queue| {
            let with_permit = queue.first();
            with_permit
                .into_iter()
                .chain(queue.range((true, i64::MIN, 0)..).next())
        });
        let (timers_held, oldest_held) = self.wheel.until(&self.records, now);
        let fired = self.fired.first().map(|&(due, _)| due);
        ExecutionCounts {
            states: self.states,
            due: self.queues.iter().map(|queue| queue.len()).sum(),
            oldest_due: first_due.map(|&(_, since, _)| since).min(),
            timers_held,
            oldest_timer: oldest_held.into_iter().chain(fired).min(),
        }
    }

    /// Bytes of memory in use. A node of a set is counted as twice its entries.
    pub fn bytes(&self) -> usize {
        let pages = self.links.iter().flatten().count() * size_of::<[u32; PAGE]>();
        let suspended: usize = self.workflows.iter().map(|each| each.suspended.len()).sum();
        let queued: usize = self.queues.iter().map(BTreeSet::len).sum();
        self.records.bytes()
            + pages
            + self.links.capacity() * size_of::<Option<Box<[u32; PAGE]>>>()
            + size_of::<Wheel>()
            + (self.fired.len() + suspended) * 2 * size_of::<Timed>()
            + queued * 2 * size_of::<Due>()
            + self.plans.capacity() * size_of::<OfPlan>()
    }
}
