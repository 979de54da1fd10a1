//! The step after a step and its branches, from the targets of a plan.

use super::{Step, StepKind};

/// For each step the one after it and its branches: the first that both of its branches reach. A
/// branch that leaves the workflow does not count; if both do, it is the end.
pub(super) fn following(steps: &[Step]) -> Box<[u8]> {
    let end = steps.len() as u8;
    // Targets are greater than the positions that have them, so that one pass from the end is enough.
    let mut found: Vec<Option<u8>> = vec![None; steps.len() + 1];
    for (position, step) in steps.iter().enumerate().rev() {
        found[position] = match &step.kind {
            StepKind::Act(act) => Some(act.next),
            StepKind::WaitFor { next, .. } | StepKind::WaitUntil { next, .. } => Some(*next),
            StepKind::Branch {
                then, otherwise, ..
            }
            | StepKind::WaitForEvent {
                then, otherwise, ..
            } => join(&found, Some(*then), Some(*otherwise)),
            StepKind::Exit => None,
        };
    }
    let of_steps = found[..steps.len()].iter();
    of_steps.map(|at| at.unwrap_or(end)).collect()
}

/// The first position that the paths from both have in common. `None` is a path that ends.
fn join(following: &[Option<u8>], first: Option<u8>, second: Option<u8>) -> Option<u8> {
    let (mut first, mut second) = (first, second);
    loop {
        match (first, second) {
            (Some(a), Some(b)) if a < b => first = following[usize::from(a)],
            (Some(a), Some(b)) if a > b => second = following[usize::from(b)],
            (Some(a), _) => return Some(a),
            (None, other) => return other,
        }
    }
}
