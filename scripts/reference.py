"""Writes the generated parts of the documentation from the code: tables of settings, metrics,
commands and HTTP operations in docs/reference, and the pattern of ids in docs/asyncapi.yaml.
`make docs` runs it, and a test fails if a part is stale.

A table is between `<!-- generated: NAME -->` and `<!-- end -->` in its page, the pattern between
`# generated: id pattern` and `# end`.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
ASYNCAPI = ROOT / "docs" / "asyncapi.yaml"
_SECTION = re.compile(
    r"(?P<head><!-- generated: (?P<name>[\w -]+?) -->\n).*?(?P<foot><!-- end -->)", re.DOTALL
)
_ID_PATTERN = re.compile(
    r"(?P<head>^( *)# generated: id pattern\n).*?(?P<foot>^ *# end\n)", re.DOTALL | re.MULTILINE
)


def settings_table() -> str:
    """Every setting: variable, default, range and description."""
    from goald.settings import PREFIX, Settings

    rows = [
        (
            f"`{PREFIX}{name.upper()}`",
            _default(field),
            _range(field),
            _sentence(field.description or ""),
        )
        for name, field in Settings.model_fields.items()
    ]
    return _table(("setting", "default", "values", "meaning"), rows)


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or value is PydanticUndefined:
        return ""
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _range(field: FieldInfo) -> str:
    """The values that the annotation allows: bounds, or the words of a Literal or pattern."""
    from typing import get_args

    words = [each for each in get_args(field.annotation) if isinstance(each, str)]
    if words:
        return ", ".join(f"`{word}`" for word in words)
    bounds: dict[str, Any] = {}
    for limit in field.metadata:
        for name in ("ge", "gt", "le", "lt", "min_length", "pattern"):
            value = getattr(limit, name, None)
            if value is not None:
                bounds[name] = value
    if pattern := bounds.get("pattern"):
        return ", ".join(f"`{word}`" for word in re.findall(r"\w+", str(pattern)))
    if (least := bounds.get("min_length")) and least > 1:
        return f"at least {least} characters"
    if "ge" in bounds and "le" in bounds:
        return f"{_number(bounds['ge'])} to {_number(bounds['le'])}"
    return f"at least {_number(bounds['ge'])}" if "ge" in bounds else ""


def _number(value: float) -> str:
    return f"{value:,.10g}"


def metrics_table() -> str:
    """Every metric that a process keeps: name as Prometheus sees it, type, labels, help."""
    from goald.metrics import api, executions, jobs, pipeline, workers

    rows: list[tuple[str, ...]] = []
    for owner, make in (
        ("consumer", pipeline.ConsumerMetrics),
        ("shard", pipeline.ShardMetrics),
        ("shard", executions.ExecutionMetrics),
        ("daemon", jobs.TrimmingMetrics),
        ("daemon", jobs.StreamBoundMetrics),
        ("daemon", jobs.ErasureMetrics),
        ("daemon", jobs.TransferMetrics),
        ("worker", workers.WorkerMetrics),
        ("API", api.ApiMetrics),
        ("API", api.AdmissionMetrics),
    ):
        for metric in _metrics_of(make):
            rows.append(_metric_row(metric, owner))
    rows += list(_exporter_rows())
    return _table(("metric", "type", "labels", "from", "meaning"), sorted(rows))


def _metrics_of(make: Callable[[CollectorRegistry], Any]) -> Iterator[MetricWrapperBase]:
    registry = CollectorRegistry()
    for value in vars(make(registry)).values():
        # Not those that are looked up once with their labels.
        if isinstance(value, MetricWrapperBase) and not value._labelvalues:
            yield value


def _metric_row(metric: MetricWrapperBase, owner: str) -> tuple[str, ...]:
    kind = type(metric).__name__.lower()
    name = metric._name if isinstance(metric, Gauge | Histogram) else f"{metric._name}_total"
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"`{name}`", kind, labels, owner, metric._documentation


def _exporter_rows() -> Iterator[tuple[str, ...]]:
    """The metrics that the exporter adds, from readings of Redis."""
    from datetime import UTC, datetime

    from goald.ports.process_registry import Readings
    from goald.runtime.heartbeat.exporter import ReadingsCollector

    now = datetime.now(UTC)
    for family in ReadingsCollector(lambda: Readings(now), lambda: now).collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in getattr(family, "_labelnames", ()))
        yield f"`{name}`", family.type, labels, "exporter", family.documentation


def commands() -> dict[str, Any]:
    """Every command that does something, by its words, such as `goald dead list`."""
    from goald.cli.main import app

    return dict(_commands_below("goald", typer.main.get_command(app)))


def _commands_below(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    below: dict[str, Any] = getattr(command, "commands", {})
    for name, subcommand in below.items():
        if not getattr(subcommand, "commands", {}) or subcommand.invoke_without_command:
            yield f"{words} {name}", subcommand
        yield from _commands_below(f"{words} {name}", subcommand)


def command_section(words: str) -> str:
    """A command's help, arguments and options."""
    command = commands()[words]
    rows = [row for each in command.params if (row := _parameter_row(each)) is not None]
    text = _paragraphs(command.help or "") + "\n"
    return (
        text + "\n" + _table(("argument or option", "default", "meaning"), rows) if rows else text
    )


