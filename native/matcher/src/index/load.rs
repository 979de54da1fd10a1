//! Reads enrollments as `Matcher::load` takes them.

use uuid::Uuid;

use super::copy::{CopyReader, LoadError, boolean, integer, text};
use super::records::NewEnrollment;
use crate::config::goal_id;
use crate::event::MatchValues;

const COLUMNS: [&str; 8] = [
    "tenant_id",
    "enrollment_id",
    "contact_id",
    "workflow_id",
    "enrolled_at",
    "met_goals",
    "excludes",
    "match_values",
];

/// Reads one stream of enrollments after another.
#[derive(Debug)]
pub struct Loader(CopyReader<8>);

impl Default for Loader {
    fn default() -> Loader {
        Loader(CopyReader::new("enrollments", COLUMNS))
    }
}

impl Loader {
    /// Whether the last stream was complete, that is, ended with its trailer.
    pub fn ended(&self) -> bool {
        self.0.ended()
    }

    /// Passes each complete row of the stream to `insert` and returns their number.
    pub fn feed(
        &mut self,
        chunk: &[u8],
        mut insert: impl FnMut(NewEnrollment<'_>),
    ) -> Result<usize, LoadError> {
        let (mut met, mut match_values) = (Vec::new(), None);
        self.0.feed(chunk, |fields| {
            insert(row(fields, &mut met, &mut match_values)?);
            Ok(())
        })
    }
}

fn row<'a>(
    [
        tenant,
        enrollment,
        contact,
        workflow,
        enrolled_at,
        goals,
        excludes,
        values,
    ]: [&'a [u8]; 8],
    met: &'a mut Vec<Uuid>,
    match_values: &'a mut Option<MatchValues>,
) -> Result<NewEnrollment<'a>, String> {
    let enrolled_at = integer(enrolled_at, "enrolled_at")?;
    let (excludes, joined_at) = excludes.split_at(excludes.len().min(1));
    met.clear();
    let goals = text(goals, "met_goals")?;
    for goal in goals.split(',').filter(|_| !goals.is_empty()) {
        let id =
            goal_id(goal).ok_or_else(|| format!("met_goals has an invalid goal id: {goal}"))?;
        met.push(id);
    }
    *match_values = match text(values, "match_values")? {
        "" => None,
        json => Some(MatchValues::from_json(json).ok_or("match_values are not valid")?),
    };
    Ok(NewEnrollment {
        tenant: text(tenant, "tenant_id")?,
        contact: text(contact, "contact_id")?,
        enrollment: text(enrollment, "enrollment_id")?,
        workflow: text(workflow, "workflow_id")?,
        enrolled_at,
        met,
        excludes: boolean(excludes, "excludes")?,
        match_values: match_values.as_ref(),
        joined_at: match joined_at {
            [] => None,
            bytes => Some(integer(bytes, "joined_at")?),
        },
    })
}
