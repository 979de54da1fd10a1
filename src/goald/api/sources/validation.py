"""Validation of a source before it is stored."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from goald.api.problems import BadRequest
from goald.domain.errors import InvalidConfiguration
from goald.ports.sources.store import SourceStore
from goald.sources.compiled import Source, compile_source


async def compiled(preset: str, overrides: Mapping[str, Any], *, has_public_url: bool) -> Source:
    """Return the source of a preset that exists, and overrides. Raises InvalidConfiguration with
    every fault; BadRequest for a provider that signs its URL if none is set."""
    source = await asyncio.to_thread(compile_source, preset, overrides)
    if source.signs_url and not has_public_url:
        raise BadRequest(
            "The provider signs the URL that it calls, so goald must know it: set "
            "GOALD_PUBLIC_URL, such as https://goald.example.com",
            errors=[{"pointer": "/preset", "detail": "needs GOALD_PUBLIC_URL"}],
        )
    return source


async def check_secrets(
    store: SourceStore, tenant: str, name: str, source: Source, secrets: Sequence[str] | None
) -> None:
    """Check that the secrets fit the scheme; None for those of the existing source. Raises
    InvalidConfiguration."""
    if secrets is not None:
        source.parse_secrets(secrets)
        return
    stored = await store.load(tenant, name)
    kept = stored.secrets if stored is not None else ()
    try:
        source.parse_secrets(kept)
    except InvalidConfiguration as error:
        if not kept:
            raise
        raise InvalidConfiguration(
            f"the secrets of the existing source do not fit: {error}", error.faults
        ) from None
