"""A source, ready to judge deliveries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from goald.domain.errors import InvalidConfiguration
from goald.sources.delivery import Delivery
from goald.sources.documents.fields import SourceDocument
from goald.sources.documents.notes import document_notes
from goald.sources.documents.presets import preset
from goald.sources.documents.reading import merged, read_document
from goald.sources.documents.scheme_fields import scheme_of
from goald.sources.handshakes import HandshakeResponse, handshake_response
from goald.sources.mapping.evaluation import map_delivery
from goald.sources.mapping.results import MappingResult
from goald.sources.schemes.contract import Scheme, SourceSecret, Verification


@dataclass(frozen=True, slots=True)
class Source:
    """Immutable and safe to share between threads. The receiver calls, in this order and after it
    has compared the key in the path: `handshake`; `scheme.certificate_url`, and the fetch of it;
    `verify`; later, from the stored delivery, `map`.
    """

    document: SourceDocument
    scheme: Scheme

    @property
    def types(self) -> frozenset[str]:
        """The event types that this source may send."""
        return self.document.event_types()

    @property
    def notes(self) -> tuple[str, ...]:
        """See `document_notes`."""
        return document_notes(self.document)

    @property
    def signs_url(self) -> bool:
        """Whether the provider signs the public URL, which must be known then."""
        return self.document.scheme.type == "hubspot"

    def parse_secrets(self, texts: Sequence[str]) -> tuple[SourceSecret, ...]:
        """Return secrets in the form that `verify` takes. Raises InvalidConfiguration for a
        secret that the scheme cannot check, and for no secret if the scheme needs one; the place
        of a fault is a JSON pointer such as `/secrets/0`."""
        secrets, faults = [], []
        for index, text in enumerate(texts):
            try:
                secrets.append(self.scheme.parse_secret(text))
            except InvalidConfiguration as error:
                faults.append((f"/secrets/{index}", str(error)))
        if not texts and not self.scheme.is_optional:
            faults.append(("/secrets", "the provider signs its deliveries: set its secret"))
        if faults:
            lines = "; ".join(f"{place}: {fault}" for place, fault in faults)
            raise InvalidConfiguration(lines, faults)
        return tuple(secrets)

    def handshake(self, delivery: Delivery) -> HandshakeResponse | None:
        """Return the answer to a request that is a handshake of the provider: it is answered with
        this before any signature is checked, and means nothing else. None for all others. Never
        raises."""
        return handshake_response(self.document, delivery)

    def verify(
        self, delivery: Delivery, secrets: Sequence[SourceSecret], now_us: int
    ) -> Verification:
        """See `Scheme.verify`."""
        return self.scheme.verify(delivery, secrets, now_us)

    def map(self, delivery: Delivery, delivery_id: str, *, hints: bool = False) -> MappingResult:
        """See `map_delivery`."""
        return map_delivery(self.document, delivery, delivery_id, hints=hints)


def compile_source(preset_name: str, overrides: Mapping[str, Any]) -> Source:
    """Return the source of a preset with a tenant's overrides (`merged`). A document of the
    tenant's own is the preset `custom` with all of it as overrides.

    Raises NotFound for an unknown preset, and InvalidConfiguration with all faults together. Takes
    milliseconds, so callers keep the result.
    """
    document = read_document(merged(preset(preset_name), overrides))
    return Source(document, scheme_of(document.scheme))
