"""Latents to frames, a few at a time.

AutoencoderKLWan decodes one latent frame after the other, each with the features of those before; only its `decode` gathers them to a
whole clip. Iterating ourselves gives the same frames as they come: one for the first latent frame, four for every other.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import host
from ..loaders.downloads import obtain
from ..loaders.sources import read_config
from ..loaders.store import STORE
from ..memory.out_of_memory import streams_within_memory
from .steps import interruptible
from .wan_checks import check_vae
from .wan_images import use_vae
from .wan_model import spatial_factor, temporal_factor
from .wan_values import denormalise

if TYPE_CHECKING:
    import torch

    from ..loaders.component import Component
    from .decoded_frames import DecodedFrames
    from .wan_values import Latents


def decode(vae: Component, latents: Latents) -> DecodedFrames:
    """The frames of a clip as an IMAGE [frames, H, W, 3] with values 0..1; several clips follow one another.

    Nothing is decoded before somebody takes the frames. Raises UserError for latents that another VAE made, and for missing files.
    """
    from .decoded_frames import DecodedFrames

    batch, _, count, height, width = _checked(vae, latents.samples)
    obtain(vae)
    config = read_config(vae)
    side, frames = spatial_factor(config), batch * (1 + (count - 1) * temporal_factor(config))
    return DecodedFrames((frames, side * height, side * width, 3), partial(stream, vae, latents))


@streams_within_memory("decode")
def stream(vae: Component, latents: Latents) -> Iterator[torch.Tensor]:
    """Frames [n, H, W, 3] as they leave the decoder, float32 on the CPU. The VAE stays on the device until the last one is taken.

    With tiling a clip is decoded whole, since diffusers joins tiles only after their last frame: it saves memory of the device, not of
    the host.
    """
    _checked(vae, latents.samples)
    config = read_config(vae)
    device, count = STORE.device_of(vae), latents.samples.shape[2]
    bar = host.current().progress(latents.samples.shape[0] * count)
    done = 0
    with use_vae(vae) as module:
        for index in range(latents.samples.shape[0]):
            parts = (
                _one_piece(module, device, config, latents, index)
                if vae.tile is not None
                else _pieces(module, device, config, latents, index)
            )
            for part in parts:
                done += count if vae.tile is not None else 1
                bar.update(done)
                yield part


def _pieces(module: Any, device: torch.device, config: dict[str, Any], latents: Latents, index: int) -> Iterator[torch.Tensor]:
    """What AutoencoderKLWan._decode gathers."""
    from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify

    module.clear_cache()
    # The consumer may run in another mode than the node that asked, and must not be left in ours between two pieces.
    with host.current().inference():
        states = module.post_quant_conv(_to_decode(module, device, config, latents, index))
    for frame in range(states.shape[2]):
        host.current().raise_if_interrupted()
        with host.current().inference(), interruptible(module.decoder):
            pixels = module.decoder(states[:, :, frame : frame + 1], feat_cache=module._feat_map, feat_idx=[0], first_chunk=frame == 0)
            if config.get("patch_size") is not None:
                pixels = unpatchify(pixels, patch_size=config["patch_size"])  # type: ignore[no-untyped-call]
            part = _to_image(pixels.clamp(-1.0, 1.0))
        del pixels
        yield part


def _one_piece(module: Any, device: torch.device, config: dict[str, Any], latents: Latents, index: int) -> Iterator[torch.Tensor]:
    with host.current().inference(), interruptible(module.decoder):
        part = _to_image(module.decode(_to_decode(module, device, config, latents, index), return_dict=False)[0])
    yield part


def _to_decode(module: Any, device: torch.device, config: dict[str, Any], latents: Latents, index: int) -> torch.Tensor:
    """One clip's latents in VAE space, computed in the VAE's own dtype where a run left them normalised, as the pipeline does."""
    if latents.normalised is not None:
        return denormalise(latents.normalised[index : index + 1].to(device, module.dtype), config)
    return latents.samples[index : index + 1].to(device, module.dtype)


def _to_image(pixels: torch.Tensor) -> torch.Tensor:
    """Frames [1, 3, T, H, W] with values -1..1 as an IMAGE (VideoProcessor.postprocess_video)."""
    return (pixels[0] * 0.5 + 0.5).clamp(0, 1).permute(1, 2, 3, 0).float().cpu()


def _checked(vae: Component, samples: torch.Tensor) -> tuple[int, ...]:
    check_vae(vae, samples.shape[1], samples.ndim)
    return tuple(samples.shape)
