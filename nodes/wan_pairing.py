"""A Wan VAE that does not belong to the transformer, seen in the graph before anything is loaded.

WanDecode sees latents and VAE together, but only when the video is made. The graph says which VAE its latents will meet much earlier, so
the loader and the sampler look ahead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import UserError
from ..loaders.registry import load_registry
from ..pipelines.wan_model import WanTransformer, known_models, known_vaes

Prompt = Mapping[str, Mapping[str, Any]]
"""The running graph in API form, as ComfyUI hands it to nodes that ask for it."""

HIDDEN = {"prompt": "PROMPT", "unique_id": "UNIQUE_ID"}


def check_decoders(transformer: WanTransformer, prompt: Prompt | None, node_id: Any, node_class: str) -> None:
    """Refuse a graph in which latents of this transformer go to a WanDecode with another VAE.

    `node_id` is the node of class `node_class` that asks: WanLoader, whose first output is the transformer, or WanDenoise. Wires through
    other nodes are not followed; WanDecode itself checks those.
    """
    if not prompt:
        return
    samplers = [str(node_id)] if node_class == "WanDenoise" else _takers(prompt, "WanDenoise", "transformer", node_id)
    right = transformer.model_entry.components["vae"]
    for sampler in samplers:
        for decoder in _takers(prompt, "WanDecode", "latent", sampler):
            chosen = _vae_of(prompt, prompt[decoder].get("inputs", {}).get("vae"))
            if chosen is not None and chosen != right:
                raise UserError(
                    f"{transformer.model_entry.name} makes latents for {right}, and WanDecode (node {decoder}) is given {chosen}: connect "
                    f"the vae of its WanLoader, or choose {right} in WanVAELoader."
                )


def _takers(prompt: Prompt, node_class: str, name: str, node_id: Any) -> Iterator[str]:
    """Nodes of a class whose input `name` is the first output of a node."""
    for other, node in prompt.items():
        if node.get("class_type") == node_class and node.get("inputs", {}).get(name) == [str(node_id), 0]:
            yield other


def _vae_of(prompt: Prompt, link: Any) -> str | None:
    """The component id of the VAE at the other end of a wire, where a loader of ours is there and says it."""
    if not isinstance(link, list):
        return None
    origin = prompt.get(str(link[0]), {})
    inputs = origin.get("inputs", {})
    if origin.get("class_type") == "WanVAELoader":
        choice = inputs.get("vae")
        return choice if isinstance(choice, str) and choice in known_vaes() else None
    if origin.get("class_type") == "WanLoader" and inputs.get("model") in [model.id for model in known_models()]:
        return load_registry().model(inputs["model"]).components["vae"]
    return None
