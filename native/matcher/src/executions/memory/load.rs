//! Reads executions as `Matcher::load_executions` takes them.

use crate::executions::registry::Registry;
use crate::index::copy::{CopyReader, LoadError, boolean, integer, text};
use crate::index::{Execution, Index, State, Steps};
use crate::plan::UTC;

const COLUMNS: [&str; 18] = [
    "tenant_id",
    "execution_id",
    "contact_id",
    "workflow_id",
    "version",
    "state",
    "step_id",
    "visit",
    "attempt",
    "retry_count",
    "hops",
    "zone",
    "since",
    "due_at",
    "done_steps",
    "migrates",
    "used_event",
    "since_seq",
];
/// Separates the ids of done steps.
const SEPARATOR: char = '\x1f';

/// Reads one stream of executions after another.
#[derive(Debug)]
pub struct ExecutionLoader(CopyReader<18>);

impl Default for ExecutionLoader {
    fn default() -> ExecutionLoader {
        ExecutionLoader(CopyReader::new("executions", COLUMNS))
    }
}

impl ExecutionLoader {
    pub fn ended(&self) -> bool {
        self.0.ended()
    }

    /// Adds the executions of each complete row to their enrollments, and returns their number.
    pub fn feed(
        &mut self,
        chunk: &[u8],
        index: &mut Index,
        registry: &Registry,
    ) -> Result<usize, LoadError> {
        self.0
            .feed(chunk, |fields| insert(&fields, index, registry))
    }
}

fn insert(fields: &[&[u8]; 18], index: &mut Index, registry: &Registry) -> Result<(), String> {
    let read_text = |at: usize| text(fields[at], COLUMNS[at]);
    let number = |at: usize| integer(fields[at], COLUMNS[at]);
    let (tenant, id) = (read_text(0)?, read_text(1)?);
    let contact = index.contact(tenant, read_text(2)?);
    let owner = contact.and_then(|at| Some((at, index.find_enrollment(at, id)?)));
    let (contact, enrollment) = owner.ok_or("an execution has no enrollment in memory")?;
    let workflow = registry.find(tenant, read_text(3)?);
    let plan = workflow.and_then(|at| registry.version(at, number(4).ok()?.try_into().ok()?));
    let number_of_plan = plan.ok_or("the version of an execution is not configured")?;
    let plan = &registry.plan(number_of_plan).plan;
    let step_id = read_text(6)?;
    let step = plan.position(step_id);
    let mut execution = Execution {
        plan: number_of_plan,
        state: State::of(read_text(5)?).ok_or("state is not a state of an execution")?,
        step: step.ok_or_else(|| format!("the version has no step {step_id}"))?,
        visit: small(number(7)?, "visit")?,
        attempt: small(number(8)?, "attempt")?,
        retries: small(number(9)?, "retry_count")?,
        hops: small(number(10)?, "hops")?,
        zone: UTC,
        since: number(12)?,
        since_seq: small(number(17)?, "since_seq")?,
        due: Some(number(13)?).filter(|due| *due >= 0),
        done: Steps::default(),
        migrates: boolean(fields[15], COLUMNS[15])?,
        used_event: boolean(fields[16], COLUMNS[16])?,
    };
    let mut other_done: Vec<Box<str>> = Vec::new();
    for done in read_text(14)?.split(SEPARATOR).filter(|id| !id.is_empty()) {
        match plan.position(done) {
            Some(position) => execution.done.insert(position),
            None => other_done.push(done.into()),
        }
    }
    // A wait for a wall time is derived again, because the zone's data may have changed.
    if let Some(zone) = registry.zones.number(read_text(11)?) {
        execution.zone = zone;
        if execution.state == State::Sleeping {
            let (step, since) = (execution.step, execution.since);
            execution.due = plan.end_of_wait(step, since, zone, &registry.zones);
        }
    }
    let has_moved = index.joined_after(enrollment, i64::MIN);
    let executions = index.executions_mut();
    executions.remove_of(enrollment);
    let at = executions.insert(contact, enrollment, &execution);
    executions.set_other_done(at, &other_done);
    if has_moved {
        executions.mark_moved(contact);
    }
    Ok(())
}

fn small<T: TryFrom<i64>>(value: i64, name: &str) -> Result<T, String> {
    T::try_from(value).map_err(|_| format!("{name} is out of range"))
}
