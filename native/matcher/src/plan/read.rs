//! Reads the encoded form of a plan, strictly (docs/reference/plans.md).

use super::condition::{Condition, Operator, Scalar, Test};
use super::decimal::Decimal;
use super::following::following;
use super::value::Value;
use super::{
    Act, Allow, ClockTime, ErrorPolicy, MAX_STEPS, OnUnknown, Pattern, Plan, Reentry, Step,
    StepKind,
};
use crate::config::{ConfigError, Criteria, GoalType};

const FORMAT: i64 = 1;
/// The type bit of contact.updated in patterns.
const CHANGED_CONTACT: i64 = 32;
/// The greatest duration: about 290 years of microseconds.
const MAX_DURATION: i64 = i64::MAX / 1_000;

impl Plan {
    /// Reads an encoded plan. `tag_case_sensitive`: its tenant distinguishes names of tags by case
    /// (E16). Fails if the format is another one, or a part is invalid.
    pub fn read(bytes: &[u8], tag_case_sensitive: bool) -> Result<Plan, ConfigError> {
        let invalid = || ConfigError("a plan is not MessagePack of the known format".into());
        let value = Value::read(bytes).ok_or_else(invalid)?;
        let fields = value.array().ok_or_else(invalid)?;
        match fields.first().and_then(Value::integer) {
            Some(FORMAT) => {}
            Some(other) => {
                return Err(ConfigError(format!(
                    "a plan has format {other}, but this version reads format {FORMAT}"
                )));
            }
            None => return Err(invalid()),
        }
        plan(fields, tag_case_sensitive)
            .ok_or_else(|| ConfigError("a plan has an invalid part".into()))
    }
}

/// Whether templates of a step may name the event that triggers an execution.
fn names_trigger(step: &Step) -> bool {
    matches!(&step.kind, StepKind::Act(act) if act.config.contains("trigger"))
}

/// The tables to which conditions and patterns refer.
struct Tables<'v, 'a> {
    tags: &'v [Value<'a>],
    attributes: &'v [Value<'a>],
    tag_case_sensitive: bool,
}

