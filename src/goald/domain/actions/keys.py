"""Which providers honour idempotency keys, as far as a shard has to know (X4)."""

from typing import Final

from goald.domain.actions.gates import ActionType

_KEYED: Final = frozenset({"add_tag", "noop", "remove_tag", "update_contact", "webhook"})


def honours_keys(action: ActionType) -> bool:
    """Whether a call of the action that is repeated with the same key has one effect. A worker
    knows its provider; a shard asks this about a job whose gate was lost. Actions of other programs
    count as not keyed, so they are not repeated."""
    return action in _KEYED
