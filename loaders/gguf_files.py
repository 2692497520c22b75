"""GGUF files as city96's tools and llama.cpp write them: the header by ourselves, the numbers through the `gguf` package.

Transformers keep their authors' names; text encoders have llama.cpp's, which become those of transformers here (`gguf_names`).
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .backends import check_gguf
from .file_memo import remembered
from .gguf_layers import keeps, stored_matrix
from .gguf_names import joined, own_name

if TYPE_CHECKING:
    import torch

    from .file_headers import Shape

GGUF = ".gguf"
_ORIGINAL_SHAPE = "comfy.gguf.orig_shape."
"""Key of the shape of a tensor that city96's converter flattened, since the format has at most four sides."""
_NUMBERS_AT_ONCE = 1 << 18
"""Numbers that are dequantised at once, so that float32 copies stay in the processor's cache: half the time of 1 << 24."""
_UNSHARED = 1 << 15
"""Numbers that torch casts without its other threads (ATen's GRAIN_SIZE): these would wait for the next part at full speed."""

# The value types of the format (docs/gguf.md of ggml), as `struct` names them.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_PLAIN = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class _Tensor:
    shape: Shape
    kind: int
    """The number of the quantisation in ggml."""
    offset: int
    """Bytes from the start of the file."""


class _Reader:
    """Reads values one after another."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.position = data, 0

    def number(self, kind: str) -> Any:
        (value,) = struct.unpack_from(f"<{kind}", self.data, self.position)
        self.position += struct.calcsize(f"<{kind}")
        return value

    def text(self) -> str:
        length = self.number("Q")
        self.position += length
        return self.data[self.position - length : self.position].decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            inner, count = self.number("I"), self.number("Q")
            return [self.value(inner) for _ in range(count)]
        return self.number(_SCALARS[kind])


def gguf_shapes(path: Path) -> dict[str, Shape]:
    """Name -> shape as torch has it. Raises UserError when the file is cut short within its header or is no GGUF file."""
    return {name: tensor.shape for name, tensor in _read(path)[1].items()}


def gguf_architecture(path: Path) -> str:
    """What the file calls the network in it: `flux`, `t5encoder`, `qwen2vl`, `clip` for a picture half; empty for a file of another
    format. Raises as `gguf_shapes`.
    """
    return _architecture(_read(path)[0]) if path.suffix.lower() == GGUF else ""


def gguf_context(path: Path) -> int | None:
    """How many tokens the language model in the file was made to read, where the file tells. Raises as `gguf_shapes`."""
    values = _read(path)[0]
    return values.get(f"{_architecture(values)}.context_length")


def read_gguf(path: Path, dtype: torch.dtype, *, as_stored: bool = False) -> dict[str, torch.Tensor]:
    """Every tensor: those stored as plain numbers mapped as they are, the others dequantised by the `gguf` package and cast to `dtype`.

    With `as_stored` matrices stay quantised and mapped where diffusers can dequantise them later (`gguf_layers`).
    Raises UserError when the package is missing, when it cannot dequantise a tensor, and when the file is cut short.
    """
    check_gguf()
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    # Copy on write, since torch wants memory that it may write to.
    data, size = np.memmap(path, mode="c"), path.stat().st_size
    tensors = {}
    for name, tensor in _read(path)[1].items():
        try:
            kind = GGMLQuantizationType(tensor.kind)
        except ValueError as error:
            raise UserError(
                f"{path.name} is quantised in a way that the installed gguf package does not know: run "
                "`python -m pip install --upgrade gguf`."
            ) from error
        block, block_bytes = GGML_QUANT_SIZES[kind]
        byte_count = math.prod(tensor.shape) // block * block_bytes
        if tensor.offset + byte_count > size:
            raise UserError(f"{path.name} is cut short: {name} is not all there. Download it again.")
        stored = data[tensor.offset : tensor.offset + byte_count]
        if as_stored and len(tensor.shape) == 2 and keeps(kind):
            tensors[name] = stored_matrix(stored, kind, tensor.shape[0])
        else:
            tensors[name] = _dequantised(stored, kind, tensor.shape, dtype)
    return joined(tensors, dtype)


def _dequantised(data: Any, kind: Any, shape: Shape, dtype: torch.dtype) -> torch.Tensor:
    import torch
    from gguf import GGML_QUANT_SIZES
    from gguf.quants import dequantize

    if (plain := _PLAIN.get(kind.name)) is not None:
        return torch.from_numpy(data).view(getattr(torch, plain)).view(shape)
    block, block_bytes = GGML_QUANT_SIZES[kind]
    result = torch.empty(math.prod(shape), dtype=dtype)
    step = _NUMBERS_AT_ONCE // block * block
    for start in range(0, result.numel(), step):
        part = result[start : start + step]
        stored = data[start // block * block_bytes : (start + part.numel()) // block * block_bytes]
        floats = torch.from_numpy(dequantize(stored, kind))
        for narrow, wide in zip(torch.split(part, _UNSHARED), torch.split(floats, _UNSHARED), strict=True):
            narrow.copy_(wide)
    return result.view(shape)


@remembered
def _read(path: Path) -> tuple[dict[str, Any], dict[str, _Tensor]]:
    """The file's own values but lists, of which a vocabulary is one, and its tensors."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _parse(_Reader(data), len(data))
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise UserError(f"{path.name} is not a whole GGUF file: download it again.") from error


def _parse(reader: _Reader, size: int) -> tuple[dict[str, Any], dict[str, _Tensor]]:
    if reader.data[:4] != b"GGUF":
        raise ValueError
    reader.position = 4
    if reader.number("I") not in (2, 3):
        raise ValueError
    tensor_count, value_count = reader.number("Q"), reader.number("Q")
    values = {reader.text(): reader.value(reader.number("I")) for _ in range(value_count)}
    infos = []
    for _ in range(tensor_count):
        name = reader.text()
        sides = [reader.number("Q") for _ in range(reader.number("I"))]
        infos.append((name, tuple(values.get(_ORIGINAL_SHAPE + name, reversed(sides))), reader.number("I"), reader.number("Q")))
    alignment = values.get("general.alignment", 32)
    start = -(-reader.position // alignment) * alignment
    if any(start + offset >= size for *_, offset in infos):
        raise ValueError
    architecture = _architecture(values)
    tensors = {own_name(name, architecture): _Tensor(shape, kind, start + offset) for name, shape, kind, offset in infos}
    return {name: value for name, value in values.items() if not isinstance(value, list)}, tensors


def _architecture(values: dict[str, Any]) -> str:
    return str(values.get("general.architecture", ""))