fn plan(fields: &[Value<'_>], tag_case_sensitive: bool) -> Option<Plan> {
    let [
        _,
        timezone,
        reentry,
        trigger,
        tags,
        attributes,
        instructions,
    ] = fields
    else {
        return None;
    };
    let tables = Tables {
        tags: tags.array()?,
        attributes: attributes.array()?,
        tag_case_sensitive,
    };
    let (last, instructions) = instructions.array()?.split_last()?;
    if instructions.is_empty() || instructions.len() > MAX_STEPS {
        return None;
    }
    let is_end = matches!(last.array()?, [code] if code.integer() == Some(0));
    let read = |(position, instruction)| tables.step(instruction, position, instructions.len());
    let steps: Option<Box<[Step]>> = instructions.iter().enumerate().map(read).collect();
    let steps = steps.filter(|_| is_end)?;
    Some(Plan {
        timezone: timezone.optional(owned)?,
        reentry: read_reentry(reentry.array()?)?,
        trigger: trigger.optional(|pattern| tables.pattern(pattern))?,
        following: following(&steps),
        names_trigger: steps.iter().any(names_trigger),
        steps,
    })
}

fn owned(value: &Value<'_>) -> Option<Box<str>> {
    value.text().map(Into::into)
}

/// Microseconds as milliseconds, rounded up.
fn duration(value: &Value<'_>) -> Option<i64> {
    let micros = value.integer()?;
    let is_valid = (0..MAX_DURATION).contains(&micros);
    is_valid.then_some((micros + 999) / 1_000)
}

fn read_reentry(fields: &[Value<'_>]) -> Option<Reentry> {
    let [allow, min_interval] = fields else {
        return None;
    };
    Some(Reentry {
        allow: match allow.integer()? {
            0 => Allow::AfterExit,
            1 => Allow::Once,
            2 => Allow::Always,
            _ => return None,
        },
        min_interval: duration(min_interval)?,
    })
}

impl Tables<'_, '_> {
    /// Reads an instruction that is a step. Targets are after its own position, so that a plan has
    /// no loops.
    fn step(&self, value: &Value<'_>, position: usize, end: usize) -> Option<Step> {
        let (code, fields) = value.array()?.split_first()?;
        let [id, longest, rest @ ..] = fields else {
            return None;
        };
        let target = |value: &Value<'_>| {
            let target = usize::try_from(value.integer()?).ok()?;
            (position + 1..=end)
                .contains(&target)
                .then_some(target as u8)
        };
        let kind = match (code.integer()?, rest) {
            (1, [next, action, connection, config, errors, max_lateness]) => StepKind::Act(Act {
                next: target(next)?,
                action: owned(action)?,
                connection: connection.optional(owned)?,
                config: owned(config)?,
                errors: read_errors(errors.array()?)?,
                max_lateness: max_lateness.optional(duration)?,
            }),
            (2, [then, otherwise, condition]) => StepKind::Branch {
                then: target(then)?,
                otherwise: target(otherwise)?,
                condition: self.condition(condition)?,
            },
            (3, [next, length]) => StepKind::WaitFor {
                next: target(next)?,
                duration: duration(length)?,
            },
            (4, [next, second, weekdays, date, timezone]) => StepKind::WaitUntil {
                next: target(next)?,
                time: ClockTime::new(
                    second.integer()?,
                    weekdays.integer()?,
                    date.optional(Value::integer)?,
                )?,
                timezone: timezone.optional(owned)?,
            },
            (5, [then, otherwise, pattern, timeout]) => StepKind::WaitForEvent {
                then: target(then)?,
                otherwise: target(otherwise)?,
                pattern: self.pattern(pattern)?,
                timeout: timeout.optional(duration)?,
            },
            (6, []) => StepKind::Exit,
            _ => return None,
        };
        Some(Step {
            id: owned(id)?,
            longest: longest.integer()?.try_into().ok()?,
            kind,
        })
    }

    fn pattern(&self, value: &Value<'_>) -> Option<Pattern> {
        let [code, criteria, changed, condition] = value.array()? else {
            return None;
        };
        let code = code.integer()?;
        if code == CHANGED_CONTACT {
            let names = changed.array()?.iter().map(|at| self.attribute(at));
            return Some(Pattern::Changed {
                attributes: names.collect::<Option<_>>()?,
                condition: condition.optional(|condition| self.condition(condition))?,
            });
        }
        let goal_type = GoalType::ALL
            .into_iter()
            .find(|goal_type| i64::from(goal_type.bit()) == code)?;
        let mut criteria = Criteria::read(goal_type, criteria.text()?).ok()?;
        if self.tag_case_sensitive {
            criteria.distinguish_tags_by_case();
        }
        Some(Pattern::Goal(criteria))
    }

    fn condition(&self, value: &Value<'_>) -> Option<Condition> {
        let (code, fields) = value.array()?.split_first()?;
        Some(match (code.integer()?, fields) {
            (0, [tag]) => Condition::HasTag(self.tag(tag)?),
            (1, [attribute, operator, values]) => Condition::Attribute(Test::new(
                self.attribute(attribute)?,
                Operator::of(operator.integer()?)?,
                values.array()?.iter().map(scalar).collect::<Option<_>>()?,
            )?),
            (2, [conditions]) => Condition::All(self.conditions(conditions)?),
            (3, [conditions]) => Condition::Any(self.conditions(conditions)?),
            (4, [condition]) => Condition::Not(Box::new(self.condition(condition)?)),
            _ => return None,
        })
    }

    fn conditions(&self, value: &Value<'_>) -> Option<Box<[Condition]>> {
        let conditions = value.array()?.iter().map(|item| self.condition(item));
        let conditions: Box<[Condition]> = conditions.collect::<Option<_>>()?;
        (!conditions.is_empty()).then_some(conditions)
    }

    fn attribute(&self, position: &Value<'_>) -> Option<Box<str>> {
        owned(
            self.attributes
                .get(usize::try_from(position.integer()?).ok()?)?,
        )
    }

    /// A tag as the criteria of a goal that it meets.
    fn tag(&self, position: &Value<'_>) -> Option<Criteria> {
        let tag = self.tags.get(usize::try_from(position.integer()?).ok()?)?;
        let [id, name] = tag.array()? else {
            return None;
        };
        let [id, name] = [id.optional(Value::text)?, name.optional(Value::text)?];
        let criteria = serde_json::json!({"tag_id": id, "tag_name": name});
        let mut criteria = Criteria::read(GoalType::TagAdded, &criteria.to_string()).ok()?;
        if self.tag_case_sensitive {
            criteria.distinguish_tags_by_case();
        }
        Some(criteria)
    }
}

fn read_errors(fields: &[Value<'_>]) -> Option<ErrorPolicy> {
    let [max_retries, base_delay, exhausted, rejected, unknown] = fields else {
        return None;
    };
    let fails = |value: &Value<'_>| match value.text()? {
        "fail" => Some(true),
        "continue" => Some(false),
        _ => None,
    };
    Some(ErrorPolicy {
        max_retries: max_retries.optional(|count| count.integer()?.try_into().ok())?,
        base_delay: base_delay.optional(duration)?,
        fails_when_exhausted: fails(exhausted)?,
        fails_when_rejected: fails(rejected)?,
        on_unknown: match unknown.text()? {
            "continue" => OnUnknown::Continue,
            "retry" => OnUnknown::Retry,
            "fail" => OnUnknown::Fail,
            _ => return None,
        },
    })
}

fn scalar(value: &Value<'_>) -> Option<Scalar> {
    Some(match value {
        Value::Text(text) => Scalar::Text((*text).into()),
        Value::Bool(value) => Scalar::Bool(*value),
        Value::Array(items) => match &items[..] {
            [Value::Text(text)] => Scalar::Number(Decimal::parse(text)?),
            _ => return None,
        },
        _ => return None,
    })
}
