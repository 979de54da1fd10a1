"""The YAML file of `goald apply`."""

from pathlib import Path
from typing import Any

import yaml

from goald.domain.configuration.desired import DesiredConfiguration, read_desired
from goald.domain.errors import InvalidFile


def read_configuration(path: Path) -> DesiredConfiguration:
    """Read a file. Blocks. Raises InvalidFile, naming the file and each fault's place."""
    try:
        return parse_configuration(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(f"{path} cannot be read: {error}") from None
    except InvalidFile as error:
        raise InvalidFile(f"{path}:\n{error}") from None


def parse_configuration(text: str) -> DesiredConfiguration:
    """The same for a file's text."""
    try:
        # A SafeLoader: it makes plain values only.
        contents = yaml.load(text, Loader=_Loader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidFile(f"this is not YAML: {error}") from None
    return read_desired(contents)


class _Loader(yaml.SafeLoader):
    """Safe values; decimals as the text that they are written in, so that 0.1 stays 0.1 and
    an id such as 1.10 keeps its zero; no key twice in one map."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # refused as a key below
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value} stands twice in one map", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _as_text(loader: _Loader, node: yaml.ScalarNode) -> Any:
    return loader.construct_scalar(node)


_Loader.add_constructor("tag:yaml.org,2002:float", _as_text)
