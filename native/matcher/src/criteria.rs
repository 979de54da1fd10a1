//! What an event must carry to achieve a goal (E2).

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::amount::Amount;
use crate::event::{Fact, Text};

/// The five types of goal, each fed by one type of event.
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

    /// This type's bit in a set of types.
    #[inline]
    pub fn bit(self) -> u8 {
        1 << self as u8
    }

    /// The type of goal that this fact can achieve.
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

type Set = Option<Box<str>>;

/// The criteria of one goal: `None` is not set and takes any.
#[derive(Debug, Clone, PartialEq)]
pub enum Criteria {
    /// `tag_name` is kept in Unicode NFC.
    Tag {
        tag_id: Set,
        tag_name: Set,
    },
    Purchase {
        product_id: Set,
        min_amount: Option<Amount>,
        currency: Set,
    },
    Appointment {
        calendar_id: Set,
        service_id: Set,
    },
    Form {
        form_id: Box<str>,
    },
    Stage {
        pipeline_id: Set,
        stage_id: Box<str>,
    },
}

impl Criteria {
    pub fn goal_type(&self) -> GoalType {
        match self {
            Criteria::Tag { .. } => GoalType::TagAdded,
            Criteria::Purchase { .. } => GoalType::PurchaseMade,
            Criteria::Appointment { .. } => GoalType::AppointmentBooked,
            Criteria::Form { .. } => GoalType::FormSubmitted,
            Criteria::Stage { .. } => GoalType::PipelineStageReached,
        }
    }

    /// `Ok` where the fact has what is asked for, else why not, in a few words.
    pub fn check(&self, fact: &Fact<'_>) -> Result<(), &'static str> {
        match (self, fact) {
            (
                Criteria::Tag { tag_id, tag_name },
                Fact::TagAdded {
                    tag_id: id,
                    tag_name: name,
                },
            ) => check_tag((tag_id, tag_name), (id, name)),
            (
                Criteria::Purchase {
                    product_id,
                    min_amount,
                    currency,
                },
                Fact::PaymentCompleted {
                    amount,
                    currency: paid_in,
                    product_id: bought,
                    line_items,
                },
            ) => {
                let has = |product: &str| {
                    bought.as_deref() == Some(product)
                        || line_items.iter().any(|item| **item == *product)
                };
                if product_id.as_deref().is_some_and(|product| !has(product)) {
                    return Err("wrong product");
                }
                match (min_amount, amount) {
                    (Some(_), None) => return Err("no amount"),
                    (Some(least), Some(paid)) if paid < least => return Err("amount below"),
                    _ => {}
                }
                is_one(currency, paid_in, "wrong currency")
            }
            (
                Criteria::Appointment {
                    calendar_id,
                    service_id,
                },
                Fact::AppointmentBooked {
                    calendar_id: calendar,
                    service_id: service,
                },
            ) => {
                is_one(calendar_id, calendar, "wrong calendar")?;
                is_one(service_id, service, "wrong service")
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
                    (Some(wanted), Some(given)) if **wanted != **given => Err("wrong pipeline"),
                    _ => Ok(()),
                }
            }
            _ => Err("other event type"),
        }
    }
}

/// By id where both sides have one, else by name where both have one.
fn check_tag(
    (tag_id, tag_name): (&Set, &Set),
    (id, name): (&Option<Text<'_>>, &Option<Text<'_>>),
) -> Result<(), &'static str> {
    if let (Some(wanted), Some(given)) = (tag_id, id) {
        return if **wanted == **given {
            Ok(())
        } else {
            Err("wrong tag")
        };
    }
    match (tag_name, name) {
        (Some(wanted), Some(given)) if **wanted == *nfc(given) => Ok(()),
        (Some(_), Some(_)) => Err("wrong tag"),
        _ => Err("no tag to compare"),
    }
}

fn is_one(wanted: &Set, given: &Option<Text<'_>>, why: &'static str) -> Result<(), &'static str> {
    match wanted {
        Some(wanted) if given.as_deref() != Some(&**wanted) => Err(why),
        _ => Ok(()),
    }
}

/// The text in Unicode NFC: the same text where it is so already.
pub fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.nfc().collect())
}
