"""Random weights for the small models: the same numbers on every machine and with every release of the libraries."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
"""The words a caller may use for how the weights are stored, and torch's names for them."""

_VECTOR_SPREAD = 0.1
_MATRIX_GAIN = 1.25  # at 1, what the few words of a prompt say is lost among the padding that T5 encodes with them


def randomise(module: torch.nn.Module, seed: int, prefix: str = "") -> None:
    """Overwrite every parameter of `module` with numbers that depend on `seed`, its name and its shape alone.

    The libraries' own initialisation is not used: it changes between releases, and it sets biases, scales and whole
    layers to zero or one, so that a mistake in the conditioning would not show in the output. Matrices are drawn with
    a little over variance 1/fan-in (LeCun), scales of norms around one, everything else around zero. Tied parameters are one
    parameter and are drawn once. A `prefix` is no part of a name.
    """
    import torch

    with torch.no_grad():
        for name, parameter in module.named_parameters():
            # One number of 32 bits: torch's CPU generator ignores the rest.
            key = zlib.crc32(f"{seed}.{name.removeprefix(prefix)}".encode())
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(key))
            last = name.rsplit(".", 1)[-1]
            # The causal video VAEs keep the scales of their norms as `gamma` of shape [C, 1, 1, 1].
            if last == "gamma" or (parameter.ndim == 1 and last == "weight"):
                values = 1 + _VECTOR_SPREAD * noise
            elif parameter.ndim <= 1:
                values = _VECTOR_SPREAD * noise
            else:
                values = _MATRIX_GAIN * noise / math.sqrt(noise[0].numel())
            parameter.copy_(values)


def save_part(module: Any, folder: Path, dtype: str, *, seed: int, sharded: bool = False, prefix: str = "") -> None:
    """Fill `module` (of diffusers or transformers) with weights, cast it to `dtype`, save it into `folder`.

    `sharded` splits the file in two and adds the index, as the large parts of the real repositories are stored.
    `prefix` is what the names of the tensors begin with in the real file, where transformers 5 leaves it out.
    """
    randomise(module, seed, prefix)
    write_part(module, folder, dtype, sharded=sharded, prefix=prefix)


def write_part(module: Any, folder: Path, dtype: str, *, sharded: bool = False, prefix: str = "") -> None:
    """What `save_part` does, with the weights that the module has."""
    import torch

    # Not the method of diffusers' models: it warns of modules that are kept in float32, which is a matter of loading.
    torch.nn.Module.to(module, dtype=getattr(torch, DTYPES[dtype]))
    options: dict[str, Any] = {}
    if sharded:
        sizes = [parameter.nbytes for parameter in module.parameters()]
        options["max_shard_size"] = sum(sizes) // 2 + max(sizes)
    module.eval().save_pretrained(folder, **options)
    _forget_origin(folder / "config.json")
    if prefix:
        _add_prefix(folder / "model.safetensors", prefix)


def _forget_origin(config: Path) -> None:
    """diffusers writes down from which folder of this machine a module was read."""
    kept = json.loads(config.read_text(encoding="utf-8"))
    if kept.pop("_name_or_path", None) is not None:
        config.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def _add_prefix(file: Path, prefix: str) -> None:
    from safetensors.torch import load_file, save_file

    tensors = {prefix + name.removeprefix(prefix): tensor for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
