"""The VAE of the small FLUX: the whole of it, then its decoder alone."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advanced_models.demo.shapes import SIDE, draw, scenes, varied

from .loop import train

if TYPE_CHECKING:
    import torch

BATCH = 8
_EDGE_WEIGHT = 6.0
_KL_WEIGHT = 1e-3


def new_vae() -> Any:
    """FLUX's `AutoencoderKL` (16 latent channels, 8 pixels a latent, no quantising convolutions), narrow and with one layer a block."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 16, 48, 64),
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=4,
        sample_size=SIDE,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
        force_upcast=False,
    )


def train_vae(steps: int, log: Path) -> Any:
    """Train encoder and decoder on varied scenes; the config gets the latents' own shift and scale, so that they are of unit variance."""
    import torch

    torch.manual_seed(0)
    rng = random.Random(0)
    vae = new_vae()

    def loss_of_step() -> torch.Tensor:
        pictures = batch(rng, BATCH)
        posterior = vae.encode(pictures).latent_dist
        prior = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
        return difference(vae.decode(posterior.sample()).sample, pictures) + _KL_WEIGHT * prior

    train(list(vae.parameters()), loss_of_step, steps=steps, rate=2e-3, log=log)
    with torch.no_grad():
        latents = torch.cat([vae.encode(batch(random.Random(1), 64)).latent_dist.mean for _ in range(8)])
    vae.register_to_config(shift_factor=round(latents.mean().item(), 4), scaling_factor=round(1 / latents.std().item(), 4))
    return vae.eval()


def train_decoder(vae: Any, steps: int, log: Path) -> None:
    """Train the decoder on, with the encoder (and so the latents that a transformer has learnt) as it is.

    Latents get noise of an eighth of their spread, about what sampling leaves.
    """
    import torch

    torch.manual_seed(1)
    rng = random.Random(2)
    vae.encoder.requires_grad_(False)
    noise = 0.125 / vae.config.scaling_factor

    def loss_of_step() -> torch.Tensor:
        pictures = batch(rng, BATCH)
        with torch.no_grad():
            latents = vae.encode(pictures).latent_dist.mean
        return difference(vae.decode(latents + noise * torch.randn_like(latents)).sample, pictures)

    train(list(vae.decoder.parameters()), loss_of_step, steps=steps, rate=1.5e-3, log=log)
    vae.encoder.requires_grad_(True)


def batch(rng: random.Random, count: int) -> torch.Tensor:
    """Pictures [B, 3, 64, 64] in -1..1. Half of them stand farther from their place than captions say, which makes the VAE robust."""

    drawings = [varied(scene, rng, spread=6.0 if number % 2 else 1.0) for number, scene in enumerate(scenes(count, rng, unseen=False))]
    return draw(drawings) * 2 - 1


def difference(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """L1 and squared error, weighted up where neighbouring pixels differ: flat areas are most of a picture and say nothing of the shape."""
    import torch

    edges = torch.zeros_like(wanted[:, :1])
    across = (wanted[..., 1:] - wanted[..., :-1]).abs().amax(1, keepdim=True)
    down = (wanted[..., 1:, :] - wanted[..., :-1, :]).abs().amax(1, keepdim=True)
    edges[..., 1:] += across
    edges[..., :-1] += across
    edges[..., 1:, :] += down
    edges[..., :-1, :] += down
    error = (made - wanted).abs()
    return ((error + error**2) * (1 + _EDGE_WEIGHT * edges.clamp(max=1))).mean()
