"""ComfyUI's CONDITIONING and LATENT to and from what Wan's stages take.

The native form, so that native nodes read ours and ours read theirs: an image beside the noise is `concat_latent_image` and `concat_mask`
(1 where nothing is given) in the conditioning, what CLIP saw is `clip_vision_output`; TI2V-5B keeps an image as part of the LATENT
under a `noise_mask`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..pipelines.wan_values import FirstImage, Latents, UnfinishedRun

if TYPE_CHECKING:
    import torch

Conditioning = list[list[Any]]

RUN = "wan_run"
"""Our own key beside `samples`: what a run of WanDenoise ended with."""


@dataclass(frozen=True)
class ClipVisionOutput:
    """What native nodes read of ComfyUI's class of this name."""

    penultimate_hidden_states: torch.Tensor


@dataclass(frozen=True)
class _RunEnd:
    normalised: torch.Tensor
    samples: torch.Tensor
    unfinished: UnfinishedRun | None


def to_conditioning(embeds: torch.Tensor) -> Conditioning:
    """As the native UMT5 encoder gives it."""
    return [[embeds, {}]]


def with_image(conditioning: Conditioning, image: FirstImage) -> Conditioning:
    """The conditioning with an encoded image added to every entry."""
    extras: dict[str, Any] = {}
    if image.latents is not None and image.given is not None:
        extras |= {"concat_latent_image": image.latents, "concat_mask": 1 - image.given}
    if image.clip is not None:
        extras["clip_vision_output"] = ClipVisionOutput(image.clip)
    return [[embeds, old | extras] for embeds, old in conditioning]


def embeds_of(conditioning: Conditioning, name: str) -> torch.Tensor:
    """The prompt's states. Raises UserError for several entries, which Wan cannot blend."""
    if len(conditioning) != 1:
        raise UserError(f"WanDenoise takes one encoded prompt as {name} and got {len(conditioning)}: connect one WanPromptEncode.")
    embeds: torch.Tensor = conditioning[0][0]
    return embeds


def image_of(conditioning: Conditioning) -> FirstImage | None:
    """The encoded image in a conditioning, ours or native, if there is one."""
    extras = conditioning[0][1]
    latents, mask, seen = (extras.get(key) for key in ("concat_latent_image", "concat_mask", "clip_vision_output"))
    if latents is None and seen is None:
        return None
    given = None
    if latents is not None:
        # Without a mask the whole clip is free; native masks may have one channel for the four frames of a latent frame.
        given = latents.new_zeros(latents.shape[0], 4, *latents.shape[2:]) if mask is None else 1 - mask
        if given.shape[1] == 1:
            given = given.repeat(1, 4, 1, 1, 1)
    clip = None if seen is None else seen.penultimate_hidden_states
    return FirstImage(latents, given, clip, has_last=_has_last(given, clip))


def _has_last(given: torch.Tensor | None, clip: torch.Tensor | None) -> bool:
    """Whether a last image was given: its frame is the last one of the mask, its CLIP states make the tokens twice as many."""
    if given is None or given.shape[2] < 2:
        return clip is not None and clip.shape[1] > 257
    return bool(given[:, -1, -1].any())


def to_latent(latents: Latents) -> dict[str, Any]:
    """Native samples and noise mask, and beside them what only we can read."""
    latent: dict[str, Any] = {"samples": latents.samples}
    if latents.mask is not None:
        latent["noise_mask"] = latents.mask
    if latents.normalised is not None:
        latent[RUN] = _RunEnd(latents.normalised, latents.samples, latents.unfinished)
    return latent


def from_latent(latent: dict[str, Any]) -> Latents:
    """Reads ours or native latents. What a run left counts only while `samples` are what it left: other nodes change the samples and
    carry keys they do not know along."""
    latents = Latents(latent["samples"], latent.get("noise_mask"))
    end = latent.get(RUN)
    if isinstance(end, _RunEnd) and end.samples.shape == latents.samples.shape:
        same = end.samples is latents.samples or bool((end.samples == latents.samples.to(end.samples)).all())
        if same:
            return replace(latents, normalised=end.normalised, unfinished=end.unfinished)
    return latents
