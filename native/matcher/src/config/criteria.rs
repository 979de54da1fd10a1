//! The criteria that an event must meet to achieve a goal (E2).

use super::products::Products;
use super::tag_name::TagName;
use crate::event::amount::Amount;
use crate::event::{AppointmentStatus, Fact, ListedTag, Text};

/// The five goal types. Each listens to one event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum GoalType {
    TagAdded,
    PurchaseMade,
    AppointmentBooked,
    FormSubmitted,
    PipelineStageReached,
}

impl GoalType {
    pub const ALL: [GoalType; 5] = [
        GoalType::TagAdded,
        GoalType::PurchaseMade,
        GoalType::AppointmentBooked,
        GoalType::FormSubmitted,
        GoalType::PipelineStageReached,
    ];

    pub fn name(self) -> &'static str {
        match self {
            GoalType::TagAdded => "tag_added",
            GoalType::PurchaseMade => "purchase_made",
            GoalType::AppointmentBooked => "appointment_booked",
            GoalType::FormSubmitted => "form_submitted",
            GoalType::PipelineStageReached => "pipeline_stage_reached",
        }
    }

    /// This type's bit in a set of goal types.
    #[inline]
    pub fn bit(self) -> u8 {
        1 << self as u8
    }

    /// The goal type that listens to this fact.
    #[inline]
    pub fn of(fact: &Fact<'_>) -> Option<GoalType> {
        match fact {
            Fact::TagAdded { .. } => Some(GoalType::TagAdded),
            Fact::PaymentCompleted { .. } => Some(GoalType::PurchaseMade),
            Fact::AppointmentBooked { .. } => Some(GoalType::AppointmentBooked),
            Fact::FormSubmitted { .. } => Some(GoalType::FormSubmitted),
            Fact::StageChanged { .. } => Some(GoalType::PipelineStageReached),
            _ => None,
        }
    }
}

/// A text criterion; `None` if it is not set.
type Criterion = Option<Box<str>>;

/// The criteria of one goal. A criterion that is `None` is not set and always holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Criteria {
    Tag {
        tag_id: Criterion,
        tag_name: Option<TagName>,
    },
    Purchase {
        product_id: Criterion,
        min_amount: Option<Amount>,
        currency: Criterion,
    },
    Appointment {
        calendar_id: Criterion,
        service_id: Criterion,
        status: Option<AppointmentStatus>,
    },
    Form {
        form_id: Box<str>,
    },
    Stage {
        pipeline_id: Criterion,
        stage_id: Box<str>,
    },
}

impl Criteria {
    /// Compare names of tags with regard to case (E16).
    pub fn distinguish_tags_by_case(&mut self) {
        if let Criteria::Tag {
            tag_name: Some(name),
            ..
        } = self
        {
            name.distinguish_case();
        }
    }

    pub fn goal_type(&self) -> GoalType {
        match self {
            Criteria::Tag { .. } => GoalType::TagAdded,
            Criteria::Purchase { .. } => GoalType::PurchaseMade,
            Criteria::Appointment { .. } => GoalType::AppointmentBooked,
            Criteria::Form { .. } => GoalType::FormSubmitted,
            Criteria::Stage { .. } => GoalType::PipelineStageReached,
        }
    }

