"""The guards of the state machine of executions, which is in Rust, and how each one is removed."""

from tests.fault.guards.guard import Edit, Guard

_MACHINE = "native/matcher/src/executions"
_EVENTS = f"{_MACHINE}/events.rs"
_RESULTS = f"{_MACHINE}/results.rs"
_STARTS = f"{_MACHINE}/starts.rs"
_TIMERS = f"{_MACHINE}/timers.rs"
MERGED = "tests/unit/pipeline/executions/test_merged_contacts.py"
MODEL = "tests/property/executions/test_transitions_agree_with_reference.py"

MACHINE_GUARDS = (
    Guard(
        "machine: results are evaluated after all other events of the contact",
        "X1",
        (
            Edit(
                _EVENTS,
                "                self.reports.push((entry, report));\n",
                "                self.apply_result(&report.result(), at);\n",
            ),
        ),
        (MODEL,),
    ),
    Guard(
        "machine: no step starts before the first phase of its contact is complete",
        "X1",
        (
            Edit(
                "native/matcher/src/matcher/joint.rs",
                "            if options.only_events || evaluation.holds(&case.tenant) {\n",
                "            if false {\n",
            ),
        ),
        (MODEL,),
    ),
    Guard(
        "machine: a result counts for the attempt that is out",
        "X3",
        (
            Edit(
                _RESULTS,
                "            && (now.visit, now.attempt) == (key.visit, key.attempt);\n",
                "            && now.visit > 0;\n",
            ),
        ),
        (MODEL,),
    ),
    Guard(
        "machine: refused credentials are tried again",
        "X5",
        (
            Edit(
                _RESULTS,
                "                self.hold(run, State::OnHold, Some(until));\n",
                "                self.hold(run, State::OnHold, None);\n",
            ),
        ),
        (MODEL,),
    ),
    Guard(
        "machine: a timer waits for all events before it",
        "X6",
        (
            Edit(
                _TIMERS,
                "due.is_some_and(|due| due <= watermark)",
                "due.is_some_and(|due| due <= watermark + 3_600_000)",
            ),
        ),
        (MODEL,),
    ),
    Guard(
        "machine: a step without a grant does not start",
        "X8",
        (
            Edit(
                _TIMERS,
                "granted.is_none_or(|granted| granted.contains(&(&*self.tenant, &*execution)))",
                "granted.is_none_or(|_| !execution.is_empty())",
            ),
        ),
        (MODEL,),
    ),
    Guard(
        "machine: an inactive workflow starts no execution",
        "X11",
        (
            Edit(
                _STARTS,
                "            Some(plan) if workflow.is_active => plan,\n",
                "            Some(plan) => plan,\n",
            ),
        ),
        (MODEL,),
    ),
    Guard(
        "machine: a timer of an inactive workflow does not fire",
        "X11",
        (
            Edit(
                _TIMERS,
                "        if !self.registry().get(self.runs[run].workflow).is_active {\n"
                "            return;\n",
                "        if now < 0 {\n            return;\n",
            ),
        ),
        (MODEL,),
    ),
    Guard(
        "machine: a due step of an inactive workflow is held",
        "X11",
        (
            Edit(
                _TIMERS,
                "        if !workflow.is_active {\n",
                "        if workflow.id.is_empty() {\n",
            ),
        ),
        (MODEL,),
    ),
    Guard(
        "machine: a contact that has opted out starts nothing",
        "X12",
        (Edit(_STARTS, "        if !allows {\n", "        if !allows && start.hops > 200 {\n"),),
        (MODEL,),
    ),
    Guard(
        "machine: opting out cancels the executions of the contact",
        "X12",
        (
            Edit(
                _EVENTS,
                "contact.opted_in == Some(false))",
                "contact.opted_in == Some(false) && at.ms < 0)",
            ),
        ),
        (MODEL,),
    ),
    Guard(
        "machine: an execution's id has the original contact of its event",
        "X9, E21",
        (
            Edit(
                _STARTS,
                "                &observed.original,\n",
                "                &self.contact,\n",
            ),
        ),
        (MERGED,),
    ),
    Guard(
        "machine: one of several live executions of a merged contact stays",
        "E21",
        (
            Edit(
                "native/matcher/src/matcher/joint.rs",
                "        self.machine.end_merged();\n",
                "",
            ),
        ),
        (MERGED,),
    ),
)
