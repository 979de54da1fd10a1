//! One decision about goals and executions (X1): each event is first judged for the goals of its
//! contact, then it moves the executions of the contact.

use crate::evaluate::{Evaluation, OwnRun, OwnStart};
use crate::event::{Event, Fact};
use crate::executions::{Case, Context, InputKind, Machine, unused_grants};
use crate::proposal::{CancelReason, EntryRef, ExecutionRows, Proposal, Status};

/// The executions in an evaluation of events.
#[derive(Debug)]
pub(super) struct Joint<'c> {
    context: Context<'c>,
    machine: Machine<'c>,
    /// `Evaluation::place` after the last event.
    place: (usize, usize),
}

impl<'c> Joint<'c> {
    pub fn new(context: Context<'c>) -> Joint<'c> {
        Joint {
            context,
            machine: Machine::new(context),
            place: (0, 0),
        }
    }

    /// Moves the executions of an event's contact, after the event was judged for its goals.
    /// `is_complete`: all effects of the event are proposed.
    #[inline(never)]
    pub fn apply_event(
        &mut self,
        evaluation: &mut Evaluation<'_>,
        entry: EntryRef<'c>,
        event: &Event<'c>,
        is_complete: bool,
    ) {
        let place = evaluation.place();
        let describes = place != self.place;
        self.place = place;
        if !self.machine.runs_workflows(&event.tenant) || evaluation.is_forwarded(entry, event) {
            return;
        }
        let number = match self.machine.find(&event.tenant, &event.contact) {
            Some(number) => number,
            None if describes || self.machine.concerns(event) => {
                self.machine.open(&event.tenant, &event.contact)
            }
            None => return,
        };
        let case = self.machine.case(number);
        end_by_enrollment(
            case,
            evaluation,
            matches!(event.fact, Fact::ContactDeleted),
            entry,
        );
        if !is_complete {
            return;
        }
        let original = evaluation.original_contact(entry).unwrap_or(&event.contact);
        case.place.position += u32::from(describes);
        (case.place.contact_events, case.place.deletions) = place;
        match case.apply_event(entry, event, original) {
            Ok(true) => evaluation.count_message(event),
            Ok(false) => {}
            Err(reason) => evaluation.refuse(entry, event, reason),
        }
        start_enrollments(case, evaluation, entry, event);
        end_by_enrollment(case, evaluation, false, entry);
        end_enrollments(case, evaluation);
    }

    /// Evaluates the inputs, then the later phases of each contact, and adds the changes of
    /// executions to the proposal.
    pub fn finish(mut self, mut evaluation: Evaluation<'_>) -> Proposal {
        let options = self.context.options;
        let mut out = ExecutionRows::default();
        for (number, input) in options.inputs.iter().enumerate() {
            if !matches!(input.kind, InputKind::Gate(_)) {
                let case = self.machine.open(input.tenant, input.contact);
                let case = self.machine.case(case);
                (case.place.contact_events, case.place.deletions) = self.place;
                case.apply_input(number, input);
                end_enrollments(case, &mut evaluation);
            } else if options.only_events || evaluation.holds(input.tenant) {
                out.postponed.push(number);
            }
        }
        self.machine.end_merged();
        self.machine.open_due();
        for mut case in self.machine.into_cases() {
            end_enrollments(&mut case, &mut evaluation);
            (case.place.contact_events, case.place.deletions) = self.place;
            // The rest of an event of the contact may follow in a later call.
            if options.only_events || evaluation.holds(&case.tenant) {
                for entry in case.postponed() {
                    evaluation.defer_again(&case.tenant, entry);
                }
            } else {
                case.apply_later_phases();
                end_enrollments(&mut case, &mut evaluation);
            }
            case.finish(&mut out);
        }
        if !options.only_events {
            out.unused_grants = unused_grants(self.context, &out);
        }
        let mut proposal = evaluation.finish();
        if !out.is_empty() {
            proposal.executions = Some(Box::new(out));
            proposal.arrange();
        }
        proposal
    }
}

/// Ends the executions whose enrollments have ended: by their goals, by an event that ends them, or
/// because the contact was deleted.
fn end_by_enrollment(
    case: &mut Case<'_>,
    evaluation: &Evaluation<'_>,
    is_deletion: bool,
    entry: EntryRef<'_>,
) {
    for number in 0..case.len() {
        let Some(run) = enrollment(case, number).filter(|_| case.is_live(number)) else {
            continue;
        };
        let (status, effect) = evaluation.own_status(run);
        let reason = match status {
            Status::Active => continue,
            Status::CompletedGoal => None,
            _ if is_deletion => Some(CancelReason::ContactDeleted),
            _ => Some(CancelReason::User),
        };
        case.end_with(number, reason, effect, entry);
    }
}

/// Ends the enrollments of executions that have ended otherwise.
fn end_enrollments(case: &mut Case<'_>, evaluation: &mut Evaluation<'_>) {
    for number in 0..case.len() {
        let Some((end, ended_ms)) = case.ended(number) else {
            continue;
        };
        let Some(run) = enrollment(case, number) else {
            continue;
        };
        if evaluation.own_status(run).0 == Status::Active {
            let contact = (&*case.tenant, &*case.contact);
            let effect = evaluation.end_own(contact, run, end.enrollment(), ended_ms);
            case.set_effect(number, effect);
        }
    }
}

/// Starts the enrollments of executions that an event has started.
fn start_enrollments(
    case: &mut Case<'_>,
    evaluation: &mut Evaluation<'_>,
    entry: EntryRef<'_>,
    event: &Event<'_>,
) {
    for number in 0..case.len() {
        let Some((workflow, execution, started_at)) = case.started(number) else {
            continue;
        };
        let start = OwnStart {
            workflow: &workflow,
            enrollment: &execution,
            enrolled_at: started_at * 1_000,
        };
        let effect = evaluation.start_own(entry, event, start);
        case.set_effect(number, effect);
    }
}

fn enrollment(case: &Case<'_>, number: usize) -> Option<OwnRun> {
    let (indexed, effect) = case.enrollment(number);
    indexed.map(OwnRun::Indexed).or(effect.map(OwnRun::New))
}
