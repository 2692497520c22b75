"""Reading a registry file: plain YAML, except that a key written twice is refused instead of silently winning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .registry_errors import RegistryError

# libyaml's parser is ten times as fast; not every PyYAML is built with it.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]  # the base is chosen when the module is imported
    """YAML without Python objects, in which a mapping has each key once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.value == "<<":
                continue
            if key_node.value in seen:
                message = f"the key '{key_node.value}' was given before, in line {seen[key_node.value]}"
                raise yaml.constructor.ConstructorError(None, None, message, key_node.start_mark)
            seen[key_node.value] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep=deep)  # type: ignore[no-any-return]


def read_yaml(path: Path, label: str) -> dict[str, Any]:
    """The mapping a YAML file holds; an empty file is an empty mapping. `label` is what messages call the file.

    Raises:
        RegistryError: the file cannot be read, is not YAML, or is not a mapping.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise RegistryError(label, (), f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RegistryError(label, (), "is not a text file in UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise RegistryError(label, (f"line {line}",), f"not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise RegistryError(label, (), f"not valid YAML: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise RegistryError(label, (), f"expected sections with entries, found {type(document).__name__}")
    return document
