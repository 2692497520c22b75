"""The prompt and the workflow in a saved file, where ComfyUI looks for them when the file is dropped on the page.

Video containers take them as tags named `prompt` and `workflow` (`container.metadata`). Images need what ComfyUI's own nodes write:
EXIF strings in WebP (SaveAnimatedWEBP), text chunks in PNG (SaveAnimatedPNG).
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from ..errors import UserError

# EXIF tags of ComfyUI's SaveAnimatedWEBP: Model holds the prompt; Make and the tags below it hold the rest.
_EXIF_MODEL, _EXIF_MAKE = 0x0110, 0x010F
_EXIF_ASCII = 2
_VP8X_EXIF_FLAG = 0x08
_PNG_END_CHUNK_BYTES = 12


def tags(prompt: object, extra: Mapping[str, object] | None) -> dict[str, str]:
    """`prompt` and the entries of ComfyUI's extra_pnginfo (`workflow`) as JSON strings."""
    found = {} if prompt is None else {"prompt": json.dumps(prompt)}
    return found | {key: json.dumps(value) for key, value in (extra or {}).items()}


def add_to_webp(file: Path, values: Mapping[str, str]) -> None:
    """Append an EXIF chunk to an animated WebP (RIFF container, WebP specification "Extended File Format")."""
    if not values:
        return
    exif = _exif(values)
    with file.open("r+b") as stream:
        header = stream.read(30)
        if header[:4] != b"RIFF" or header[12:16] != b"VP8X":
            raise UserError("The WebP encoder wrote no animation; nothing was saved.")
        stream.seek(20)
        stream.write(bytes([header[20] | _VP8X_EXIF_FLAG]))
        stream.seek(0, 2)
        stream.write(b"EXIF" + struct.pack("<I", len(exif)) + exif + b"\0" * (len(exif) % 2))
        size = stream.tell()
        stream.seek(4)
        stream.write(struct.pack("<I", size - 8))


def _exif(values: Mapping[str, str]) -> bytes:
    """A big-endian TIFF structure with one directory of ASCII strings, each `key:json` (Exif 2.3, 4.6.2)."""
    entries: list[tuple[int, bytes]] = []
    next_tag = _EXIF_MAKE
    for key, value in values.items():
        tag = _EXIF_MODEL if key == "prompt" else next_tag
        next_tag -= key != "prompt"
        # JSON from tags() is ASCII.
        entries.append((tag, f"{key}:{value}".encode("ascii", "backslashreplace") + b"\0"))
    entries.sort()
    offset = 8 + 2 + 12 * len(entries) + 4
    directory, data = struct.pack(">H", len(entries)), b""
    for tag, text in entries:
        directory += struct.pack(">HHII", tag, _EXIF_ASCII, len(text), offset + len(data))
        data += text + b"\0" * (len(text) % 2)
    return b"MM\0*" + struct.pack(">I", 8) + directory + struct.pack(">I", 0) + data


def png_text_chunks(values: Mapping[str, str]) -> bytes:
    """tEXt chunks (PNG specification 11.3.3.2)."""
    chunks = b""
    for key, value in values.items():
        body = b"tEXt" + key.encode("latin-1", "replace") + b"\0" + value.encode("latin-1", "backslashreplace")
        chunks += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return chunks


def add_to_png(stream: BinaryIO, values: Mapping[str, str]) -> None:
    """Put text chunks before the end chunk of the PNG or APNG that `stream` (read and write) holds."""
    if not values:
        return
    stream.seek(-_PNG_END_CHUNK_BYTES, 2)
    end = stream.read(_PNG_END_CHUNK_BYTES)
    if end[4:8] != b"IEND":
        raise UserError("The PNG encoder wrote no whole file; nothing was saved.")
    stream.seek(-_PNG_END_CHUNK_BYTES, 2)
    stream.write(png_text_chunks(values) + end)
