//! Conditions: trees of tests of one contact.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::value::RawValue;

use super::contact::Contact;
use super::decimal::Decimal;
use crate::config::{Criteria, Products};
use crate::event::Fact;

#[derive(Debug, Clone)]
pub enum Condition {
    /// The criteria that an added tag would meet (E16).
    HasTag(Criteria),
    Attribute(Test),
    All(Box<[Condition]>),
    Any(Box<[Condition]>),
    Not(Box<Condition>),
}

/// The result of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict<'a> {
    pub holds: bool,
    /// The first attribute that was tested and that the contact does not have. Its test is false.
    pub missing: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Eq,
    Ne,
    Lt,
    Lte,
    Gt,
    Gte,
    Contains,
    In,
    Exists,
}

impl Operator {
    /// By its code in plans.
    pub(super) fn of(code: i64) -> Option<Operator> {
        use Operator::{Contains, Eq, Exists, Gt, Gte, In, Lt, Lte, Ne};
        let all = [Eq, Ne, Lt, Lte, Gt, Gte, Contains, In, Exists];
        all.get(usize::try_from(code).ok()?).copied()
    }
}

/// A value that attributes are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar {
    Text(Box<str>),
    Bool(bool),
    Number(Decimal),
}

/// A test of an attribute. False if the contact does not have it.
#[derive(Debug, Clone)]
pub struct Test {
    attribute: Box<str>,
    operator: Operator,
    values: Box<[Scalar]>,
}

impl Test {
    /// `None` if the operator cannot have these values.
    pub(super) fn new(
        attribute: Box<str>,
        operator: Operator,
        values: Box<[Scalar]>,
    ) -> Option<Test> {
        use Operator::{Contains, Eq, Exists, Gt, Gte, In, Lt, Lte, Ne};
        let is_valid = match (operator, &*values) {
            (Exists, []) | (Eq | Ne, [_]) => true,
            (In, values) => !values.is_empty(),
            (Lt | Lte | Gt | Gte, [Scalar::Number(_)]) => true,
            (Contains, [Scalar::Text(_) | Scalar::Number(_)]) => true,
            _ => false,
        };
        is_valid.then_some(Test {
            attribute,
            operator,
            values,
        })
    }

    /// `None` if the contact does not have the attribute.
    fn check(&self, contact: &Contact) -> Option<bool> {
        let value = contact.attribute(&self.attribute)?;
        let equals = |other: &Scalar| is_equal(value, other);
        let compared = |holds: fn(Ordering) -> bool| match (&*self.values, scalar(value)) {
            ([Scalar::Number(bound)], Some(Scalar::Number(number))) => holds(number.cmp(bound)),
            _ => false,
        };
        Some(match self.operator {
            Operator::Exists => true,
            Operator::Eq | Operator::In => self.values.iter().any(equals),
            Operator::Ne => !self.values.iter().any(equals),
            Operator::Lt => compared(Ordering::is_lt),
            Operator::Lte => compared(Ordering::is_le),
            Operator::Gt => compared(Ordering::is_gt),
            Operator::Gte => compared(Ordering::is_ge),
            Operator::Contains => self.values.iter().any(|part| contains(value, part)),
        })
    }
}

impl Condition {
    /// Evaluates the condition, from left to right and no further than needed.
    pub fn check<'a>(&'a self, contact: &Contact) -> Verdict<'a> {
        let mut missing = None;
        let holds = self.holds(contact, &mut missing);
        Verdict { holds, missing }
    }

    fn holds<'a>(&'a self, contact: &Contact, missing: &mut Option<&'a str>) -> bool {
        match self {
            Condition::HasTag(criteria) => has_tag(criteria, contact),
            Condition::Attribute(test) => test.check(contact).unwrap_or_else(|| {
                missing.get_or_insert(&test.attribute);
                false
            }),
            Condition::All(conditions) => {
                conditions.iter().all(|each| each.holds(contact, missing))
            }
            Condition::Any(conditions) => {
                conditions.iter().any(|each| each.holds(contact, missing))
            }
            Condition::Not(condition) => !condition.holds(contact, missing),
        }
    }
}

fn has_tag(criteria: &Criteria, contact: &Contact) -> bool {
    contact.tags.iter().any(|(id, name)| {
        let fact = Fact::TagAdded {
            tag_id: id.as_deref().map(Cow::Borrowed),
            tag_name: name.as_deref().map(Cow::Borrowed),
            tags: Vec::new(),
        };
        criteria.check(&fact, &Products::of(&fact)).is_ok()
    })
}

/// A JSON text, number or boolean; `None` for other values.
fn scalar(json: &str) -> Option<Scalar> {
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok().map(Scalar::Text),
        b't' => Some(Scalar::Bool(true)),
        b'f' => Some(Scalar::Bool(false)),
        _ => Decimal::parse(json).map(Scalar::Number),
    }
}

fn is_equal(json: &str, other: &Scalar) -> bool {
    scalar(json).is_some_and(|value| value == *other)
}

/// Whether a text contains a text, or a list has an item that equals a value.
fn contains(json: &str, part: &Scalar) -> bool {
    match (scalar(json), part) {
        (Some(Scalar::Text(text)), Scalar::Text(part)) => text.contains(&**part),
        (Some(_), _) => false,
        (None, _) => {
            let items: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
            items.iter().any(|item| is_equal(item.get(), part))
        }
    }
}