def _parameter_row(parameter: Any) -> tuple[str, ...] | None:
    if parameter.name == "help":
        return None
    help_text = _sentence(getattr(parameter, "help", None) or "")
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
        return f"`{name}`", "required" if parameter.required else "", help_text
    flags = " ".join([*parameter.opts, *parameter.secondary_opts])
    value = "" if parameter.is_flag else f" {_value_name(parameter)}"
    default = parameter.default
    if parameter.required:
        default_text = "required"
    elif parameter.is_flag or default is None or callable(default) or default is ...:
        default_text = ""
    else:
        default_text = f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
    return f"`{flags}{value}`", default_text, help_text


def _value_name(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name).strip("<>").upper().replace("_", "-")


def operations_table() -> str:
    """Every operation of docs/openapi.json, with the scope that it requires."""
    document = json.loads((ROOT / "docs/openapi.json").read_text(encoding="utf-8"))
    rows = [
        (f"`{method.upper()} {path}`", _scope(operation), _sentence(operation.get("summary", "")))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    return _table(("operation", "scope", "summary"), rows)


def _scope(operation: dict[str, Any]) -> str:
    scopes = {
        scope
        for requirement in operation.get("security", ())
        for scopes in requirement.values()
        for scope in scopes
    }
    return ", ".join(f"`{scope}`" for scope in sorted(scopes))


SECTIONS: dict[str, Callable[[], str]] = {
    "settings": settings_table,
    "metrics": metrics_table,
    "operations": operations_table,
}


def regenerated(page: Path) -> str:
    """The text of a page with its generated sections brought up to date."""
    return _SECTION.sub(
        lambda found: f"{found['head']}\n{_section(found['name'])}\n{found['foot']}",
        page.read_text(encoding="utf-8"),
    )


def _section(name: str) -> str:
    return command_section(name) if name.startswith("goald ") else SECTIONS[name]()


def generated_pages() -> list[Path]:
    """The pages that have a generated section."""
    return [
        page
        for page in sorted(REFERENCE.glob("*.md"))
        if _SECTION.search(page.read_text(encoding="utf-8"))
    ]


def asyncapi() -> str:
    """The text of docs/asyncapi.yaml with the characters that the API and the matcher refuse in
    ids. (A negated class: `^…$` matches before a final newline in some languages.)"""
    from goald.domain.ids import CONTROL, INVISIBLE

    pattern = f"not: {{pattern: {_yaml_string(f'[{CONTROL}{INVISIBLE}]')}}}\n"
    return _ID_PATTERN.sub(
        lambda found: f"{found['head']}{found[2]}{pattern}{found['foot']}",
        ASYNCAPI.read_text(encoding="utf-8"),
    )


def _yaml_string(text: str) -> str:
    """Text in double quotes, with invisible characters visible as escapes."""
    return '"' + "".join(_yaml_character(character) for character in text) + '"'


def _yaml_character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isascii() and character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def _sentence(text: str) -> str:
    """Return a description without its full stop, for a table."""
    text = " ".join(text.split())
    return text.removesuffix(".")


if __name__ == "__main__":
    for written in generated_pages():
        written.write_text(regenerated(written), encoding="utf-8")
    ASYNCAPI.write_text(asyncapi(), encoding="utf-8")
