"""The YAML file of `goald apply` and `goald export`."""

from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import yaml

from goald.configuration.compiled_definitions import DecimalText, file_faults
from goald.domain.configuration.desired import DesiredConfiguration
from goald.domain.configuration.desired_reader import read_desired
from goald.domain.errors import InvalidFile


def read_configuration(path: Path) -> DesiredConfiguration:
    """Read a file. Blocks. Raises InvalidFile with the file's name and the path of each fault."""
    try:
        return parse_configuration(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InvalidFile(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InvalidFile(f"cannot read {path}: it is not UTF-8") from None
    except InvalidFile as error:
        raise InvalidFile(f"{path}:\n{error}") from None


def parse_configuration(text: str) -> DesiredConfiguration:
    """Parse the text of a file. Raises InvalidFile with the path of each fault."""
    try:
        # A SafeLoader: it constructs plain values only.
        contents = yaml.load(text, Loader=_Loader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidFile(f"invalid YAML: {error}") from None
    faults: list[str] = []
    try:
        desired = read_desired(contents)
    except InvalidFile as error:
        faults.append(str(error))
    faults += file_faults(contents)
    if faults:
        raise InvalidFile("\n".join(faults))
    return desired


_BOOLEAN: Final = "tag:yaml.org,2002:bool"
_TEXT: Final = "tag:yaml.org,2002:str"


class _Loader(yaml.SafeLoader):
    """Constructs plain values. Decimals stay text (`DecimalText`), so that 0.1 is exact and an id
    such as 1.10 keeps its zero. A key is never a boolean, so that `on` is a name. A duplicate key
    in a map is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # the SafeLoader refuses it below
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {key.value}", key.start_mark
                )
            seen.add(key.value)
            if key.tag == _BOOLEAN:
                key.tag = _TEXT
        return super().construct_mapping(node, deep)


def _as_text(loader: _Loader, node: yaml.ScalarNode) -> Any:
    return DecimalText(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:float", _as_text)


def format_configuration(contents: dict[str, Any]) -> str:
    """Return contents as the text of a file, which is read as the same contents. Decimals are
    written with all their digits."""
    text: str = yaml.dump(contents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


class _Dumper(yaml.SafeDumper):
    """Writes plain values, and no references between equal ones."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_decimal(dumper: _Dumper, value: Decimal) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:float", str(value))


_Dumper.add_representer(Decimal, _represent_decimal)
