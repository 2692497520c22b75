"""From simulations to closed forms: the peak of a class as the largest of a few sums of its workload's features.

Every operation's live bytes are a sum of token, pixel and frame counts times bytes, exactly (but for rounding to 512). So a handful of
simulations at different sizes gives each operation its coefficients, and the peak is the largest of them; only those operations are kept
that are the largest somewhere. Where the number of operations changes with the size (tiles, chunks of frames), the peak itself is fitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np

from .estimate_features import DENOISERS, IMAGE_ENCODERS, LANGUAGE_MODELS, PICTURE_VAES, VIDEO_VAES, WAN_DENOISERS, features
from .estimate_values import Stage, Workload
from .simulate import Attention, Simulation
from .simulate_allocator import allocator_need, reserved_bytes, rounded
from .simulate_models import ModelSpec, prepared, simulate_stage, tensor_sizes
from .simulate_schemes import Scheme
from .simulate_workspace import CUDA_RULES

FormRecord = dict[str, Any]

_SQUARES = [Workload(side, side) for side in (512, 768, 1024, 1328, 1536, 2048)]
_CLIPS = [Workload(width, height, frames) for width, height in ((832, 480), (1280, 704), (1280, 720)) for frames in (17, 33, 81, 121)]
_TOLERANCE = 1e-3
"""How much of the peak may be lost by leaving out an operation that is the largest only in a few places."""
_DIGITS = 9
_NOTHING = 4096


@dataclass(frozen=True)
class Variant:
    """What a form is for."""

    stage: Stage
    scheme: Scheme = "half"
    attention: Attention = "fused"
    tile: int | None = None
    """Pixels of a VAE's tiles; 0 for its own size, None for no tiling."""
    picture: bool = False
    """Whether a video VAE works on a single frame."""
    batched: bool = False
    """Whether there is more than one entry in the batch: torch then takes other paths through some operations."""

    @property
    def key(self) -> str:
        parts: list[str] = [self.stage, self.scheme, self.attention]
        if self.tile is not None:
            parts.append(f"tiles{self.tile or ''}")
        if self.picture:
            parts.append("picture")
        if self.batched:
            parts.append("batched")
        return "/".join(parts)


def variants(class_name: str) -> list[Variant]:
    """The variants of a class for which forms are kept."""
    if class_name in PICTURE_VAES:
        plain = [Variant(stage, scheme) for stage in _vae_stages() for scheme in _plain()]
        return [*plain, Variant("decode", "half", "math"), Variant("decode", "half", tile=512), Variant("decode", "fp32", tile=512)]
    if class_name in VIDEO_VAES:
        # Qwen-Image's VAE is a video VAE that only ever sees pictures.
        kinds_of_input = (True,) if class_name == "AutoencoderKLQwenImage" else (False, True)
        plain = [Variant(stage, scheme, picture=picture) for stage in _vae_stages() for scheme in _plain() for picture in kinds_of_input]
        return [*plain, *(Variant("decode", scheme, tile=0, picture=kinds_of_input[0]) for scheme in _plain())]
    stage: Stage = "denoise" if class_name in DENOISERS else "encode"
    if class_name == "WanVACETransformer3DModel":
        return [Variant(stage, scheme) for scheme in ("half", "fp8")]  # no short cut: what its control blocks make is kept to the end
    if class_name in IMAGE_ENCODERS:
        return [Variant(stage, scheme) for scheme in _plain()]
    if class_name == "UNet2DConditionModel":
        return [Variant(stage, scheme, batched=batched) for scheme in _plain() for batched in (False, True)]
    schemes: tuple[Scheme, ...] = ("half", "fp32", "fp8", "int8", "nf4")
    kinds = [Variant(stage, scheme, batched=batched) for scheme in schemes for batched in (False, True)]
    if class_name in DENOISERS | LANGUAGE_MODELS:
        kinds += [Variant(stage, "half", "math", batched=batched) for batched in (False, True)]
    return kinds


def _plain() -> tuple[Scheme, ...]:
    return ("half", "fp32")


def _vae_stages() -> tuple[Stage, ...]:
    return ("decode", "encode")


@dataclass(frozen=True)
class Samples:
    """Sizes to simulate: a ladder of usual ones, others that set the remaining features apart, and some that only check the form."""

    ladder: list[Workload]
    spread: list[Workload]
    held_out: list[Workload]
    long: tuple[Workload, ...] = ()
    """The ladder's sizes as long clips, which are not fitted: the allocator may lose more to their many chunks, or less."""


