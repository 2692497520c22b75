"""Before the first download of a run: what the whole graph lacks, against the free disk and the gates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from .. import host
from ..errors import UserError
from ..loaders.component import Component
from ..loaders.download_errors import UnreachableError
from ..loaders.downloads import absent, allowed, check, plans
from ..loaders.folder_files import folders_held
from ..loaders.lora import Lora
from ..loaders.registry import load_registry
from ..workflows.document import Document
from ..workflows.prompt import Prompt
from .cost import handles
from .preflight_graph import GraphFacts, Loaded, read_graph
from .preflight_handles import handle_of
from .preflight_numbers import node_class

_checked: list[Mapping[str, Any]] = []
"""The prompt that was checked last."""


def check_downloads(values: Iterable[Any]) -> None:
    """Where a stage with these arguments is about to download: refuse what cannot go well for what later stages will download.

    Raises:
        UserError: the disk is too small for all that the graph lacks, or one of the repositories is gated; nothing was transferred.
    """
    prompt = host.current().running_prompt()
    if prompt is None or any(prompt is checked for checked in _checked) or not allowed():
        return
    with folders_held():
        if not any(absent(handles(values))):
            return
        lacking, loras = absent(handles_of(Document("the graph", dict(prompt), is_page=False).prompt({})))
    try:
        check(plans(lacking, loras))
    except UnreachableError:
        return  # who downloads says it, with what to do
    _checked[:] = [prompt]


def handles_of(prompt: Prompt) -> Iterator[Component]:
    """The handles that our loaders in a graph hand out to somebody, with their LoRAs."""
    from ..nodes import NODE_CLASS_MAPPINGS  # nodes import this package

    facts = read_graph(prompt)
    for loaded in facts.loaded:
        node = prompt.nodes[loaded.node]
        outputs = getattr(NODE_CLASS_MAPPINGS.get(node_class(node)), "RETURN_TYPES", ())
        wired = [outputs[link.slot] for other in prompt.nodes.values() for _, link in other.links() if link.node == node.id and outputs]
        if any(load_registry().component(loaded.component).socket in sockets.split(",") for sockets in wired):
            model, role = _place(loaded)
            handle = handle_of(node, model, role)
            if handle is not None:
                yield replace(handle, loras=tuple(_loras(facts, loaded.node, model, role)))


def _loras(facts: GraphFacts, loader: str, model: str, role: str) -> Iterator[Lora]:
    for use in facts.loras:
        try:
            lora = use.on(model, role) if loader in use.loaders else None
        except UserError:
            continue  # its node refuses it
        if lora is not None:
            yield lora


def _place(loaded: Loaded) -> tuple[str, str]:
    """A model and the role in it that the component has; those that the loader means where it says."""
    if loaded.model is not None:
        return loaded.model, loaded.role
    models = load_registry().models.values()
    return next((model.id, role) for model in models for role, name in model.components.items() if name == loaded.component)
