"""Bytes that a component's weights take in memory, per precision, before anything is loaded and without torch.

`parameter_counts.json` holds, per component, how many parameters each library rule touches; `tools/verify_registry.py --write`
counts them on the full-size class. The rules are those of the libraries that convert the weights:

- bitsandbytes 0.45 to 0.50: int8 is one byte per weight and a float32 scale per output row; nf4 is half a byte per weight, a float32
  scale per block of 64, and a table of 16 float32 values per tensor. Only Linear layers are converted.
- diffusers converts every Linear layer but those it keeps in float32; transformers leaves the output head, tied embeddings, and
  T5's and UMT5's `wo` alone.
- diffusers' layerwise casting holds Linear, convolution and, since 0.37, embedding weights in one byte, except where the name of
  the module matches `norm` and the like: in FLUX that leaves the modulation layers `norm*.linear` in the compute dtype. Of models of
  transformers this pack leaves embeddings and `wo` in it as well, since their dtype is asked for.
- gguf is what a file holds; where there is none to ask, Q8_0 on the Linear layers: 34 bytes for 32 weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from ..errors import UserError
from ..loaders.precision import QUANTISED_ROLES
from ..loaders.registry import load_registry

if TYPE_CHECKING:
    from ..loaders.schema import Model

COUNTS_FILE = Path(__file__).parent / "parameter_counts.json"

WeightPrecision = Literal["bf16", "fp16", "fp32", "fp8", "int8", "nf4", "gguf"]
WEIGHT_PRECISIONS: tuple[WeightPrecision, ...] = get_args(WeightPrecision)

NF4_BLOCK = 64
"""Weights that share a scale (bitsandbytes' default `blocksize`)."""
_FP32_BYTES = 4
_NF4_TABLE_BYTES = 16 * _FP32_BYTES


@dataclass(frozen=True)
class ParameterCounts:
    """How many of a component's parameters each rule touches. Shared (tied) parameters count once."""

    parameters: int
    kept_in_fp32: int = 0
    """Stay float32 whatever the precision (diffusers' `_keep_in_fp32_modules`)."""
    kept_from_fp16: int = 0
    """Stay float32 when the rest is float16 (T5's and UMT5's `wo` in transformers); bitsandbytes leaves them alone as well."""
    linear_weights: int = 0
    """Weights of the Linear layers that bitsandbytes converts."""
    linear_rows: int = 0
    """Output rows of these layers."""
    linear_blocks: int = 0
    """Blocks of 64 weights in these layers, a last partial block of a layer counted in full."""
    linear_layers: int = 0
    castable: int = 0
    """Parameters of Linear and convolution layers that layerwise casting holds in fp8."""
    castable_embeddings: int = 0
    """Parameters of embeddings that it holds in fp8 since diffusers 0.37."""


@dataclass(frozen=True)
class LibraryRules:
    """What differs between the versions of the libraries that load the weights."""

    fp32_beside_bitsandbytes: bool = False
    """transformers 4 turns T5's and UMT5's `wo` into float32 when bitsandbytes converts the rest; transformers 5 does not."""
    casts_embeddings: bool = True
    """Layerwise casting covers embeddings (diffusers 0.37 and later)."""

    @classmethod
    def installed(cls) -> LibraryRules:
        """The rules of the versions in this environment; those of the newest where a library is missing."""
        return cls(
            fp32_beside_bitsandbytes=_version("transformers") < (5, 0),
            casts_embeddings=_version("diffusers") >= (0, 37),
        )


def weight_bytes(component_id: str, precision: WeightPrecision, rules: LibraryRules | None = None) -> int:
    """Bytes of a registry component's weights in memory: tensors and quantisation scales, without the allocator's rounding.

    `rules` are those of the installed libraries unless given. A component without counts (one of the user's own) is taken as if it
    were made of Linear layers alone, which is exact for bf16, fp16 and fp32 and a few percent low for the others.

    Raises:
        UserError: the registry has no such component, or there is no such precision.
    """
    if precision not in WEIGHT_PRECISIONS:
        raise UserError(f"There is no precision '{precision}'; choose one of {', '.join(WEIGHT_PRECISIONS)}.")
    parameters = load_registry().component(component_id).parameters
    counts = parameter_counts().get(component_id)
    if counts is None or counts.parameters != parameters:
        counts = ParameterCounts(
            parameters,
            linear_weights=parameters,
            linear_blocks=-(-parameters // NF4_BLOCK),
            castable=parameters,
        )
    return bytes_of(counts, precision, rules or LibraryRules.installed())


def model_weight_bytes(model: Model, precision: WeightPrecision, rules: LibraryRules | None = None) -> int:
    """Bytes of all weights of a model when its large networks are held in this precision.

    The large networks are those that the precision is chosen for: transformers, text encoders, a UNet, a language model. VAEs and
    image encoders stay in their compute dtype. A component with several roles counts once.
    """
    chosen: dict[str, WeightPrecision] = {}
    for role, entry in model.entries.items():
        if entry.compute_dtype is not None:
            chosen[entry.id] = precision if role.startswith(QUANTISED_ROLES) else entry.compute_dtype
    return sum(weight_bytes(component_id, held, rules) for component_id, held in chosen.items())


def bytes_of(counts: ParameterCounts, precision: WeightPrecision, rules: LibraryRules) -> int:
    """The same from counts."""
    if precision == "fp32":
        return counts.parameters * 4
    half = (counts.parameters + counts.kept_in_fp32) * 2
    if precision == "bf16":
        return half
    if precision == "fp16":
        return half + counts.kept_from_fp16 * 2
    if precision == "fp8":
        return half - counts.castable - (counts.castable_embeddings if rules.casts_embeddings else 0)
    rest = half - counts.linear_weights * 2
    if precision == "gguf":
        return rest + counts.linear_weights * 34 // 32
    if rules.fp32_beside_bitsandbytes:
        rest += counts.kept_from_fp16 * 2
    if precision == "int8":
        return rest + counts.linear_weights + counts.linear_rows * _FP32_BYTES
    packed = -(-counts.linear_weights // 2)
    return rest + packed + counts.linear_blocks * _FP32_BYTES + counts.linear_layers * _NF4_TABLE_BYTES


@cache
def parameter_counts() -> Mapping[str, ParameterCounts]:
    """Component id -> counts, for every component whose class could be built when the file was written."""
    return {name: ParameterCounts(**counts) for name, counts in json.loads(COUNTS_FILE.read_text()).items()}


@cache
def _version(distribution: str) -> tuple[int, int]:
    """Major and minor version of an installed distribution; beyond every real one when it is not installed."""
    try:
        major, minor = version(distribution).split(".")[:2]
    except PackageNotFoundError:
        return (999, 0)
    return int(major), int(minor)
