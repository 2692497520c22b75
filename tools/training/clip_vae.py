"""The VAE of a small Wan 2.1: its eyes for single pictures first, which cost a ninth, then clips of nine frames."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .clips import clips, draw_clips, stills
from .loop import train
from .picture_vae import difference

if TYPE_CHECKING:
    import torch

_PICTURES, _CLIPS = 8, 2
_KL_WEIGHT = 1e-3


def new_vae() -> Any:
    """Wan 2.1's `AutoencoderKLWan` (16 latent channels, 8x8 pixels and 4 frames a latent), narrow: 1.3 MB in bf16."""
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(base_dim=8, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=1, temperal_downsample=[False, True, True])


def train_pictures(vae: Any, steps: int, log: Path) -> None:
    """Train on single pictures; what knows of time is not touched by them."""
    rng = random.Random(40)
    train(list(vae.parameters()), lambda: _loss(vae, stills(_PICTURES, rng)), steps=steps, rate=2e-3, log=log)


def train_clips(vae: Any, steps: int, log: Path) -> None:
    """Train on clips; the config then gets mean and deviation of every latent channel, as Wan's has."""
    import torch

    rng = random.Random(41)

    def loss_of_step() -> torch.Tensor:
        return _loss(vae, draw_clips(clips(_CLIPS, rng, unseen=False), rng, spread=4.0))

    train(list(vae.parameters()), loss_of_step, steps=steps, rate=1.5e-3, log=log)
    with torch.no_grad():
        shown = draw_clips(clips(64, random.Random(42), unseen=False), random.Random(43))
        latents = torch.cat([vae.encode(part * 2 - 1).latent_dist.mean for part in shown.split(4)])
    by_channel = latents.movedim(1, 0).flatten(1)
    vae.register_to_config(
        latents_mean=[round(value, 4) for value in by_channel.mean(1).tolist()],
        latents_std=[round(value, 4) for value in by_channel.std(1).tolist()],
    )


def _loss(vae: Any, shown: torch.Tensor) -> torch.Tensor:
    """For clips [B, 3, T, 64, 64] in 0..1."""
    wanted = shown * 2 - 1
    posterior = vae.encode(wanted).latent_dist
    prior = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
    made = vae.decode(posterior.sample()).sample
    return difference(made.movedim(2, 1).flatten(0, 1), wanted.movedim(2, 1).flatten(0, 1)) + _KL_WEIGHT * prior
