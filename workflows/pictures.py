"""Reading and writing picture files the way ComfyUI does."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    import torch
    from PIL import Image

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"})

_NO_MASK_SIZE = 64
"""Height and width of the mask of a picture without transparency, as ComfyUI's LoadImage gives it."""


def inside(folder: Path, name: str) -> Path | None:
    """The path `name` below `folder`, or None when it would lead out of it (also through a link on the disk)."""
    root = folder.resolve()
    try:
        path = (root / name).resolve()
    except (OSError, ValueError):
        return None
    return path if path.is_relative_to(root) else None


def save_target(folder: Path, prefix: str, width: int, height: int) -> tuple[Path, str, str, int]:
    """Where pictures with this prefix go: folder, sub-folder relative to `folder`, file stem, first free number.

    Placeholders and numbering as in folder_paths.get_save_image_path: `%width%`, `%height%`, `%year%`, `%month%`, `%day%`, `%hour%`,
    `%minute%`, `%second%`; files are `stem_00001_.png` and the numbers go on after the largest there is.

    Raises:
        UserError: the prefix leads out of `folder` or names no file.
    """
    fields = {"width": str(width), "height": str(height)}
    for field, code in (("year", "%Y"), ("month", "%m"), ("day", "%d"), ("hour", "%H"), ("minute", "%M"), ("second", "%S")):
        fields[field] = time.strftime(code)
    for field, value in fields.items():
        prefix = prefix.replace(f"%{field}%", value)
    relative = Path(os.path.normpath(prefix))
    stem, subfolder = relative.name, relative.parent.as_posix()
    target = inside(folder, subfolder)
    if target is None:
        raise UserError(f'The file name prefix "{prefix}" leads out of the output folder. Use a name below it.')
    if stem in ("", ".."):
        raise UserError(f'The file name prefix "{prefix}" names no file. Give a name such as "picture".')
    target.mkdir(parents=True, exist_ok=True)
    pattern = re.compile(re.escape(os.path.normcase(stem)) + r"_(\d+)(?=[_.]|$)")
    numbers = [int(match[1]) for entry in target.iterdir() if (match := pattern.match(os.path.normcase(entry.name)))]
    return target, "" if subfolder == "." else subfolder, stem, max(numbers, default=0) + 1


def save_pictures(
    images: torch.Tensor,
    folder: Path,
    prefix: str,
    *,
    metadata: Mapping[str, Any],
    compress_level: int,
) -> list[dict[str, str]]:
    """Write a batch as PNG files and return their `filename` and `subfolder`.

    Args:
        images: (batch, height, width, channels), 0 to 1; values outside are clipped. Levels are cut off, not rounded, as in ComfyUI.
        metadata: written as JSON into text fields of the file, by name.
    """
    import numpy as np
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    target, subfolder, stem, number = save_target(folder, prefix, images.shape[2], images.shape[1])
    info = PngInfo()
    for key, value in metadata.items():
        info.add_text(key, json.dumps(value))
    saved = []
    for position, image in enumerate(images):
        levels = np.clip(255.0 * image.float().cpu().numpy(), 0, 255).astype(np.uint8)
        file = f"{stem.replace('%batch_num%', str(position))}_{number + position:05}_.png"
        Image.fromarray(levels).save(target / file, pnginfo=info, compress_level=compress_level)
        saved.append({"filename": file, "subfolder": subfolder})
    return saved


def load_picture(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture file as an image (frames, height, width, 3), 0 to 1, and a mask that is 1 where the picture is transparent.

    The mask is (frames, height, width); without transparency it is (frames, 64, 64) of zeros. Frames of another size than the first are
    left out. The orientation that cameras note is applied.

    Raises:
        UserError: the file is no picture or is damaged.
    """
    import torch
    from PIL import Image, ImageOps, ImageSequence

    images: list[torch.Tensor] = []
    masks: list[torch.Tensor] = []
    try:
        with Image.open(path) as file:
            # A camera's MPO holds further views of the same picture, not frames.
            for frame in [file] if file.format == "MPO" else ImageSequence.Iterator(file):
                image, mask = _frame(ImageOps.exif_transpose(frame))
                if images and image.shape != images[0].shape:
                    continue
                images.append(image)
                masks.append(mask)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path.name} cannot be read as a picture ({error}). Replace it by an intact PNG, JPEG or WebP file.") from error
    return torch.stack(images), torch.stack(masks)


def _frame(frame: Image.Image) -> tuple[torch.Tensor, torch.Tensor]:
    import numpy as np
    import torch

    if frame.mode.startswith("I"):
        # 16 bits per pixel, grey.
        grey = torch.from_numpy(np.asarray(frame).astype(np.float32) / 65535.0).clamp(0, 1)
        return grey[..., None].expand(-1, -1, 3).contiguous(), torch.zeros(_NO_MASK_SIZE, _NO_MASK_SIZE)
    transparent = "A" in frame.getbands() or "transparency" in frame.info
    levels = torch.from_numpy(np.asarray(frame.convert("RGBA" if transparent else "RGB")).astype(np.float32) / 255.0)
    if not transparent:
        return levels, torch.zeros(_NO_MASK_SIZE, _NO_MASK_SIZE)
    return levels[..., :3].contiguous(), 1.0 - levels[..., 3]
