//! The inputs of executions that are on no stream, from Python dicts.

use std::collections::{BTreeMap, HashMap, HashSet};

use goald_matcher::executions::{
    AttemptKey, EngineRules, Facts, Gate, GateAnswer, Grants, Input, InputKind, Options, StartFacts,
};
use goald_matcher::ids::derived::parse_event_key;
use goald_matcher::plan::Contact;
use goald_matcher::proposal::CancelReason;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// An input whose texts are copied from Python.
struct OwnedInput {
    tenant: String,
    contact: String,
    at: i64,
    kind: Kind,
}

enum Kind {
    Cancel {
        execution: String,
        reason: CancelReason,
    },
    Migrate(String),
    Resume(String),
    Fail {
        execution: String,
        error: String,
    },
    Hold(String),
    Gate {
        attempt: Attempt,
        gate: Gate,
    },
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
    fn read(dict: &Bound<'_, PyDict>) -> PyResult<OwnedInput> {
        Ok(OwnedInput {
            tenant: required(dict, "tenant_id")?,
            contact: required(dict, "contact_id")?,
            at: required(dict, "at_ms")?,
            kind: kind(dict)?,
        })
    }

    fn input(&self) -> Input<'_> {
        let kind = match &self.kind {
            Kind::Cancel { execution, reason } => InputKind::Cancel {
                execution,
                reason: *reason,
            },
            Kind::Migrate(execution) => InputKind::Migrate { execution },
            Kind::Resume(execution) => InputKind::Resume { execution },
            Kind::Fail { execution, error } => InputKind::Fail { execution, error },
            Kind::Hold(execution) => InputKind::Hold { execution },
            Kind::Gate { attempt, gate } => InputKind::Gate(GateAnswer {
                key: attempt.key(),
                gate: *gate,
            }),
        };
        Input {
            tenant: &self.tenant,
            contact: &self.contact,
            at: self.at,
            kind,
        }
    }
}

fn kind(dict: &Bound<'_, PyDict>) -> PyResult<Kind> {
    let name: String = required(dict, "kind")?;
    let execution = || required(dict, "execution_id");
    Ok(match &*name {
        "gate" => Kind::Gate {
            attempt: Attempt::read(dict)?,
            gate: gate(dict)?,
        },
        "cancel" => {
            let reason: String = required(dict, "reason")?;
            Kind::Cancel {
                execution: execution()?,
                reason: CancelReason::of(&reason).ok_or_else(|| unknown("reason"))?,
            }
        }
        "migrate" => Kind::Migrate(execution()?),
        "resume" => Kind::Resume(execution()?),
        "fail" => Kind::Fail {
            execution: execution()?,
            error: required(dict, "error")?,
        },
        "hold" => Kind::Hold(execution()?),
        _ => return Err(unknown("kind")),
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

/// (tenant, contact, position, description).
type ContactFacts<'py> = (String, String, u32, Bound<'py, PyDict>);
/// (tenant, execution, whether it exists, last start).
type StartRow = (String, String, bool, Option<i64>);

fn facts(dict: &Bound<'_, PyDict>) -> PyResult<Facts> {
    let rows: Option<Vec<ContactFacts<'_>>> = optional(dict, "contacts")?;
    let mut contacts: HashMap<_, BTreeMap<u32, Contact>> = HashMap::new();
    for (tenant, contact, position, described) in rows.unwrap_or_default() {
        let known = contacts.entry((tenant, contact)).or_default();
        known.insert(position, read_contact(&described)?);
    }
    let starts: Option<Vec<StartRow>> = optional(dict, "starts")?;
    let starts = starts.unwrap_or_default().into_iter();
    let starts = starts.map(|(tenant, execution, exists, last)| {
        let facts = StartFacts {
            exists,
            last_started: last,
        };
        ((tenant, execution), facts)
    });
    let excluded: Option<Vec<(String, String, String)>> = optional(dict, "excluded")?;
    let excluded = excluded.unwrap_or_default().into_iter();
    let excluded = excluded.map(|(tenant, execution, event)| {
        let event = parse_event_key(&event);
        let event = event.ok_or_else(|| PyValueError::new_err("an event key is not a UUID"))?;
        Ok((tenant, execution, event))
    });
    Ok(Facts {
        contacts,
        starts: starts.collect(),
        excluded: excluded.collect::<PyResult<HashSet<_>>>()?,
    })
}

/// The executions in an evaluation, copied from Python.
pub struct OwnedOptions {
    inputs: Vec<OwnedInput>,
    watermark: i64,
    grants: Option<Vec<(String, String, String)>>,
    max_timers: usize,
    only_events: bool,
    facts: Facts,
    keep_failed: i64,
    requires_opt_in: bool,
}

/// The most timers of one evaluation, by default.
const MAX_TIMERS: usize = 1_000;

impl OwnedOptions {
    pub fn read(dict: &Bound<'_, PyDict>) -> PyResult<OwnedOptions> {
        let rules = EngineRules::default();
        let inputs: Option<Vec<Bound<'_, PyDict>>> = optional(dict, "inputs")?;
        let inputs = inputs.unwrap_or_default();
        Ok(OwnedOptions {
            inputs: inputs
                .iter()
                .map(OwnedInput::read)
                .collect::<PyResult<_>>()?,
            watermark: required(dict, "watermark_ms")?,
            grants: optional(dict, "grants")?,
            max_timers: optional(dict, "max_timers")?.unwrap_or(MAX_TIMERS),
            only_events: optional(dict, "only_events")?.unwrap_or(false),
            facts: facts(dict)?,
            keep_failed: optional(dict, "keep_failed_ms")?.unwrap_or(rules.keep_failed),
            requires_opt_in: optional(dict, "requires_opt_in")?.unwrap_or(false),
        })
    }

    pub fn inputs(&self) -> Vec<Input<'_>> {
        self.inputs.iter().map(OwnedInput::input).collect()
    }

    pub fn options<'a>(&'a self, inputs: &'a [Input<'a>], now_us: i64) -> Options<'a> {
        Options {
            inputs,
            now: now_us.div_euclid(1_000),
            watermark: self.watermark,
            grants: self.grants.as_deref().map_or(Grants::All, Grants::Some),
            max_timers: self.max_timers,
            only_events: self.only_events,
            facts: &self.facts,
            rules: EngineRules {
                keep_failed: self.keep_failed,
                requires_opt_in: self.requires_opt_in,
            },
        }
    }
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