def samples(class_name: str, variant: Variant) -> Samples:
    """The sizes for a class; sides stay multiples of 64 where rounding would change what is computed."""
    if class_name in VIDEO_VAES:
        if variant.tile is not None:
            frames = 1 if variant.picture else 17
            small = [Workload(w, h, frames) for w, h in ((448, 448), (640, 448), (832, 640))]
            more = [] if variant.picture else [Workload(448, 448, 49)]
            return Samples(small, more, [Workload(832, 448, 1 if variant.picture else 33)])
        if variant.picture:
            return Samples([Workload(s, s) for s in (512, 1024, 1536, 2048)], [], [Workload(1328, 1328)])
        # Chunks of four frames after the first; from some on the growth is that of the frames that are kept.
        ladder = [Workload(w, h, 17) for w, h in ((832, 480), (1280, 704))]
        long = tuple(replace(size, frames=121) for size in ladder)
        return Samples(ladder, [Workload(512, 512, 33), Workload(832, 480, 49)], [Workload(640, 640, 25)], long)
    if class_name in PICTURE_VAES:
        if variant.tile is not None:
            return Samples([Workload(s, s) for s in (1024, 1408, 1792)], [], [Workload(1152, 896)])
        squares = [Workload(s, s) for s in (512, 768, 1024, 1536, 2048)]
        return Samples(squares, [Workload(512, 768, batch=2)], [Workload(1280, 832, batch=3)])
    if class_name in IMAGE_ENCODERS:
        return Samples([Workload()], [Workload(batch=2)], [Workload(batch=3)])
    if class_name in WAN_DENOISERS:
        if variant.batched:
            mixed = [(480, 480, 33, 2), (832, 480, 5, 3), (832, 480, 33, 2), (640, 640, 17, 4), (1280, 704, 81, 2), (512, 512, 49, 3)]
            return Samples(_batched(mixed), [], [Workload(640, 640, 61, batch=2)])
        return Samples(_CLIPS, [Workload(480, 480, 5)], [Workload(960, 544, 49)])
    if class_name in DENOISERS:
        texts = (77, 154) if class_name == "UNet2DConditionModel" else (64, 256, 1024)
        if variant.batched:
            mixed = [(512, 512, 1, 2), (768, 768, 1, 2), (512, 768, 1, 3), (1024, 1024, 1, 2), (512, 512, 1, 4)]
            varied = [replace(size, text_tokens=text) for size, text in zip(_batched(mixed), texts * 2, strict=False)]
            return Samples([*_batched(mixed), *varied], [], [Workload(1280, 768, text_tokens=texts[1], batch=2)])
        squares = _SQUARES[:3] if class_name == "UNet2DConditionModel" else _SQUARES
        spread = [Workload(side, side, text_tokens=text) for side, text in zip((512, 1024, 512), texts, strict=False)]
        return Samples(squares, spread, [Workload(1280, 768, text_tokens=texts[1])])
    is_clip = class_name.startswith("CLIPText")
    lengths = (32, 64, 77) if is_clip else (256, 512, 1024, 2048, 4096)
    if variant.batched:
        pairs = [(length, batch) for length in lengths[:3] for batch in (2, 3)]
        sizes = [Workload(text_tokens=length, batch=batch) for length, batch in [*pairs, (lengths[1], 4)]]
        return Samples(sizes, [], [Workload(text_tokens=lengths[0] * 3 // 2, batch=2)])
    return Samples([Workload(text_tokens=length) for length in lengths], [], [Workload(text_tokens=lengths[1] * 3 // 4)])


def _batched(sizes: Iterable[tuple[int, int, int, int]]) -> list[Workload]:
    return [Workload(width, height, frames, batch) for width, height, frames, batch in sizes]


def fit(spec: ModelSpec, variant: Variant, weights: Sequence[int]) -> FormRecord:
    """The closed form of one variant of a class, with its largest relative error on the held-out sizes.

    `weights` are the bytes of each tensor of the full-size module, which share the allocator's segments.
    """
    plan = samples(spec.class_name, variant)
    module = prepared(spec.shallow(), variant.scheme)

    def run(workload: Workload) -> Simulation:
        return simulate_stage(
            spec, variant.stage, workload, scheme=variant.scheme, attention=variant.attention, tile=variant.tile, module=module
        )

    sizes = [*plan.ladder, *plan.spread]
    runs = [run(workload) for workload in sizes]
    names = list(features(spec.class_name, spec.config, sizes[0]))
    matrix = _matrix(spec, sizes, names)
    grid = _matrix(spec, _grid(sizes), names)
    record: FormRecord = {"features": names, "peaks": {}, "reserved": []}
    conv = any(any(work[: len(CUDA_RULES)]) for run in runs for work in run.workspaces)
    aligned = len({len(run.levels) for run in runs}) == 1
    for index, rule in enumerate(CUDA_RULES if conv else CUDA_RULES[:1]):
        levels = [[level + work[index] for level, work in zip(run.levels, run.workspaces, strict=True)] for run in runs]
        peaks = np.array(levels if aligned else [[max(level)] for level in levels], dtype=float)
        record["peaks"][rule] = _pieces(matrix, peaks, grid)
    rule = "channels_last" if conv else "none"
    for simulation, longer in zip_longest(runs[: len(plan.ladder)], map(run, plan.long)):
        if variant.batched:
            break  # the relation of reserved to allocated is that of one entry
        reserved, least = allocator_need(weights, list(simulation.trace(rule)))
        peak = simulation.peak(rule)
        if longer is not None:
            _, least_of_longer = allocator_need(weights, list(longer.trace(rule)))
            least = max(least, peak * least_of_longer // longer.peak(rule))
        record["reserved"].append([peak, reserved, least])
    errors = []
    for workload in plan.held_out:
        truth = run(workload).peak(rule)
        row = _matrix(spec, [workload], names)[0]
        guess = max(float(row @ np.array(piece)) for piece in record["peaks"][rule])
        errors.append(abs(guess / truth - 1))
    record["error"] = round(max(errors), 6)
    return record


def weight_record(module: Any) -> list[int]:
    """Bytes of a module's weights as tensors hold them, as the allocator reserves them, of the largest block, and outside blocks."""
    sizes = tensor_sizes(module)
    blocks = [sum(map(rounded, tensor_sizes(block))) for block in _blocks(module)]
    return [sum(sizes), reserved_bytes(sizes), max(blocks, default=0), sum(sizes) - sum(blocks)]


def _blocks(module: Any) -> Iterable[Any]:
    """The blocks of a network, as far as they are streamed: the members of its top-level module lists."""
    import torch

    lists: list[Any] = []
    for name, child in module.named_modules():
        if isinstance(child, (torch.nn.ModuleList, torch.nn.Sequential)) and not any(name.startswith(f"{other}.") for other, _ in lists):
            lists.append((name, child))
    return [block for _, members in lists for block in members]


def _matrix(spec: ModelSpec, workloads: Sequence[Workload], names: Sequence[str]) -> Any:
    rows = [features(spec.class_name, spec.config, workload) for workload in workloads]
    return np.array([[row[name] for name in names] for row in rows], dtype=float)


def _grid(sizes: Sequence[Workload]) -> list[Workload]:
    """Workloads that mix the sizes, texts and batches of those that were simulated."""
    texts = sorted({size.text_tokens for size in sizes})
    batches = sorted({size.batch for size in sizes})
    return [replace(size, text_tokens=text, batch=batch) for size in sizes for text in texts for batch in batches]


def _pieces(matrix: Any, peaks: Any, grid: Any) -> list[list[float]]:
    """Coefficients of the operations whose sum is the largest somewhere: `peaks` is [samples, operations]."""
    scale = np.abs(matrix).max(axis=0)
    solved = np.linalg.lstsq(matrix / scale, peaks, rcond=1e-10)[0] / scale[:, None]
    values = grid @ solved
    top = values.max(axis=1)
    chosen: list[int] = []
    covered = np.zeros(len(grid))
    while True:
        short = covered < top * (1 - _TOLERANCE)
        if not short.any():
            break
        # Of the operations, the one that is near the top at most of the places not covered yet.
        near = (values[short] >= top[short, None] * (1 - _TOLERANCE)).sum(axis=0)
        best = int(near.argmax())
        chosen.append(best)
        covered = np.maximum(covered, values[:, best])
    # What adds up to less than a page at the largest size is rounding of the solution.
    solved[np.abs(solved) * scale[:, None] < _NOTHING] = 0.0
    return [[float(f"{number:.{_DIGITS}g}") for number in solved[:, index]] for index in chosen]
