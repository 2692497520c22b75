"""Bytes that one stage needs, by simulating the real forward pass: for classes, configs and sizes that no closed form covers.

Takes torch, diffusers and transformers, and about a second for a transformer, more for a video VAE. Simulates the installed versions of
these libraries; a version that is asked for changes only what `Libraries` knows about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from .estimate import RESERVE, STREAMED_BLOCKS, Placement, conv_rule
from .estimate_features import DENOISERS, PICTURE_VAES, VIDEO_VAES
from .estimate_values import Libraries, Stage, StageEstimate, Term, Workload, held_as
from .weights import WEIGHT_PRECISIONS, WeightPrecision, bytes_of

_RMS_NORM_KERNEL = (2, 9)
"""torch computes RMS norm in one CUDA kernel from here on."""


def default_stage(class_name: str) -> Stage:
    """The stage in which a class usually matters."""
    if class_name in PICTURE_VAES | VIDEO_VAES:
        return "decode"
    return "denoise" if class_name in DENOISERS or "Transformer" in class_name else "encode"


def estimate_class(
    class_name: str,
    config: Mapping[str, Any],
    stage: Stage,
    workload: Workload,
    *,
    precision: WeightPrecision = "bf16",
    placement: Placement = "resident",
    tile: int | None = None,
    libraries: Libraries | None = None,
) -> StageEstimate:
    """As `estimate.estimate`, for a class of diffusers or transformers with its config.

    Raises:
        UserError: the libraries are missing or have no such class, the config does not fit it, or it is not known how it is called.
    """
    try:
        from .simulate_allocator import allocator_need
        from .simulate_forms import weight_record
        from .simulate_models import ModelSpec, prepared, simulate_stage, tensor_sizes
    except ImportError as error:
        raise UserError(
            f"Simulating a class needs torch, diffusers and transformers ({error}). Install them, or name a component."
        ) from error
    if precision not in WEIGHT_PRECISIONS:
        raise UserError(f"There is no precision '{precision}'; choose one of {', '.join(WEIGHT_PRECISIONS)}.")
    libraries = libraries or Libraries.installed()
    spec = ModelSpec(class_name, config)
    scheme: Any = held_as(precision)
    module = prepared(spec, scheme)
    weights = bytes_of(spec.counts(), precision, libraries.weight_rules)
    allocated, reserved_weights, block, outside = weight_record(module)
    gaps = reserved_weights - allocated
    if placement == "cpu":
        return StageEstimate(stage, (Term.exact("weights", 0, "computes in main memory"),), 0, 0)
    reason = f"held as {precision}"
    if placement == "offload_group" and block:
        weights, reason = min(weights, outside + STREAMED_BLOCKS * block), f"{precision}, streamed by blocks"
        gaps = gaps * weights // allocated
    simulation = simulate_stage(
        spec,
        stage,
        workload,
        scheme=scheme,
        attention=libraries.attention,
        fused_rms_norm=libraries.torch[:2] >= _RMS_NORM_KERNEL,
        tile=tile,
    )
    plain = simulation.peak("none")
    rule = conv_rule(class_name, precision, libraries)
    work = simulation.peak(rule) - plain
    terms = [
        Term("weights", weights, weights, weights + gaps, reason),
        Term.exact("activations", plain, "the real forward pass, simulated"),
        Term("workspace", work, 0, work, f"convolutions: {rule.replace('_', ' ')}"),
        Term("reserve", RESERVE, RESERVE, RESERVE, "CUDA context and libraries, outside the allocator"),
    ]
    reserved, least = allocator_need(tensor_sizes(module), list(simulation.trace(rule)))
    if libraries.allocator != "native":
        reserved, least = int((simulation.peak(rule) * reserved) ** 0.5), simulation.peak(rule)
    return StageEstimate(stage, tuple(terms), reserved, least, gaps)
