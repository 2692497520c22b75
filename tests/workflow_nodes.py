"""Small node classes of the classic API for the tests of workflows. They compute with numbers and texts, and count their calls."""

from __future__ import annotations

from collections import Counter
from typing import Any

CALLS: Counter[str] = Counter()
"""How often each class has computed. Tests clear it."""


class WfModel:
    """Two outputs that stand for the parts of a model."""

    RETURN_TYPES = ("WF_MODEL", "WF_CLIP")
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"name": (["small", "large"],)}}

    def load(self, name: str) -> tuple[str, str]:
        CALLS["WfModel"] += 1
        return f"model {name}", f"clip {name}"


class WfPatch:
    """Takes and gives a model: the usual thing to bypass."""

    RETURN_TYPES = ("WF_MODEL", "WF_CLIP")
    FUNCTION = "patch"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        strength = ("FLOAT", {"default": 1.0, "min": -2.0, "max": 2.0, "step": 0.1})
        return {"required": {"model": ("WF_MODEL",), "clip": ("WF_CLIP",), "strength": strength}}

    def patch(self, model: str, clip: str, strength: float) -> tuple[str, str]:
        CALLS["WfPatch"] += 1
        return f"{model} x{strength}", f"{clip} x{strength}"


class WfEncode:
    """A text for the sampler."""

    RETURN_TYPES = ("WF_COND",)
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"text": ("STRING", {"multiline": True}), "clip": ("WF_CLIP",)}}

    def encode(self, text: str, clip: str) -> tuple[str]:
        CALLS["WfEncode"] += 1
        return (f"<{text} by {clip}>",)


class WfSample:
    """Widgets of every kind, sockets between them, and optional inputs."""

    RETURN_TYPES = ("WF_LATENT",)
    FUNCTION = "sample"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": ("WF_MODEL",),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}),
                "steps": ("INT", {"default": 20, "min": 1, "max": 100}),
                "cfg": ("FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1}),
                "positive": ("WF_COND",),
                "mode": (["fast", "slow"],),
            },
            "optional": {"latent": ("WF_LATENT",), "tiled": ("BOOLEAN", {"default": False})},
        }

    def sample(
        self, model: str, seed: int, steps: int, cfg: float, positive: str, mode: str, latent: str | None = None, tiled: bool = False
    ) -> tuple[str]:
        CALLS["WfSample"] += 1
        return (f"{model} {seed} {steps} {cfg} {positive} {mode} {latent} {tiled}",)


class WfSave:
    """An output node that shows what it was given, and what hidden inputs it saw."""

    RETURN_TYPES = ()
    FUNCTION = "save"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        hidden = {"prompt": "PROMPT", "extra": "EXTRA_PNGINFO", "node": "UNIQUE_ID"}
        return {"required": {"latent": ("WF_LATENT",), "prefix": ("STRING", {"default": "wf"})}, "hidden": hidden}

    def save(self, latent: str, prefix: str, prompt: Any = None, extra: Any = None, node: str | None = None) -> dict[str, Any]:
        CALLS["WfSave"] += 1
        return {"ui": {"text": [f"{prefix}: {latent}"], "node": [node], "seen": [{"prompt": prompt, "extra": extra}]}}


NODE_CLASS_MAPPINGS = {node.__name__: node for node in (WfModel, WfPatch, WfEncode, WfSample, WfSave)}
