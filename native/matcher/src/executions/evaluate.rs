//! Evaluates inputs by contact, in four phases (X1).

use std::collections::{HashMap, HashSet};

use super::case::{Case, Context};
use super::input::{Grants, Input, InputKind, Options};
use super::proposal::ExecutionProposal;
use super::registry::Registry;
use crate::index::Index;

/// The inputs of one contact, in order, by number.
struct Group<'a> {
    tenant: &'a str,
    contact: &'a str,
    inputs: Vec<usize>,
}

/// Evaluates the inputs, the timers that have fired, and the granted executions. Memory does not
/// change. Each contact is evaluated by itself: first its events in their order, then its results,
/// its timers, and its due steps.
pub fn evaluate(
    index: &Index,
    registry: &Registry,
    inputs: &[Input<'_>],
    options: Options<'_>,
) -> ExecutionProposal {
    let timers = if options.only_events {
        Vec::new()
    } else {
        due_contacts(index, options)
    };
    let mut out = ExecutionProposal::default();
    let granted = match options.grants {
        Grants::All => None,
        Grants::Some(grants) => Some(grants.iter().map(grant_key).collect::<HashSet<_>>()),
    };
    let context = Context {
        index,
        registry,
        options,
        granted: granted.as_ref(),
    };
    for group in groups(inputs, &timers, options) {
        let mut case = Case::new(context, &mut out, group.tenant, group.contact);
        for &number in &group.inputs {
            case.apply_event(number, &inputs[number]);
        }
        if !options.only_events {
            for input in group.inputs.iter().map(|&number| &inputs[number]) {
                match &input.kind {
                    InputKind::Result(result) => case.apply_result(result, input.at),
                    InputKind::Gate(answer) => case.apply_gate(answer, input.at),
                    _ => {}
                }
            }
            case.fire_timers();
            case.release();
        }
        case.finish();
    }
    if !options.only_events {
        out.unused_grants = unused_grants(index, &out, options.grants);
    }
    out
}

/// The tenant and the execution of a grant.
fn grant_key((tenant, _, execution): &(String, String, String)) -> (&str, &str) {
    (tenant, execution)
}

/// The (tenant, contact) pairs of the executions whose timers have fired, the oldest first.
fn due_contacts(index: &Index, options: Options<'_>) -> Vec<(String, String)> {
    let executions = index.executions();
    let is_due = |at: &u32| {
        let due = executions.get(*at).due;
        due.is_some_and(|due| due <= options.watermark)
    };
    let due = executions.fired().filter(is_due).take(options.max_timers);
    due.map(|at| index.contact_key(executions.owner(at).0))
        .collect()
}

/// The inputs by contact, in the order in which contacts occur.
fn groups<'a>(
    inputs: &'a [Input<'a>],
    timers: &'a [(String, String)],
    options: Options<'a>,
) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut found: HashMap<(&str, &str), usize> = HashMap::new();
    let mut group_of = |tenant: &'a str, contact: &'a str| {
        *found.entry((tenant, contact)).or_insert_with(|| {
            groups.push(Group {
                tenant,
                contact,
                inputs: Vec::new(),
            });
            groups.len() - 1
        })
    };
    let of_inputs: Vec<usize> = inputs
        .iter()
        .map(|input| group_of(input.tenant, input.contact))
        .collect();
    for (tenant, contact) in timers {
        group_of(tenant, contact);
    }
    if let (Grants::Some(grants), false) = (options.grants, options.only_events) {
        for (tenant, contact, _) in grants {
            group_of(tenant, contact);
        }
    }
    for (number, group) in of_inputs.into_iter().enumerate() {
        groups[group].inputs.push(number);
    }
    groups
}

/// The grants of executions that have no permit after the proposal.
fn unused_grants(
    index: &Index,
    out: &ExecutionProposal,
    grants: Grants<'_>,
) -> Vec<(Box<str>, Box<str>)> {
    let Grants::Some(grants) = grants else {
        return Vec::new();
    };
    let changed = out.transitions.iter();
    let changed: HashMap<(&str, &str), bool> = changed
        .map(|each| ((&*each.tenant, &*each.execution), each.permit.1))
        .collect();
    let is_unused = |grant: &&(String, String, String)| {
        if let Some(has_permit) = changed.get(&grant_key(grant)) {
            return !has_permit;
        }
        let (tenant, contact, execution) = grant;
        let contact = index.contact(tenant, contact);
        let enrollment = contact.and_then(|at| index.find_enrollment(at, execution));
        let number = enrollment.and_then(|at| index.executions().of(at));
        number.is_none_or(|at| !index.executions().get(at).state.has_permit())
    };
    let unused = grants.iter().filter(is_unused);
    unused
        .map(|(tenant, _, execution)| (tenant.as_str().into(), execution.as_str().into()))
        .collect()
}
