"""What decides whether a node's result of the last run can be used again."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

from .calls import call_over_lists
from .definitions import Definitions
from .prompt import Link, Node


def node_signature(node: Node, definitions: Definitions, sources: Mapping[str, str]) -> str:
    """A digest of everything that decides the node's result: class, constants, the signatures of its sources, and its `IS_CHANGED`.

    The id of the node counts only where the class asks for it (`UNIQUE_ID`) or says that equal inputs do not mean equal results
    (`NOT_IDEMPOTENT`); otherwise equal nodes share one result, as in ComfyUI (comfy_execution/caching.py).

    Args:
        sources: the signatures of the nodes it is linked to, by id.
    """
    definition, node_class = definitions[node.class_type], definitions.classes[node.class_type]
    parts: list[Any] = [node.class_type, _fingerprint(node, node_class, definitions)]
    if getattr(node_class, "NOT_IDEMPOTENT", False) or "UNIQUE_ID" in definition.hidden.values():
        parts.append(node.id)
    for name in sorted(node.inputs.keys() & definition.inputs.keys()):
        value = node.inputs[name]
        parts.append([name, "link", sources[value.node], value.slot] if isinstance(value, Link) else [name, "value", value])
    return _digest(parts)


def _fingerprint(node: Node, node_class: type, definitions: Definitions) -> Any:
    """What the class says of things outside the workflow, such as a file's content. Linked inputs are given as None."""
    if not hasattr(node_class, "IS_CHANGED"):
        return None
    known = definitions[node.class_type].inputs
    arguments = {name: [None if isinstance(value, Link) else value] for name, value in node.inputs.items() if name in known}
    answers = call_over_lists(node_class, "IS_CHANGED", arguments)
    # Not equal to itself (NaN) is ComfyUI's way to say "always run".
    return uuid.uuid4().hex if any(answer != answer for answer in answers) else answers


def _digest(parts: list[Any]) -> str:
    try:
        text = json.dumps(parts, sort_keys=True, default=_plain)
    except TypeError:
        text = uuid.uuid4().hex
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError
