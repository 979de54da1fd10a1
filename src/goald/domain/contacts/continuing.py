"""The projection of a contact that continues another one (E21)."""

from goald.domain.contacts.projection import (
    MAX_ATTRIBUTE_BYTES,
    MAX_ATTRIBUTES,
    MAX_STAGES,
    MAX_TAGS,
    Contact,
    join_stamps,
)
from goald.domain.contacts.reading import VALUES, json_bytes
from goald.domain.contacts.tags import Tag


def continue_contact(survivor: Contact | None, merged: Contact) -> Contact:
    """Return what is known of both. Of two values, the one with the later stamp counts, and that of
    the survivor if they are equal. Opting out survives: the contact is opted out if one of the two
    was. Tags of both are kept. Does not change its arguments."""
    if survivor is None:
        return merged
    result = Contact(
        attributes=dict(survivor.attributes),
        tags=list(survivor.tags),
        stages=dict(survivor.stages),
        stamps=dict(survivor.stamps),
        by_case=merged.by_case,
    )
    for name in VALUES:
        of = merged if _is_later(merged, survivor, name) else survivor
        setattr(result, name, getattr(of, name))
    _take_attributes(result, survivor, merged)
    for pipeline, stage in merged.stages.items():
        has_room = pipeline in result.stages or len(result.stages) < MAX_STAGES
        if has_room and _is_later(merged, survivor, f"stages/{pipeline}"):
            result.stages[pipeline] = stage
    for tag in merged.tags:
        _add(result.tags, tag, by_case=merged.by_case)
    for path, stamp in merged.stamps.items():
        known = result.stamps.get(path)
        result.stamps[path] = stamp if known is None else join_stamps(known, stamp)
    if False in (survivor.opted_in, merged.opted_in):
        result.opted_in = False
    return result


def _take_attributes(result: Contact, survivor: Contact, merged: Contact) -> None:
    for name, value in merged.attributes.items():
        attributes = result.attributes | {name: value}
        has_room = len(attributes) <= MAX_ATTRIBUTES
        fits = json_bytes(attributes) <= MAX_ATTRIBUTE_BYTES
        if has_room and fits and _is_later(merged, survivor, f"attributes/{name}"):
            result.attributes = attributes


def _is_later(merged: Contact, survivor: Contact, path: str) -> bool:
    given, known = merged.stamps.get(path), survivor.stamps.get(path)
    return given is not None and (known is None or given[0] > known[0])


def _add(tags: list[Tag], tag: Tag, *, by_case: bool) -> None:
    keys = tag.identifiers(by_case=by_case)
    for at, known in enumerate(tags):
        if not {*known.identifiers(by_case=by_case)}.isdisjoint(keys):
            tags[at] = Tag(known.id or tag.id, known.name or tag.name, known.added_by)
            return
    if len(tags) < MAX_TAGS:
        tags.append(tag)
