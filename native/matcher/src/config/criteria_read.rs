//! Parses criteria from JSON, strictly.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::criteria::{Criteria, GoalType};
use super::tag_name::TagName;
use crate::event::amount::Amount;
use crate::event::limits::MATCH_PAIRS;
use crate::event::{AppointmentStatus, is_match_name};

/// The key of the names of `read_match`.
const MATCH: &str = "match";

impl Criteria {
    /// Parses the criteria of a goal of this type: a JSON object with only the type's keys and
    /// `match`, which `read_match` reads. A key that is null or false is not set. `Err` is the
    /// reason why the criteria are invalid.
    pub fn read(goal_type: GoalType, json: &str) -> Result<Criteria, String> {
        let mut fields = Fields::read(json)?;
        let criteria = match goal_type {
            GoalType::TagAdded => Criteria::Tag {
                tag_id: fields.text("tag_id")?,
                tag_name: fields.text("tag_name")?.map(|name| TagName::new(&name)),
            },
            GoalType::PurchaseMade => {
                fields.any("any_purchase")?;
                Criteria::Purchase {
                    product_id: fields.text("product_id")?,
                    min_amount: fields.amount("min_amount")?,
                    currency: fields.text("currency")?,
                }
            }
            GoalType::AppointmentBooked => {
                fields.any("any_appointment")?;
                Criteria::Appointment {
                    calendar_id: fields.text("calendar_id")?,
                    service_id: fields.text("service_id")?,
                    status: fields.status("status")?,
                }
            }
            GoalType::FormSubmitted => Criteria::Form {
                form_id: fields.required("form_id")?,
            },
            GoalType::PipelineStageReached => Criteria::Stage {
                pipeline_id: fields.text("pipeline_id")?,
                stage_id: fields.required("stage_id")?,
            },
        };
        fields.finish()?;
        Ok(criteria)
    }
}

/// Parses the names that a goal requires enrollments and events to have in common (E17). Empty if
/// `match` is not set; it is no criterion, so that it needs another one.
pub fn read_match(json: &str) -> Result<Box<[Box<str>]>, String> {
    let raw = parse(json)?.remove(MATCH);
    let Some(raw) = raw.filter(|raw| !matches!(raw.get(), "null" | "false")) else {
        return Ok(Box::default());
    };
    let names: Vec<Box<str>> =
        serde_json::from_str(raw.get()).map_err(|_| format!("{MATCH} is not a list of names"))?;
    if names.is_empty()
        || names.len() > MATCH_PAIRS
        || !names.iter().all(|name| is_match_name(name))
    {
        return Err(format!("{MATCH} is not a list of 1 to {MATCH_PAIRS} names"));
    }
    Ok(names.into())
}

fn parse(json: &str) -> Result<BTreeMap<String, Box<RawValue>>, String> {
    serde_json::from_str(json).map_err(|error| format!("criteria are not a JSON object: {error}"))
}

/// The fields of an object. Each is removed when it is read.
struct Fields {
    fields: BTreeMap<String, Box<RawValue>>,
    /// The name of the `any_…` criterion that is true.
    any: Option<&'static str>,
    set: usize,
}

impl Fields {
    fn read(json: &str) -> Result<Fields, String> {
        let mut fields = parse(json)?;
        fields.remove(MATCH);
        Ok(Fields {
            fields,
            any: None,
            set: 0,
        })
    }

    /// Removes a field and returns its JSON text, if it is set.
    fn raw(&mut self, key: &str) -> Option<Box<RawValue>> {
        let raw = self.fields.remove(key)?;
        if matches!(raw.get(), "null" | "false") {
            return None;
        }
        self.set += 1;
        Some(raw)
    }

    fn text(&mut self, key: &str) -> Result<Option<Box<str>>, String> {
        let Some(raw) = self.raw(key) else {
            return Ok(None);
        };
        let text: Box<str> =
            serde_json::from_str(raw.get()).map_err(|_| format!("{key} is not a string"))?;
        if text.is_empty() {
            Err(format!("{key} is empty"))
        } else {
            Ok(Some(text))
        }
    }

    fn required(&mut self, key: &str) -> Result<Box<str>, String> {
        let has_others = self.set > 0 || !self.fields.is_empty();
        match self.text(key)? {
            Some(text) => Ok(text),
            None if has_others => Err(format!("{key} is missing")),
            None => Err("criteria are empty".into()),
        }
    }

    /// A decimal, as a string or a number. A number is parsed from its text and so is exact.
    fn amount(&mut self, key: &str) -> Result<Option<Amount>, String> {
        let Some(raw) = self.raw(key) else {
            return Ok(None);
        };
        let text: Option<String> = serde_json::from_str(raw.get()).ok();
        Amount::parse(text.as_deref().unwrap_or(raw.get()))
            .map(Some)
            .ok_or_else(|| format!("{key} is not a decimal of at most 18 digits"))
    }

    fn status(&mut self, key: &str) -> Result<Option<AppointmentStatus>, String> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        match &*text {
            "booked" => Ok(Some(AppointmentStatus::Booked)),
            "confirmed" => Ok(Some(AppointmentStatus::Confirmed)),
            "showed" => Ok(Some(AppointmentStatus::Showed)),
            _ => Err(format!("{key} is not one of booked, confirmed, showed")),
        }
    }

    fn any(&mut self, key: &'static str) -> Result<(), String> {
        match self.raw(key) {
            None => Ok(()),
            Some(raw) if raw.get() == "true" => {
                self.any = Some(key);
                Ok(())
            }
            Some(_) => Err(format!("{key} must be true or false")),
        }
    }

    fn finish(self) -> Result<(), String> {
        let unknown: Vec<&str> = self.fields.keys().map(String::as_str).collect();
        if !unknown.is_empty() {
            return Err(format!(
                "criteria have unknown keys: {}",
                unknown.join(", ")
            ));
        }
        match self.any {
            _ if self.set == 0 => Err("criteria are empty".into()),
            Some(any) if self.set > 1 => {
                Err(format!("{any} cannot be combined with other criteria"))
            }
            _ => Ok(()),
        }
    }
}
