"""Bytes that one stage of one component needs on the device, from closed forms: no torch, well under a millisecond.

The forms come from simulations of the full-size classes (`simulate_forms.py`), so their coefficients are not typed anywhere. What is:
the stated reserve, and the bytes that Qwen-VL's picture tower takes for each patch. What was not measured on a GPU is said at its term.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

from ..host.placement import CONTEXT
from ..loaders.registry import load_registry
from .estimate_features import LANGUAGE_MODELS, VIDEO_VAES, features
from .estimate_forms import Form, Record, record_of
from .estimate_values import Libraries, Stage, StageEstimate, Term, Workload, held_as
from .weights import WeightPrecision, weight_bytes

GIB = 2**30

Placement = Literal["resident", "offload_model", "offload_group", "cpu"]
"""Where weights are while their stage runs: whole on the device for the first two (they differ in what other stages see), streamed
block by block, or in main memory, computing there."""

RESERVE = int(0.55 * GIB)
"""CUDA's context, cuBLAS and cuDNN handles: 0.3 to 0.6 GiB outside the allocator on published readings of nvidia-smi."""
_RESERVE_RANGE = (CONTEXT, int(0.8 * GIB))
STREAMED_BLOCKS = 2
"""Blocks on the device at once (`host.streaming`): the one that computes and the one that is being copied."""
_UNKNOWN_MARGIN = 3 * 10**9
"""What diffusers' ComponentsManager leaves free for activations of models it knows nothing about."""

PATCH_PIXELS = 14 * 14
"""A patch of Qwen2.5-VL's picture tower; four make a token."""
_TOWER_BYTES = int(44.4 * 1024)
"""Peak of that tower for each patch, bf16: simulated on its real width with two blocks; linear in patches to 0.01 %."""
_CONFIGS = Path(__file__).parent.parent / "loaders" / "configs"


def estimate(
    component_id: str,
    stage: Stage,
    workload: Workload,
    *,
    precision: WeightPrecision = "bf16",
    placement: Placement = "resident",
    tile: int | None = None,
    resident_blocks: int = 0,
    libraries: Libraries | None = None,
) -> StageEstimate:
    """What one stage of a registry component needs.

    Args:
        resident_blocks: how many blocks stay on the device where the others are streamed.
        tile: a VAE's tiles in pixels, 0 for its own size; None works on the whole picture.
        libraries: those installed unless given.

    Raises:
        UserError: the registry has no such component, or there is no such precision.
    """
    libraries = libraries or Libraries.installed()
    if placement == "cpu":
        return StageEstimate(stage, (Term.exact("weights", 0, "computes in main memory"),), 0, 0)
    record = record_of(component_id)
    size = weight_bytes(component_id, precision, libraries.weight_rules)
    weights, gaps = _weights(size, record, precision, placement, resident_blocks)
    computing, reserved, minimum = _computing(component_id, stage, workload, precision, tile, libraries, id(load_registry()))
    reserve = Term("reserve", RESERVE, *_RESERVE_RANGE, "CUDA context and libraries, outside the allocator")
    return StageEstimate(stage, (weights, *computing, reserve), reserved, minimum, gaps)


@lru_cache(maxsize=1024)
def _computing(
    component_id: str, stage: Stage, workload: Workload, precision: WeightPrecision, tile: int | None, libraries: Libraries, _registry: int
) -> tuple[tuple[Term, ...], int, int]:
    """The terms beside weights and reserve, what the allocator reserves for them, and its minimum.

    Kept for each state of the registry: a search asks for the same computation under many placements.
    """
    class_name = load_registry().component(component_id).class_name
    record = record_of(component_id)
    form = None if record is None else _form(record, stage, workload, precision, tile, libraries)
    if form is None:
        margin = Term("activations", _UNKNOWN_MARGIN, 0, 2 * _UNKNOWN_MARGIN, f"no model of a {class_name} here: a flat margin")
        return (margin,), _UNKNOWN_MARGIN, _UNKNOWN_MARGIN
    config = component_config(component_id)
    if class_name in LANGUAGE_MODELS:
        workload = _with_pictures(workload)
    values = features(class_name, config, workload)
    terms = _activations(form, values, conv_rule(class_name, precision, libraries), precision, workload)
    if class_name in LANGUAGE_MODELS:
        terms += _language_terms(config, workload, form.peak(values, "none"))
    return tuple(terms), *_from_allocator(form, sum(term.expected for term in terms), libraries)


def forget_computations() -> None:
    """Drop the figures kept from earlier estimates."""
    _computing.cache_clear()


def _weights(size: int, record: Record | None, precision: WeightPrecision, placement: Placement, resident_blocks: int) -> tuple[Term, int]:
    """The weights on the device, and what the allocator loses between them."""
    known = None if record is None else record.weights.get(held_as(precision)) or record.weights.get("half")
    gaps = 0 if known is None else int(size * (known.reserved / known.allocated - 1))
    if placement != "offload_group" or known is None or not known.largest_block:
        return Term("weights", size, size, size + gaps, f"held as {precision}"), gaps
    scale = size / known.allocated
    blocks = resident_blocks + STREAMED_BLOCKS
    streamed = min(size, int(scale * (known.outside_blocks + blocks * known.largest_block)))
    reason = f"{precision}, streamed: what is outside the blocks, and {blocks} blocks"
    gaps = gaps * streamed // size
    return Term("weights", streamed, streamed, streamed + gaps, reason), gaps


