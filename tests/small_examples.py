"""The example workflows, made small enough for small models on a processor."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from advanced_models.nodes import NODE_CLASS_MAPPINGS
from advanced_models.workflows.definitions import Definitions
from advanced_models.workflows.document import read_workflow
from advanced_models.workflows.native import NATIVE_NODES
from comfyui_server import PACK
from PIL import Image

EXAMPLES = sorted((PACK / "example_workflows").glob("*.json"))
SIZE = 256
CLIP = {"width": 128, "height": 64, "frames": 9}


def small_values(kind: str, inputs: Collection[str]) -> dict[str, int]:
    """The inputs to change in a node of this class, which has these."""
    values = {"steps": 4} if kind in ("WanDenoise", "QwenImageDenoise") else {}
    if "frames" in inputs:
        return values | CLIP
    return values | ({"width": SIZE, "height": SIZE} if "width" in inputs else {})


def api_form(path: Path) -> dict[str, dict[str, Any]]:
    """An example as the page would post it, made small."""
    prompt = read_workflow(path).prompt(Definitions({**NATIVE_NODES, **NODE_CLASS_MAPPINGS})).to_api()
    for node in prompt.values():
        node["inputs"] |= small_values(node["class_type"], node["inputs"])
    return prompt


def draw_example(path: Path) -> None:
    """A picture whose lower right quarter is transparent, as ComfyUI's mask editor saves a painted mask."""
    picture = Image.linear_gradient("L").resize((SIZE, SIZE)).convert("RGB")
    alpha = Image.new("L", (SIZE, SIZE), 255)
    alpha.paste(0, (SIZE // 2, SIZE // 2, SIZE, SIZE))
    picture.putalpha(alpha)
    picture.save(path)
