"""Lua scripts that Redis caches, and whose errors keep their type."""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from redis.exceptions import NoScriptError

from goald.redis_wire import Command, Wire, checked

_WRAP: Final = """
local ok, reply = pcall(main)
if ok then return reply end
local text = type(reply) == 'table' and reply.err or tostring(reply)
return {err = (string.gsub(text, '^@?user_script: ?%d+: %-?', ''))}
"""
"""Returns an error of a command as Redis reports it outside of scripts, also from Redis 6.2."""


class Script:
    """A script, sent by its digest."""

    def __init__(self, *parts: str) -> None:
        """`parts`: sources that are joined; they define the function `main`."""
        self._source = "".join((*parts, _WRAP))
        self._digest = hashlib.sha1(self._source.encode(), usedforsecurity=False).hexdigest()

    async def call(
        self, wire: Wire, keys: list[str], arguments: Sequence[str | bytes | int]
    ) -> Any:
        """The reply. Raises as `Wire.ask` and `checked` do."""
        return (await self.call_before(wire, keys, arguments))[0]

    async def call_before(
        self, wire: Wire, keys: list[str], arguments: Sequence[str | bytes | int], *then: Command
    ) -> list[Any]:
        """The reply, and those to further commands on the same connection. Raises like `call`, but
        not for errors of the further commands."""
        rest: Command = (len(keys), *keys, *arguments)
        replies = await wire.ask(("EVALSHA", self._digest, *rest), *then)
        if isinstance(replies[0], NoScriptError):
            replies = await wire.ask(("EVAL", self._source, *rest), *then)
        return [checked(replies[0]), *replies[1:]]