def blocks_of_share(component_id: str, precision: WeightPrecision, share: float) -> int:
    """How many of a component's first blocks hold this share of the weights of all; 0 where its blocks are not known.

    Counted in largest blocks, which come first in every architecture here, so it is never more.
    """
    record = record_of(component_id)
    known = None if record is None else record.weights.get(held_as(precision)) or record.weights.get("half")
    if known is None or not known.largest_block:
        return 0
    return int(share * (known.allocated - known.outside_blocks) / known.largest_block)


def _form(record: Record, stage: Stage, workload: Workload, precision: str, tile: int | None, libraries: Libraries) -> Form | None:
    scheme = held_as(precision)  # type: ignore[arg-type]
    rows = workload.rows if stage == "denoise" else workload.batch
    ends = ["/batched", ""] if rows > 1 else [""]
    middles = ["/picture", ""] if workload.frames == 1 else [""]
    tiles = [""]
    if tile is not None:
        tiles = [f"/tiles{tile or ''}", "/tiles", "/tiles512", ""] if tile else ["/tiles", ""]
    for held in (scheme, "half"):
        for attention in (libraries.attention, "fused"):
            for tiled in tiles:
                for middle in middles:
                    for end in ends:
                        form = record.forms.get(f"{stage}/{held}/{attention}{tiled}{middle}{end}")
                        if form is not None:
                            return form
    return next((form for key, form in record.forms.items() if key.startswith(f"{stage}/{scheme}/")), None)


def conv_rule(class_name: str, precision: str, libraries: Libraries) -> Literal["channels_last", "unfold"]:
    """What convolutions take beside their tensors (`simulate.WorkspaceRule`). From Ampere on float32 runs as TF32, like half precision."""
    unfolds = libraries.unfolds_conv3d and class_name in VIDEO_VAES and precision != "fp32"
    return "unfold" if unfolds else "channels_last"


def _activations(form: Form, values: Mapping[str, float], rule: str, precision: str, workload: Workload) -> list[Term]:
    plain = form.peak(values, "none")
    margin = max(int(plain * form.error), 1 << 20)
    size = f"{workload.width}x{workload.height}, {workload.frames} frames, batch {workload.batch}, {workload.text_tokens} text tokens"
    terms = [Term("activations", plain, max(plain - margin, 0), plain + margin, size)]
    if len(form.peaks) == 1:
        return terms
    work = max(form.peak(values, rule) - plain, 0)
    if rule == "unfold":
        reason = "this torch and cuDNN compute half-precision conv3d by unfolding its input: update torch, or use tiles"
    elif precision == "fp32":
        reason = "cuDNN copies tensors to channels-last memory for TF32; before Ampere, or with TF32 off, it does not"
    else:
        reason = "cuDNN copies half-precision tensors to channels-last memory"
    return [*terms, Term("workspace", work, work if rule == "unfold" else 0, work, reason)]


def _with_pictures(workload: Workload) -> Workload:
    """A language model reads every four patches of a picture as one token."""
    if not workload.reference_images:
        return workload
    tokens = workload.reference_images * (workload.width * workload.height // (4 * PATCH_PIXELS))
    return replace(workload, text_tokens=workload.text_tokens + tokens)


def _language_terms(config: Mapping[str, Any], workload: Workload, prefill: int) -> list[Term]:
    text = config.get("text_config") or config
    width = text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"]
    per_token = 2 * 2 * text["num_hidden_layers"] * text.get("num_key_value_heads", text["num_attention_heads"]) * width
    terms = []
    if workload.new_tokens:
        size = workload.batch * workload.new_tokens * per_token
        terms.append(Term("cache", size, 0, size, f"keys and values of up to {workload.new_tokens} new tokens"))
    tower = workload.batch * workload.reference_images * (workload.width * workload.height // PATCH_PIXELS) * _TOWER_BYTES
    if tower > prefill:
        terms.append(Term("scratch", tower - prefill, 0, tower, "the picture tower needs more than reading its tokens"))
    return terms


def _from_allocator(form: Form, peak: int, libraries: Libraries) -> tuple[int, int]:
    """(reserved, minimum) for activations. cudaMallocAsync keeps no split segments: it can run in the peak itself, and holds something
    between the peak and what the native allocator reserves (one published figure, an SDXL VAE: near the geometric mean)."""
    if libraries.allocator == "native":
        return form.reserved(peak), form.minimum(peak)
    return int((peak * form.reserved(peak)) ** 0.5), peak


@cache
def component_config(component_id: str) -> Mapping[str, Any]:
    """The bundled config of a component; empty where there is none."""
    path = _CONFIGS / component_id / "config.json"
    if not path.is_file():
        return {}
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return config
