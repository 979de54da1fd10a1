//! The facts in Postgres about contacts (E16, E22): which tags of a list a contact had before, and the
//! state that it has when an enrollment starts.

use ahash::RandomState;
use hashbrown::HashMap;
use uuid::Uuid;

use crate::event::{Fact, ListedTag};

/// The tags and stages of a contact when an enrollment starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownState {
    pub tenant_id: String,
    pub enrollment_id: String,
    /// The id and the name of each tag.
    pub tags: Vec<(Option<String>, Option<String>)>,
    /// Each pipeline, if it is known, with the stage in it.
    pub stages: Vec<(Option<String>, String)>,
}

impl KnownState {
    /// Events that would give this state.
    pub fn facts(&self) -> Vec<Fact<'_>> {
        let mut facts = vec![Fact::TagAdded {
            tag_id: None,
            tag_name: None,
            tags: self.tags.iter().map(listed).collect(),
        }];
        facts.extend(self.stages.iter().map(stage));
        facts
    }
}

fn listed((tag_id, tag_name): &(Option<String>, Option<String>)) -> ListedTag<'_> {
    ListedTag {
        index: 0,
        tag_id: tag_id.as_deref().map(Into::into),
        tag_name: tag_name.as_deref().map(Into::into),
    }
}

fn stage((pipeline_id, stage_id): &(Option<String>, String)) -> Fact<'_> {
    Fact::StageChanged {
        pipeline_id: pipeline_id.as_deref().map(Into::into),
        stage_id: Some(stage_id.as_str().into()),
    }
}

/// Tags that are not new: tenant, event, and their positions in its list.
pub type OldTags = (String, Uuid, Vec<u32>);

/// The answers to the questions of earlier evaluations.
#[derive(Debug, Default)]
pub struct KnownContacts<'k> {
    old_tags: HashMap<(&'k str, Uuid), &'k [u32], RandomState>,
    pub states: HashMap<(&'k str, &'k str), &'k KnownState, RandomState>,
}

impl<'k> KnownContacts<'k> {
    pub fn new(old_tags: &'k [OldTags], states: &'k [KnownState]) -> KnownContacts<'k> {
        let old = |(tenant, event, tags): &'k OldTags| ((tenant.as_str(), *event), &tags[..]);
        let state = |state: &'k KnownState| {
            let key = (state.tenant_id.as_str(), state.enrollment_id.as_str());
            (key, state)
        };
        KnownContacts {
            old_tags: old_tags.iter().map(old).collect(),
            states: states.iter().map(state).collect(),
        }
    }

    pub fn old_tags(&self, tenant: &str, event: Uuid) -> &'k [u32] {
        self.old_tags.get(&(tenant, event)).copied().unwrap_or(&[])
    }
}

/// A tag that was added, without those of the list at these positions. `None` if all are new.
pub fn without_old_tags<'a>(fact: &Fact<'a>, old: &[u32]) -> Option<Fact<'a>> {
    match fact {
        Fact::TagAdded {
            tag_id,
            tag_name,
            tags,
        } if !old.is_empty() => {
            let is_new = |tag: &&ListedTag<'a>| !old.contains(&tag.index);
            Some(Fact::TagAdded {
                tag_id: tag_id.clone(),
                tag_name: tag_name.clone(),
                tags: tags.iter().filter(is_new).cloned().collect(),
            })
        }
        _ => None,
    }
}

/// Whether the event describes a contact and its tenant has a projection from then on: without one,
/// goald could not know which tags of the next list are new (E16).
#[inline]
pub fn begins_projection(fact: &Fact<'_>) -> bool {
    matches!(fact, Fact::TagAdded { tags, .. } if !tags.is_empty())
}
