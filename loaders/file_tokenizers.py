"""The tokenizer that ComfyUI's files of UMT5 carry: the SentencePiece model as one more tensor of bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from .file_headers import SAFETENSORS, read_shapes

VOCABULARY = "spiece_model"
"""The tensor: uint8, one dimension."""


def has_tokenizer(path: Path) -> bool:
    """Whether the file carries a tokenizer. Raises UserError as `read_shapes`."""
    return path.suffix.lower() in SAFETENSORS and VOCABULARY in read_shapes(path)


def vocabulary(path: Path) -> bytes:
    """The SentencePiece model of a file that carries one."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return bytes(file.get_tensor(VOCABULARY).tobytes())


def load_tokenizer(cls: Any, path: Path) -> Any:
    """The tokenizer of class `cls` with the vocabulary in the file. Raises what transformers raises when it cannot read it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "spiece.model").write_bytes(vocabulary(path))
        return cls.from_pretrained(folder, local_files_only=True)
