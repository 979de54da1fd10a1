//! The inputs of an evaluation of executions, from Python dicts.

use std::collections::HashSet;

use goald_matcher::decode::decode;
use goald_matcher::executions::{
    ActionResult, AttemptKey, CancelReason, Facts, Gate, GateAnswer, Happened, Input, InputKind,
    Outcome, StartFacts, Trigger,
};
use goald_matcher::ids::derived::parse_event_key;
use goald_matcher::plan::Contact;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::convert::value_error;

/// An input whose texts are copied from Python.
pub struct OwnedInput {
    tenant: String,
    contact: String,
    at: i64,
    kind: Kind,
}

enum Kind {
    Event {
        event: Vec<u8>,
        hops: u8,
        contact: Option<Contact>,
        changed: Vec<Box<str>>,
    },
    Trigger {
        workflow: String,
        key: String,
    },
    OnExecution {
        request: Request,
        execution: String,
        user: Option<String>,
    },
    Result {
        attempt: Attempt,
        outcome: Outcome,
        error: Option<String>,
        duration: i64,
    },
    Gate {
        attempt: Attempt,
        gate: Gate,
    },
}

#[derive(Clone, Copy)]
enum Request {
    GoalAchieved,
    Cancel(CancelReason),
    Retry,
    Migrate,
    Resume,
}

struct Attempt {
    execution: String,
    step: String,
    visit: u16,
    attempt: u16,
}

impl Attempt {
    fn read(dict: &Bound<'_, PyDict>) -> PyResult<Attempt> {
        Ok(Attempt {
            execution: required(dict, "execution_id")?,
            step: required(dict, "step_id")?,
            visit: required(dict, "visit")?,
            attempt: required(dict, "attempt")?,
        })
    }

    fn key(&self) -> AttemptKey<'_> {
        AttemptKey {
            execution: &self.execution,
            step: &self.step,
            visit: self.visit,
            attempt: self.attempt,
        }
    }
}

impl OwnedInput {
    pub fn read(dict: &Bound<'_, PyDict>) -> PyResult<OwnedInput> {
        Ok(OwnedInput {
            tenant: required(dict, "tenant_id")?,
            contact: required(dict, "contact_id")?,
            at: required(dict, "at_ms")?,
            kind: kind(dict)?,
        })
    }

    /// Raises ValueError if an event is rejected.
    pub fn input(&self, now: i64) -> PyResult<Input<'_>> {
        let kind = match &self.kind {
            Kind::Event {
                event,
                hops,
                contact,
                changed,
            } => InputKind::Event(Box::new(Happened {
                event: decode(event, now.saturating_mul(1_000)).map_err(value_error)?,
                hops: *hops,
                contact: contact.clone(),
                changed: changed.clone(),
            })),
            Kind::Trigger { workflow, key } => InputKind::Trigger(Trigger { workflow, key }),
            Kind::OnExecution {
                request,
                execution,
                user,
            } => on_execution(*request, execution, user.as_deref()),
            Kind::Result {
                attempt,
                outcome,
                error,
                duration,
            } => InputKind::Result(ActionResult {
                key: attempt.key(),
                outcome: *outcome,
                error: error.as_deref(),
                duration: *duration,
            }),
            Kind::Gate { attempt, gate } => InputKind::Gate(GateAnswer {
                key: attempt.key(),
                gate: *gate,
            }),
        };
        Ok(Input {
            tenant: &self.tenant,
            contact: &self.contact,
            at: self.at,
            kind,
        })
    }
}

fn on_execution<'a>(request: Request, execution: &'a str, user: Option<&'a str>) -> InputKind<'a> {
    match request {
        Request::GoalAchieved => InputKind::GoalAchieved { execution },
        Request::Cancel(reason) => InputKind::Cancel {
            execution,
            reason,
            user,
        },
        Request::Retry => InputKind::Retry { execution, user },
        Request::Migrate => InputKind::Migrate { execution },
        Request::Resume => InputKind::Resume { execution },
    }
}

fn kind(dict: &Bound<'_, PyDict>) -> PyResult<Kind> {
    let name: String = required(dict, "kind")?;
    let request = match &*name {
        "event" => return event(dict),
        "trigger" => {
            return Ok(Kind::Trigger {
                workflow: required(dict, "workflow_id")?,
                key: required(dict, "key")?,
            });
        }
        "result" => {
            return Ok(Kind::Result {
                attempt: Attempt::read(dict)?,
                outcome: outcome(dict)?,
                error: optional(dict, "error")?,
                duration: required(dict, "duration_ms")?,
            });
        }
        "gate" => {
            return Ok(Kind::Gate {
                attempt: Attempt::read(dict)?,
                gate: gate(dict)?,
            });
        }
        "goal_achieved" => Request::GoalAchieved,
        "cancel" => {
            let reason: String = required(dict, "reason")?;
            let reason = CancelReason::of(&reason);
            Request::Cancel(reason.ok_or_else(|| unknown("reason"))?)
        }
        "retry" => Request::Retry,
        "migrate" => Request::Migrate,
        "resume" => Request::Resume,
        _ => return Err(unknown("kind")),
    };
    Ok(Kind::OnExecution {
        request,
        execution: required(dict, "execution_id")?,
        user: optional(dict, "user")?,
    })
}

