//! The events that are for executions only: results of actions, and requests of the API. Their types
//! are reserved, so that only goald sends them (X13).

use serde_json::Value;

use super::input::{ActionResult, AttemptKey, Outcome};
use crate::decode::Members;
use crate::event::Event;

/// The types of these events. The first one is that of results.
const RESULT: &str = "workflow.action.finished";
const START: &str = "workflow.execution.requested";
const CANCEL: &str = "workflow.execution.cancel_requested";
const RETRY: &str = "workflow.execution.retry_requested";
/// The most bytes of the attributes of a request.
const ATTRIBUTE_BYTES: usize = 8 << 10;

/// A result of an action, copied from its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    execution: Box<str>,
    step: Box<str>,
    visit: u16,
    attempt: u16,
    outcome: Outcome,
    error: Option<Box<str>>,
    duration: i64,
}

impl Report {
    pub fn result(&self) -> ActionResult<'_> {
        ActionResult {
            key: AttemptKey {
                execution: &self.execution,
                step: &self.step,
                visit: self.visit,
                attempt: self.attempt,
            },
            outcome: self.outcome,
            error: self.error.as_deref(),
            duration: self.duration,
        }
    }
}

/// Starts an execution of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StartRequest {
    pub workflow: Box<str>,
    /// The `Idempotency-Key`, or a random one.
    pub key: Box<str>,
    /// Given for this execution: a JSON object.
    pub attributes: Option<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    Result(Report),
    Start(StartRequest),
    Cancel {
        execution: Box<str>,
        user: Option<Box<str>>,
    },
    /// Repeats the failed step.
    Retry {
        execution: Box<str>,
        user: Option<Box<str>>,
    },
}

/// Whether an event has one of these types.
pub(super) fn is_message(event: &Event<'_>) -> bool {
    [RESULT, START, CANCEL, RETRY].contains(&&*event.name)
}

impl Message {
    /// Reads an event of these types. Fails if a field is missing or has another type.
    pub fn read(event: &Event<'_>) -> Result<Message, String> {
        let data = Members::of(event.data);
        let text = |name: &str| -> Result<Box<str>, String> {
            let text = data.text(name).filter(|text| !text.is_empty());
            text.map(Into::into).ok_or_else(|| missing(name))
        };
        let user = || data.text("user").map(Into::into);
        Ok(match &*event.name {
            RESULT => Message::Result(report(&data, text)?),
            START => Message::Start(StartRequest {
                workflow: text("workflow_id")?,
                key: text("key")?,
                attributes: attributes(event, &data)?,
            }),
            CANCEL => Message::Cancel {
                execution: text("execution_id")?,
                user: user(),
            },
            RETRY => Message::Retry {
                execution: text("execution_id")?,
                user: user(),
            },
            other => return Err(format!("{other} is not for executions")),
        })
    }
}

/// The attributes of a request, as JSON. `None` if it has none.
fn attributes(event: &Event<'_>, data: &Members<'_>) -> Result<Option<Box<str>>, String> {
    if !data.has("attributes") {
        return Ok(None);
    }
    let whole = serde_json::from_str(&event.data.to_whole_json());
    let whole: serde_json::Map<String, Value> = whole.unwrap_or_default();
    match whole.get("attributes") {
        Some(Value::Null) => Ok(None),
        Some(given @ Value::Object(_)) => {
            let json = given.to_string();
            if json.len() > ATTRIBUTE_BYTES {
                return Err(format!(
                    "data.attributes has more than {ATTRIBUTE_BYTES} bytes"
                ));
            }
            Ok(Some(json.into()))
        }
        _ => Err(missing("attributes")),
    }
}

fn report(
    data: &Members<'_>,
    text: impl Fn(&str) -> Result<Box<str>, String>,
) -> Result<Report, String> {
    let number = |name: &str| data.integer(name).ok_or_else(|| missing(name));
    let small =
        |name: &str| -> Result<u16, String> { number(name)?.try_into().map_err(|_| missing(name)) };
    Ok(Report {
        execution: text("execution_id")?,
        step: text("step_id")?,
        visit: small("visit")?,
        attempt: small("attempt")?,
        outcome: outcome(data)?,
        error: data.text("error").map(Into::into),
        duration: number("duration_ms")?,
    })
}

fn outcome(data: &Members<'_>) -> Result<Outcome, String> {
    let is_keyed = || data.bool("is_keyed").ok_or_else(|| missing("is_keyed"));
    let delay = || data.integer("delay_ms").ok_or_else(|| missing("delay_ms"));
    Ok(match data.text("outcome") {
        Some("success") => Outcome::Success,
        Some("retry") => Outcome::Retry,
        Some("skip") => Outcome::Skip,
        Some("pause") => Outcome::Pause,
        Some("rate_limit") => Outcome::RateLimit { delay: delay()? },
        Some("unknown") => Outcome::Unknown {
            is_keyed: is_keyed()?,
        },
        Some("refused") => Outcome::Refused,
        Some("refused_inactive") => Outcome::RefusedInactive,
        _ => return Err(missing("outcome")),
    })
}

fn missing(name: &str) -> String {
    format!("data.{name} is missing or invalid")
}
