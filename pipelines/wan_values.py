"""What passes between Wan's stages: encoded images and latents, and what a run leaves behind so that another one can continue it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class FirstImage:
    """A first image (and perhaps a last one), encoded for the models that read it beside the noise."""

    latents: torch.Tensor | None
    """[1, C, T, H, W] in VAE space, of a clip that is grey where no image is given."""
    given: torch.Tensor | None
    """[1, 4, T, H, W]: 1 where the clip's frames are given, the four frames of a latent frame as channels."""
    clip: torch.Tensor | None = None
    """CLIP ViT-H's states before the last layer, [1, 257, 1280] for one image, [1, 514, 1280] for two."""

    has_last: bool = False
    """Whether there is a last image."""


@dataclass(frozen=True)
class UnfinishedRun:
    """A run that stopped between two steps, on the CPU: everything that the rest of it needs, so that the parts equal the whole.

    UniPC corrects each step with the ones before, so its history belongs to it.
    """

    latents: torch.Tensor
    """As the loop holds them: normalised, float32."""
    scheduler: Any
    timesteps: torch.Tensor
    """All of the run's, done and to be done."""
    step: int
    """Steps done."""
    kept: tuple[torch.Tensor, torch.Tensor] | None = None
    """Normalised latents that are kept, and the mask that is 0 where they are (TI2V-5B from image)."""


@dataclass(frozen=True)
class Latents:
    """Latents [B, C, T, H, W] in VAE space, as `AutoencoderKLWan.encode` gives and `.decode` takes them."""

    samples: torch.Tensor
    mask: torch.Tensor | None = None
    """[B, 1, T, H, W]: 0 where the samples are kept."""
    normalised: torch.Tensor | None = None
    """What a run ended with, before it went to VAE space: a VAE that is not in float32 converts these in its own precision."""
    unfinished: UnfinishedRun | None = None


def denormalise(latents: torch.Tensor, vae_config: dict[str, Any]) -> torch.Tensor:
    """To VAE space, in the latents' own dtype (WanPipeline.__call__, after the loop)."""
    mean, inverse_std = _statistics(vae_config, latents)
    return latents / inverse_std + mean


def normalise(latents: torch.Tensor, vae_config: dict[str, Any]) -> torch.Tensor:
    """From VAE space, in the latents' own dtype (WanImageToVideoPipeline.prepare_latents)."""
    mean, inverse_std = _statistics(vae_config, latents)
    return (latents - mean) * inverse_std


def _statistics(vae_config: dict[str, Any], like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and 1/deviation of the VAE's latents, computed as the pipelines do: the deviation is inverted in the latents' dtype."""
    import torch

    mean = torch.tensor(vae_config["latents_mean"]).view(1, -1, 1, 1, 1).to(like.device, like.dtype)
    std = torch.tensor(vae_config["latents_std"]).view(1, -1, 1, 1, 1).to(like.device, like.dtype)
    return mean, 1.0 / std