    /// `Ok` if the fact meets every criterion; otherwise a short reason. `products` are the
    /// fact's.
    pub fn check(&self, fact: &Fact<'_>, products: &Products<'_>) -> Result<(), &'static str> {
        match (self, fact) {
            (
                Criteria::Tag { tag_id, tag_name },
                Fact::TagAdded {
                    tag_id: id,
                    tag_name: name,
                    tags,
                },
            ) => match check_tag((tag_id, tag_name), (id, name)) {
                Err(reason) if !tags.is_empty() => check_listed((tag_id, tag_name), tags, reason),
                checked => checked,
            },
            (
                Criteria::Purchase {
                    product_id,
                    min_amount,
                    currency,
                },
                Fact::PaymentCompleted {
                    amount,
                    currency: paid_in,
                    ..
                },
            ) => {
                check_is_purchase(*min_amount, *amount)?;
                let paid = match product_id {
                    None => *amount,
                    Some(product) => {
                        let paid = products.find(product).ok_or("wrong product")?;
                        paid.own_amount.or(*amount)
                    }
                };
                match (min_amount, paid) {
                    (Some(_), None) => return Err("no amount"),
                    (Some(least), Some(paid)) if paid < *least => return Err("amount below"),
                    _ => {}
                }
                check_currency(currency, paid_in)
            }
            (
                Criteria::Appointment {
                    calendar_id,
                    service_id,
                    status,
                },
                Fact::AppointmentBooked {
                    calendar_id: calendar,
                    service_id: service,
                    status: current,
                },
            ) => {
                if *current == AppointmentStatus::Lost {
                    return Err("appointment cancelled, moved or missed");
                }
                equals(calendar_id, calendar, "wrong calendar")?;
                equals(service_id, service, "wrong service")?;
                match status {
                    Some(status) if status != current => Err("wrong status"),
                    _ => Ok(()),
                }
            }
            (Criteria::Form { form_id }, Fact::FormSubmitted { form_id: form }) => {
                if form.as_deref() == Some(&**form_id) {
                    Ok(())
                } else {
                    Err("wrong form")
                }
            }
            (
                Criteria::Stage {
                    pipeline_id,
                    stage_id,
                },
                Fact::StageChanged {
                    pipeline_id: pipeline,
                    stage_id: stage,
                },
            ) => {
                if stage.as_deref() != Some(&**stage_id) {
                    return Err("wrong stage");
                }
                match (pipeline_id, pipeline) {
                    (Some(criterion), Some(value)) if **criterion != **value => {
                        Err("wrong pipeline")
                    }
                    _ => Ok(()),
                }
            }
            _ => Err("other event type"),
        }
    }
}

/// A payment is a purchase if its amount is absent or greater than zero (E13). A goal with the
/// minimum zero takes zero.
#[inline]
fn check_is_purchase(
    min_amount: Option<Amount>,
    amount: Option<Amount>,
) -> Result<(), &'static str> {
    let Some(amount) = amount.filter(|amount| amount.signum() <= 0) else {
        return Ok(());
    };
    if amount.signum() == 0 && min_amount.is_some_and(|least| least.signum() == 0) {
        return Ok(());
    }
    Err("amount not above zero")
}

/// Compares ISO 4217 codes without regard to case and to surrounding white space.
fn check_currency(criterion: &Criterion, value: &Option<Text<'_>>) -> Result<(), &'static str> {
    let is_same = |criterion: &str, value: &str| {
        let value = value.trim_ascii();
        value.eq_ignore_ascii_case(criterion)
    };
    match (criterion, value) {
        (None, _) => Ok(()),
        (Some(criterion), Some(value)) if is_same(criterion, value) => Ok(()),
        _ => Err("wrong currency"),
    }
}

/// Compares ids if both sides have one, otherwise names if both sides have one.
fn check_tag(
    (tag_id, tag_name): (&Criterion, &Option<TagName>),
    (id, name): (&Option<Text<'_>>, &Option<Text<'_>>),
) -> Result<(), &'static str> {
    if let (Some(criterion), Some(value)) = (tag_id, id) {
        return if **criterion == **value {
            Ok(())
        } else {
            Err("wrong tag")
        };
    }
    match (tag_name, name) {
        (Some(criterion), Some(value)) if criterion.is(value) => Ok(()),
        (Some(_), Some(_)) => Err("wrong tag"),
        _ => Err("no tag to compare"),
    }
}

/// Whether one of the listed tags is the criterion's. `reason`: why the event's own tag is not.
#[cold]
fn check_listed(
    criteria: (&Criterion, &Option<TagName>),
    tags: &[ListedTag<'_>],
    mut reason: &'static str,
) -> Result<(), &'static str> {
    for tag in tags {
        match check_tag(criteria, (&tag.tag_id, &tag.tag_name)) {
            Ok(()) => return Ok(()),
            Err(other) if reason == "no tag to compare" => reason = other,
            Err(_) => {}
        }
    }
    Err(reason)
}

fn equals(
    criterion: &Criterion,
    value: &Option<Text<'_>>,
    mismatch: &'static str,
) -> Result<(), &'static str> {
    match criterion {
        Some(criterion) if value.as_deref() != Some(&**criterion) => Err(mismatch),
        _ => Ok(()),
    }
}
