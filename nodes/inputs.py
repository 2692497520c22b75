"""Inputs that nodes of every architecture have, declared once: the same name means the same everywhere."""

from __future__ import annotations

from typing import Any

from ..loaders.component import AUTO_SOURCE
from ..loaders.precision import PLAIN, PRECISIONS
from ..loaders.single_files import file_sources
from ..loaders.sources import model_folders

Input = tuple[Any, dict[str, Any]]

LARGEST_SEED = 0xFFFFFFFFFFFFFFFF
LARGEST_SIDE = 8192
_QUANTISED = (
    "fp8, int8 and nf4 hold the large networks in 8, 8 and 4 bits: less memory for a little quality; nf4 loses most, int8 is slow. VAEs "
    "and image encoders keep their own."
)
_FITTING = "Where that would not fit the card, auto chooses what does, unless a VRAMGuard decides."
MODEL_DEFAULT = -1.0
"""The value of a guidance that stands for the model's own."""


def asked(guidance: float | None) -> float | None:
    """A guidance widget's value, None where it leaves the choice to the model (or is linked and not known yet)."""
    return None if guidance == MODEL_DEFAULT else guidance


def precision(tooltip: str = "auto is what the model was trained for (bf16).") -> Input:
    """How the weights of the large networks are held."""
    return (list(PRECISIONS), {"default": "auto", "tooltip": f"How the weights are held. {tooltip} {_FITTING} {_QUANTISED}"})


def plain_precision(tooltip: str) -> Input:
    """How weights are held that are never quantised."""
    return (list(PLAIN), {"default": "auto", "tooltip": f"How the weights are held. {tooltip}"})


_SOURCE = (
    "Where the files are. auto looks in models/diffusers for a folder named like the model, then for files of the other model folders "
    "that can be nothing else, then in the hub cache. Choose a folder to use a fine-tune in the diffusers layout, or a file for the "
    "part that it holds; the rest is then found as by auto."
)


def source(*architectures: str, tooltip: str = _SOURCE) -> Input:
    """Where files are; offers the single files that hold a part of a model of these architectures, or of any."""
    return ([AUTO_SOURCE, *model_folders(), *file_sources(*architectures)], {"default": AUTO_SOURCE, "tooltip": tooltip, "advanced": True})


def seed(tooltip: str) -> Input:
    """Where random numbers start."""
    return ("INT", {"default": 0, "min": 0, "max": LARGEST_SEED, "control_after_generate": True, "tooltip": tooltip})


def steps(own: str) -> Input:
    """How many steps; `own` says what 0 stands for."""
    return ("INT", {"default": 0, "min": 0, "max": 1000, "tooltip": f"0 is the model's own number{own}"})


def guidance(tooltip: str) -> Input:
    """A guidance scale."""
    return ("FLOAT", {"default": MODEL_DEFAULT, "min": MODEL_DEFAULT, "max": 100.0, "step": 0.1, "tooltip": tooltip})


def denoise(tooltip: str) -> Input:
    """How much of the schedule runs."""
    return ("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01, "tooltip": tooltip})


def batch_size() -> Input:
    """How many results at once."""
    tooltip = "Pictures made at once. Memory grows with it; time does not shrink."
    return ("INT", {"default": 1, "min": 1, "max": 64, "tooltip": tooltip})
