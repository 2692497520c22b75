"""Building workflows for tests: the API form in one line per node, and pages from the fewest fields that ComfyUI reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advanced_models.workflows.definitions import Definitions
from advanced_models.workflows.document import Document
from advanced_models.workflows.native import NATIVE_NODES
from advanced_models.workflows.prompt import Prompt
from advanced_models.workflows.validate import ValidPrompt, validate
from workflow_nodes import NODE_CLASS_MAPPINGS

DEFINITIONS = Definitions({**NATIVE_NODES, **NODE_CLASS_MAPPINGS})


def node(class_type: str, title: str | None = None, /, **inputs: Any) -> dict[str, Any]:
    """One node of the API form."""
    return {"class_type": class_type, "inputs": inputs, **({"_meta": {"title": title}} if title else {})}


def sampling(**changes: Any) -> dict[str, Any]:
    """A complete workflow of the API form: model 1, patch 2, text 3, sampler 4, output 5. `changes` replaces nodes by id (`n4=...`)."""
    graph = {
        "1": node("WfModel", name="small"),
        "2": node("WfPatch", model=["1", 0], clip=["1", 1], strength=0.5),
        "3": node("WfEncode", text="a cat", clip=["2", 1]),
        "4": node("WfSample", "My sampler", model=["2", 0], seed=7, steps=4, cfg=1.5, positive=["3", 0], mode="slow"),
        "5": node("WfSave", latent=["4", 0], prefix="out"),
    }
    return {**graph, **{key.removeprefix("n"): value for key, value in changes.items()}}


def changed(node_id: str, **inputs: Any) -> dict[str, Any]:
    """`sampling()` with some inputs of one node replaced; None takes the input away."""
    graph = sampling()
    merged = {**graph[node_id]["inputs"], **inputs}
    graph[node_id]["inputs"] = {name: value for name, value in merged.items() if value is not None}
    return graph


def read(data: Mapping[str, Any], definitions: Definitions | Mapping[str, Any] = DEFINITIONS) -> Prompt:
    """The prompt of either form."""
    copy = json.loads(json.dumps(data))
    return Document("test.json", copy, isinstance(copy.get("nodes"), list)).prompt(definitions)


def checked(data: Mapping[str, Any], definitions: Definitions = DEFINITIONS) -> ValidPrompt:
    """The validated prompt of either form."""
    return validate(read(data, definitions), definitions)


def page(*nodes: Mapping[str, Any], links: tuple[tuple[Any, ...], ...] = (), **rest: Any) -> dict[str, Any]:
    """A page; `links` are (id, origin, origin slot, target, target slot, type)."""
    return {"version": 0.4, "nodes": list(nodes), "links": [list(link) for link in links], "groups": [], **rest}


def written(folder: Path, data: Any, name: str = "workflow.json") -> Path:
    """The workflow as a file."""
    path = folder / name
    path.write_text(json.dumps(data), encoding="utf-8")
    return path
