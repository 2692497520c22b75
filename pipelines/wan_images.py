"""Images and clips on their way into Wan's VAE and image encoder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .. import host
from ..errors import UserError
from ..loaders.store import STORE
from . import tiles
from .steps import interruptible
from .wan_checks import FRAME_STEP

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from ..loaders.component import Component


def see(image_encoder: Component, pictures: list[torch.Tensor]) -> torch.Tensor:
    """CLIP's states before its last layer, those of all pictures joined along the tokens."""
    import torch

    pixels = STORE.companion(image_encoder.sibling("image_processor"))(
        images=[_to_pil(picture) for picture in pictures], return_tensors="pt"
    ).pixel_values
    with STORE.use(image_encoder) as (module,), torch.no_grad():
        pixels = pixels.to(STORE.device_of(image_encoder))
        states = module(pixel_values=pixels, output_hidden_states=True).hidden_states[-2].cpu()
    return states.reshape(1, -1, states.shape[-1])  # type: ignore[no-any-return]


def encode(vae: Component, clip: torch.Tensor) -> torch.Tensor:
    """The posterior's mode, float32, of a clip [1, 3, T, H, W] with values -1..1."""
    import torch

    with use_vae(vae) as module, interruptible(module.encoder), torch.no_grad(), _progress_of(module.encoder, clip.shape[2]):
        clip = clip.to(STORE.device_of(vae), module.dtype)
        latents: torch.Tensor = module.encode(clip).latent_dist.mode().float().cpu()
    return latents


@contextmanager
def use_vae(vae: Component) -> Iterator[Any]:
    """The VAE's module on the device, working in tiles as its handle says."""
    with tiles.use_vae(vae) as module:
        try:
            yield module
        finally:
            # A run that was stopped leaves the features of its last frames behind.
            module.clear_cache()


@contextmanager
def _progress_of(encoder: Any, frames: int) -> Iterator[None]:
    """Counts the pieces of a clip as they pass."""
    bar = host.current().progress((frames - 1) // FRAME_STEP + 1)
    done = 0

    def passed(*_: object) -> None:
        nonlocal done
        done += 1
        bar.update(done)

    hook = encoder.register_forward_hook(passed)
    try:
        yield
    finally:
        hook.remove()


def fit(image: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """One image [1, H, W, 3] at this size: cropped in the middle to the clip's shape, then scaled as the pipeline scales."""
    import numpy as np
    import torch

    if image.ndim != 4 or image.shape[0] != 1:
        raise UserError(f"WanImageEncode takes one image at a time and got {list(image.shape)}: choose one from the batch.")
    image = image[..., :3]
    if tuple(image.shape[1:3]) == (height, width):
        return image.float().cpu()
    own_height, own_width = image.shape[1:3]
    crop_width = min(own_width, round(own_height * width / height))
    crop_height = min(own_height, round(own_width * height / width))
    left, top = (own_width - crop_width) // 2, (own_height - crop_height) // 2
    picture = _to_pil(image[:, top : top + crop_height, left : left + crop_width])
    from PIL.Image import Resampling

    scaled = picture.resize((width, height), Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(scaled).astype(np.float32) / 255)[None]


def _to_pil(image: torch.Tensor) -> Image.Image:
    from PIL import Image

    return Image.fromarray((image[0].float().cpu() * 255).round().clamp(0, 255).byte().numpy())


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    """Images [B, H, W, 3] with values 0..1 as the VAE takes them: [B, 3, H, W] with values -1..1 (VaeImageProcessor.preprocess)."""
    return 2.0 * images[..., :3].float().movedim(-1, 1) - 1.0
