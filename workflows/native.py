"""The few nodes of ComfyUI itself that the example workflows need, for running without it.

Names, inputs, outputs and meaning are ComfyUI's (nodes.py, comfy_extras/nodes_primitive.py); the code is our own.
"""

from __future__ import annotations

import hashlib
import random
import string
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..host import current
from .pictures import PICTURE_SUFFIXES, inside, load_picture, save_pictures

if TYPE_CHECKING:
    import torch

_CHANNELS = ("alpha", "red", "green", "blue")


def _input_pictures() -> list[str]:
    folder = current().input_folder
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if entry.suffix.lower() in PICTURE_SUFFIXES and entry.is_file())


def _input_path(name: str) -> Path:
    """The file in the input folder; ComfyUI writes `name [input]` after edits in its mask editor.

    Raises:
        UserError: there is no such file in the input folder.
    """
    path = inside(current().input_folder, name.removesuffix(" [input]"))
    if path is None or not path.is_file():
        raise UserError(f'"{name}" is not in the input folder. Put the picture there, or name the folder it is in with --input.')
    return path


def _picture_problem(name: str | None) -> bool | str:
    if name is None:
        return True
    try:
        _input_path(name)
    except UserError as error:
        return str(error)
    return True


class LoadImage:
    """A picture of the input folder, with its transparency as a mask (1 = transparent)."""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"image": (_input_pictures(), {"image_upload": True})}}

    RETURN_TYPES = ("IMAGE", "MASK")
    FUNCTION = "load_image"
    CATEGORY = "image"

    @classmethod
    def VALIDATE_INPUTS(cls, image: str | None) -> bool | str:
        return _picture_problem(image)

    @classmethod
    def IS_CHANGED(cls, image: str) -> str:
        return hashlib.sha256(_input_path(image).read_bytes()).hexdigest()

    def load_image(self, image: str) -> tuple[torch.Tensor, torch.Tensor]:
        return load_picture(_input_path(image))


class LoadImageMask:
    """One channel of a picture of the input folder as a mask; transparency counts as 1."""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"image": (_input_pictures(), {"image_upload": True}), "channel": (list(_CHANNELS),)}}

    RETURN_TYPES = ("MASK",)
    FUNCTION = "load_image"
    CATEGORY = "mask"

    @classmethod
    def VALIDATE_INPUTS(cls, image: str | None) -> bool | str:
        return _picture_problem(image)

    @classmethod
    def IS_CHANGED(cls, image: str, channel: str) -> str:
        return LoadImage.IS_CHANGED(image)

    def load_image(self, image: str, channel: str) -> tuple[torch.Tensor]:
        picture, mask = load_picture(_input_path(image))
        return (mask if channel == "alpha" else picture[..., _CHANNELS.index(channel) - 1],)


class SaveImage:
    """Pictures as PNG files in the output folder, with prompt and workflow inside."""

    _type = "output"
    _compress_level = 4

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"images": ("IMAGE",), "filename_prefix": ("STRING", {"default": "ComfyUI"})},
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("images",)
    FUNCTION = "save_images"
    OUTPUT_NODE = True
    CATEGORY = "image"

    def save_images(
        self,
        images: torch.Tensor,
        filename_prefix: str = "ComfyUI",
        prompt: dict[str, Any] | None = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        host = current()
        metadata = {**({} if prompt is None else {"prompt": prompt}), **(extra_pnginfo or {})} if host.embed_metadata else {}
        folder = host.output_folder if self._type == "output" else host.temp_folder
        saved = save_pictures(images, folder, filename_prefix, metadata=metadata, compress_level=self._compress_level)
        return {"ui": {"images": [{**entry, "type": self._type} for entry in saved]}, "result": (images,)}


class PreviewImage(SaveImage):
    """Pictures as PNG files in the folder for temporary files."""

    _type = "temp"
    _compress_level = 1

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        declared = super().INPUT_TYPES()
        return {"required": {"images": declared["required"]["images"]}, "hidden": declared["hidden"]}

    FUNCTION = "preview_images"

    def preview_images(
        self, images: torch.Tensor, prompt: dict[str, Any] | None = None, extra_pnginfo: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        # ComfyUI empties its folder for temporary files; a random part keeps previews of several runs apart.
        mark = "".join(random.choices(string.ascii_lowercase, k=5))
        return self.save_images(images, f"ComfyUI_temp_{mark}", prompt, extra_pnginfo)


class PreviewAny:
    """A text or number, to be read."""

    RETURN_TYPES = ()
    FUNCTION = "main"
    CATEGORY = "utils"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"source": ("*", {})}}

    def main(self, source: Any = None) -> dict[str, Any]:
        return {"ui": {"text": (str(source),)}}


class _Primitive:
    """A constant as a node."""

    FUNCTION = "execute"
    CATEGORY = "utils/primitive"

    def execute(self, value: Any) -> tuple[Any]:
        return (value,)


class PrimitiveInt(_Primitive):
    """A whole number."""

    RETURN_TYPES = ("INT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"value": ("INT", {"min": -sys.maxsize, "max": sys.maxsize, "control_after_generate": True})}}


class PrimitiveFloat(_Primitive):
    """A number."""

    RETURN_TYPES = ("FLOAT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"value": ("FLOAT", {"min": -sys.maxsize, "max": sys.maxsize})}}


class PrimitiveString(_Primitive):
    """A text."""

    RETURN_TYPES = ("STRING",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"value": ("STRING", {})}}


class PrimitiveStringMultiline(_Primitive):
    """A text of several lines."""

    RETURN_TYPES = ("STRING",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"value": ("STRING", {"multiline": True})}}


class PrimitiveBoolean(_Primitive):
    """True or false."""

    RETURN_TYPES = ("BOOLEAN",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"value": ("BOOLEAN", {})}}


NATIVE_NODES: dict[str, type] = {
    node.__name__: node
    for node in (
        LoadImage,
        LoadImageMask,
        SaveImage,
        PreviewImage,
        PreviewAny,
        PrimitiveInt,
        PrimitiveFloat,
        PrimitiveString,
        PrimitiveStringMultiline,
        PrimitiveBoolean,
    )
}
