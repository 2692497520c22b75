"""The VAE of the small Wan: its encoder learns to compute the principal components that are the latents, its decoder to draw from them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advanced_models.demo.clips import clips

from .clip_latents import BLOCK, CHANNELS, TIME, Components, drawn
from .loop import train
from .picture_vae import difference

if TYPE_CHECKING:
    import torch

_BATCH = 4
_NOISE = 0.12
"""Deviation of the latents' noise in training the decoder: about what sampling leaves."""
_CERTAIN = -12.0
"""Logarithm of the variance that the encoder gives: its latents are what they are."""


def new_vae() -> Any:
    """Wan 2.2 TI2V-5B's `AutoencoderKLWan` (48 latent channels, 16x16 pixels and 4 frames a latent, residual), narrow.

    Its patches are 4x4 pixels where the real one's are 2x2, and it has a level less: convolutions at half the resolution cost a quarter.
    """
    import torch
    from diffusers import AutoencoderKLWan

    vae = AutoencoderKLWan(
        base_dim=24,
        decoder_base_dim=24,
        z_dim=CHANNELS,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        latents_mean=[0.0] * CHANNELS,
        latents_std=[1.0] * CHANNELS,
        is_residual=True,
        in_channels=48,
        out_channels=48,
        patch_size=4,
        scale_factor_spatial=BLOCK,
        scale_factor_temporal=TIME,
    )
    with torch.no_grad():
        vae.quant_conv.weight[CHANNELS:] = 0
        vae.quant_conv.bias[CHANNELS:] = _CERTAIN
    return vae


def train_encoder(vae: Any, components: Components, steps: int, log: Path) -> None:
    """Train on clips, and on as many first frames alone: a video from an image begins with those."""
    from torch.nn.functional import mse_loss

    rng = random.Random(46)

    def loss_of_step() -> torch.Tensor:
        videos = _videos(rng, 2 * _BATCH)
        wanted = components.latents(videos)
        clip, still = (vae.encode(part).latent_dist.mean for part in (videos[:_BATCH], videos[_BATCH:, :, :1]))
        return mse_loss(clip, wanted[:_BATCH]) + mse_loss(still, wanted[_BATCH:, :, :1])

    train([*vae.encoder.parameters(), vae.quant_conv.weight, vae.quant_conv.bias], loss_of_step, steps=steps, rate=2e-3, log=log)


def train_decoder(vae: Any, components: Components, steps: int, log: Path) -> None:
    """Train on the latents of clips with a little noise.

    Half of the steps see the first five frames of twice as many clips: a step learns more of colours then, and costs the same.
    """
    import torch

    rng = random.Random(47)

    def loss_of_step() -> torch.Tensor:
        count, latent_frames = rng.choice(((2 * _BATCH, 2), (_BATCH, 3)))
        videos = _videos(rng, count)
        latents = components.latents(videos)[:, :, :latent_frames]
        made = vae.decode(latents + _NOISE * torch.randn_like(latents)).sample
        wanted = videos[:, :, : made.shape[2]]
        return difference(made.movedim(2, 1).flatten(0, 1), wanted.movedim(2, 1).flatten(0, 1))

    train([*vae.decoder.parameters(), *vae.post_quant_conv.parameters()], loss_of_step, steps=steps, rate=3e-3, hold=0.2, log=log)


def _videos(rng: random.Random, count: int) -> torch.Tensor:
    return drawn(clips(count, rng, unseen=False), rng)
