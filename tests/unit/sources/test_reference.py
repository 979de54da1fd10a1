"""The reference of source documents names every preset, function, field and scheme, and its example
does what the page says."""

import json
import re
from pathlib import Path

import yaml
from tests.support.sources.payloads import delivery

from goald.sources.compiled import compile_source
from goald.sources.documents.fields import EventFields, SourceDocument
from goald.sources.documents.presets import preset_names
from goald.sources.documents.reading import SCHEMES
from goald.sources.expressions.functions import FUNCTIONS
from goald.sources.mapping.results import ContactReference

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "source-documents.md").read_text("utf-8")


def _block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_gives_the_events_that_the_page_names() -> None:
    source = compile_source("custom", yaml.safe_load(_block("yaml")))
    result = source.map(delivery(_block("json").encode()), "d-1")
    payment, tag = result.events
    assert (payment.type, payment.id) == ("payment.completed", "order.paid:4711")
    assert payment.data["amount"] == "49.80"
    assert payment.data["line_items"] == [{"product_id": "book", "amount": "49.80"}]
    assert payment.time_us == 1_795_770_000_000_000
    assert (tag.type, tag.data) == ("contact.tag.added", {"tag_name": "reader"})
    assert tag.contact == ContactReference("c-17", "ann@example.com")
    sandbox = json.loads(_block("json")) | {"mode": "sandbox"}
    assert source.map(delivery(json.dumps(sandbox).encode()), "d-1").events == ()


def test_the_page_names_everything_that_a_document_may_use() -> None:
    names = {
        *preset_names(),
        *FUNCTIONS,
        *SCHEMES,
        *(set(SourceDocument.model_fields) - {"version"}),
        *EventFields.model_fields,
    }
    missing = [name for name in sorted(names) if not re.search(rf"`{name}\b", PAGE)]
    assert missing == [], "document these in docs/reference/source-documents.md"
