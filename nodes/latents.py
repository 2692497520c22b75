"""ComfyUI's LATENT, `{"samples": ..., "noise_mask": ...}`, to and from an encoded picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..pipelines.flux import Picture

if TYPE_CHECKING:
    import torch

POSTERIOR = "posterior"
"""Our own key beside `samples`: the parameters of the VAE's posterior, from which a run with a seed draws."""


def to_latent(picture: Picture) -> dict[str, Any]:
    """Native samples are the posterior's mean, as native VAE Encode gives it."""
    return {"samples": picture.mean, POSTERIOR: picture.moments}


def from_latent(latent: dict[str, Any]) -> Picture:
    """Reads ours or native latents. A posterior counts only while its mean is what `samples` holds: other nodes change the samples and
    carry keys they do not know along."""
    samples, moments = latent["samples"], latent.get(POSTERIOR)
    if moments is not None:
        mean = moments.chunk(2, dim=1)[0].to(samples)
        if mean.shape == samples.shape and bool((mean == samples).all()):
            return Picture(samples, moments)
    return Picture(samples)


def mask_of(latent: dict[str, Any] | None, mask: torch.Tensor | None) -> torch.Tensor | None:
    """The MASK that was connected [B, H, W], else the one that the LATENT carries. Native nodes such as Set Latent Noise Mask keep it as
    [B, 1, H, W]."""
    if mask is not None or latent is None:
        return mask
    carried: torch.Tensor | None = latent.get("noise_mask")
    return None if carried is None else carried.reshape(-1, *carried.shape[-2:])
