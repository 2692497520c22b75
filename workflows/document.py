"""Workflow files: telling the two forms apart and reading either into a prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from .definitions import NodeDefinition
from .page import page_to_prompt
from .prompt import Link, Node, Prompt, constant


class _Object(dict[str, Any]):
    """A JSON object that remembers keys given twice."""

    repeated: tuple[str, ...] = ()

    @classmethod
    def of(cls, pairs: list[tuple[str, Any]]) -> _Object:
        result = cls(pairs)
        if len(result) < len(pairs):
            names = [name for name, _ in pairs]
            result.repeated = tuple(name for name in result if names.count(name) > 1)
        return result


@dataclass(frozen=True)
class Document:
    """A workflow file."""

    name: str
    """The file's name, for messages."""
    data: dict[str, Any]
    is_page: bool
    """Whether it is the form that the page saves (nodes with positions, links, widget values) or the API form."""

    @property
    def workflow(self) -> dict[str, Any] | None:
        """The graph for the page, which pictures carry so that ComfyUI can open it; the API form has none."""
        return self.data if self.is_page else None

    def prompt(self, definitions: Mapping[str, NodeDefinition]) -> Prompt:
        """What is to be computed.

        Raises:
            UserError: the file is damaged; the message names the file and the node.
        """
        try:
            return page_to_prompt(self.data, definitions) if self.is_page else _api_to_prompt(self.data)
        except UserError as error:
            raise UserError(f"{self.name}: {error}") from error


def read_workflow(path: Path) -> Document:
    """Read a workflow file of either form.

    Raises:
        UserError: the file is missing, is not UTF-8 JSON, or is no workflow.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path.name} cannot be read: {error.strerror or error}. Give the path of a workflow file.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path.name} is not a text file. Give a workflow that ComfyUI saved or exported as JSON.") from error
    try:
        data = json.loads(text, object_pairs_hook=_Object.of)
    except (json.JSONDecodeError, RecursionError) as error:
        where = f" (line {error.lineno}, column {error.colno}: {error.msg})" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(f"{path.name} is not valid JSON{where}. Save or export the workflow from ComfyUI again.") from error
    if isinstance(data, dict) and isinstance(data.get("nodes"), list):
        return Document(path.name, data, is_page=True)
    if isinstance(data, dict) and any(isinstance(entry, dict) and "class_type" in entry for entry in data.values()):
        return Document(path.name, data, is_page=False)
    raise UserError(
        f"{path.name} is JSON but no workflow: it has neither the nodes and links that ComfyUI saves nor the class_type entries "
        "of its API form. In ComfyUI use Save or Export (API)."
    )


def _api_to_prompt(data: Mapping[str, Any]) -> Prompt:
    if isinstance(data, _Object) and data.repeated:
        raise UserError(f"Two nodes have the id {data.repeated[0]}. Give one of them another id.")
    return Prompt({str(node_id): _api_node(str(node_id), entry) for node_id, entry in data.items()})


def _api_node(node_id: str, entry: Any) -> Node:
    class_type = entry.get("class_type") if isinstance(entry, dict) else None
    inputs = entry.get("inputs", {}) if isinstance(entry, dict) else None
    if not isinstance(class_type, str) or not isinstance(inputs, dict):
        raise UserError(
            f'Node {node_id} is not of the form {{"class_type": ..., "inputs": {{...}}}}. Export the workflow from ComfyUI again.'
        )
    meta = entry.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    read = {name: _api_input(node_id, class_type, name, value) for name, value in inputs.items()}
    return Node(node_id, class_type, read, title if isinstance(title, str) else class_type)


def _api_input(node_id: str, class_type: str, name: str, value: Any) -> Any:
    if not isinstance(value, list):
        return constant(value)
    if len(value) == 2 and isinstance(value[0], (str, int)) and isinstance(value[1], int) and not isinstance(value[1], bool):
        return Link(str(value[0]), value[1])
    raise UserError(
        f'Node {node_id} ({class_type}), input "{name}": {json.dumps(value)[:60]} is no link; a link is ["node id", output number].'
    )
