//! Reads a list of tags (E16).

use super::envelope::Fields;
use super::scalars::{id_at, valid_text};
use super::value::{Kind, Reader, Span};
use super::walk::{self, ITEM_VALUE_DEPTH};
use crate::event::limits::LISTED_TAGS;
use crate::event::reject::{Reason, Reject};
use crate::event::{Field, ListedTag};

/// The tags in `data.tags`: names, and maps with `tag_id`, `tag_name` or both. An item that is null,
/// or a map with neither, is none.
#[inline]
pub(super) fn tags<'a, R: Reader<'a>>(fields: &Fields<R>) -> Result<Vec<ListedTag<'a>>, Reject> {
    let span = fields.get(Field::Tags);
    match span.kind() {
        Kind::Absent | Kind::Null => Ok(Vec::new()),
        Kind::List => listed::<R>(&fields.reader.bytes()[span.start()..span.end()]),
        _ => Err(Reject::of(Field::Tags, Reason::NotAList)),
    }
}

/// Reads the list a second time.
#[cold]
fn listed<'a, R: Reader<'a>>(bytes: &'a [u8]) -> Result<Vec<ListedTag<'a>>, Reject> {
    let mut tags = Vec::new();
    let mut reader = R::new(bytes)?;
    let mut items = reader.begin()?.members();
    let mut index = 0;
    while reader.next_item(&mut items)? {
        if index as usize == LISTED_TAGS {
            return Err(Reject::of(Field::Tags, Reason::ManyTags));
        }
        let item = reader.begin()?;
        tags.extend(match item.kind() {
            Kind::Text | Kind::Escaped => Some(ListedTag {
                index,
                tag_id: None,
                tag_name: Some(valid_text(&reader, item, Field::ListedTagName)?),
            }),
            Kind::Map => tag(&mut reader, item, index)?,
            Kind::Null => None,
            _ => return Err(Reject::of(Field::Tags, Reason::ItemNotATag)),
        });
        index += 1;
    }
    Ok(tags)
}

fn tag<'a, R: Reader<'a>>(
    reader: &mut R,
    item: Span,
    index: u32,
) -> Result<Option<ListedTag<'a>>, Reject> {
    let mut members = item.members();
    let (mut tag_id, mut tag_name) = (None, None);
    loop {
        let key = reader.next_key(&mut members)?;
        if key.is_absent() {
            break;
        }
        let value = walk::value(reader, ITEM_VALUE_DEPTH)?;
        match &*reader.text(key) {
            "tag_id" => tag_id = id_at(reader, value, Field::ListedTagId)?,
            "tag_name" => {
                tag_name = match value.kind() {
                    Kind::Text | Kind::Escaped => {
                        Some(valid_text(reader, value, Field::ListedTagName)?)
                    }
                    Kind::Absent | Kind::Null => None,
                    _ => return Err(Reject::of(Field::ListedTagName, Reason::NotText)),
                }
            }
            _ => {}
        }
    }
    let is_tag = tag_id.is_some() || tag_name.is_some();
    Ok(is_tag.then_some(ListedTag {
        index,
        tag_id,
        tag_name,
    }))
}