fn event(dict: &Bound<'_, PyDict>) -> PyResult<Kind> {
    let event: Bound<'_, PyBytes> = required(dict, "event")?;
    let contact: Option<Bound<'_, PyDict>> = optional(dict, "contact")?;
    let changed: Option<Vec<String>> = optional(dict, "changed")?;
    Ok(Kind::Event {
        event: event.as_bytes().to_vec(),
        hops: optional(dict, "hops")?.unwrap_or(0),
        contact: contact.as_ref().map(read_contact).transpose()?,
        changed: changed
            .unwrap_or_default()
            .into_iter()
            .map(Into::into)
            .collect(),
    })
}

fn outcome(dict: &Bound<'_, PyDict>) -> PyResult<Outcome> {
    let name: String = required(dict, "outcome")?;
    Ok(match &*name {
        "success" => Outcome::Success,
        "retry" => Outcome::Retry,
        "skip" => Outcome::Skip,
        "pause" => Outcome::Pause,
        "rate_limit" => Outcome::RateLimit {
            delay: required(dict, "delay_ms")?,
        },
        "unknown" => Outcome::Unknown {
            is_keyed: required(dict, "is_keyed")?,
        },
        "refused" => Outcome::Refused,
        "refused_inactive" => Outcome::RefusedInactive,
        _ => return Err(unknown("outcome")),
    })
}

fn gate(dict: &Bound<'_, PyDict>) -> PyResult<Gate> {
    let name: String = required(dict, "gate")?;
    Ok(match &*name {
        "open" => Gate::Open,
        "closed" => Gate::Closed,
        "lost" => Gate::Lost {
            is_keyed: required(dict, "is_keyed")?,
        },
        _ => return Err(unknown("gate")),
    })
}

fn read_contact(dict: &Bound<'_, PyDict>) -> PyResult<Contact> {
    type Tags = Vec<(Option<String>, Option<String>)>;
    let mut contact = Contact::default();
    contact.opted_in = optional(dict, "opted_in")?;
    let timezone: Option<String> = optional(dict, "timezone")?;
    contact.timezone = timezone.map(Into::into);
    let tags: Option<Tags> = optional(dict, "tags")?;
    let boxed = |text: Option<String>| text.map(Into::into);
    let tags = tags.unwrap_or_default().into_iter();
    contact.tags = tags.map(|(id, name)| (boxed(id), boxed(name))).collect();
    let attributes: Option<String> = optional(dict, "attributes")?;
    if let Some(attributes) = attributes {
        if !contact.set_attributes(&attributes) {
            return Err(PyValueError::new_err("attributes are not a JSON object"));
        }
    }
    Ok(contact)
}

/// (tenant, contact, description).
pub type ContactFacts<'py> = (String, String, Bound<'py, PyDict>);
/// (tenant, execution, whether it exists, last start).
pub type StartRow = (String, String, bool, Option<i64>);

pub fn facts(
    contacts: Vec<ContactFacts<'_>>,
    starts: Vec<StartRow>,
    excluded: Vec<(String, String, String)>,
) -> PyResult<Facts> {
    let contacts = contacts
        .into_iter()
        .map(|(tenant, contact, dict)| Ok(((tenant, contact), read_contact(&dict)?)));
    let starts = starts.into_iter().map(|(tenant, execution, exists, last)| {
        let facts = StartFacts {
            exists,
            last_started: last,
        };
        ((tenant, execution), facts)
    });
    let excluded = excluded.into_iter().map(|(tenant, execution, event)| {
        let event = parse_event_key(&event);
        let event = event.ok_or_else(|| PyValueError::new_err("an event key is not a UUID"))?;
        Ok((tenant, execution, event))
    });
    Ok(Facts {
        contacts: contacts.collect::<PyResult<_>>()?,
        starts: starts.collect(),
        excluded: excluded.collect::<PyResult<HashSet<_>>>()?,
    })
}

pub fn required<'py, T: FromPyObjectOwned<'py>>(
    dict: &Bound<'py, PyDict>,
    key: &str,
) -> PyResult<T> {
    match dict.get_item(key)? {
        Some(value) => value.extract().map_err(Into::into),
        None => Err(PyValueError::new_err(format!("{key} is missing"))),
    }
}

/// `None` if it is absent or None.
pub fn optional<'py, T: FromPyObjectOwned<'py>>(
    dict: &Bound<'py, PyDict>,
    key: &str,
) -> PyResult<Option<T>> {
    match dict.get_item(key)? {
        Some(value) if !value.is_none() => value.extract().map(Some).map_err(Into::into),
        _ => Ok(None),
    }
}

pub fn unknown(key: &str) -> PyErr {
    PyValueError::new_err(format!("{key} has an unknown value"))
}
