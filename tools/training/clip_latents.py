"""The latents of the small Wan: principal components of blocks of 16x16 pixels, of the first frame and of every four frames after it.

They are what a VAE of one linear layer learns (Baldi and Hornik 1989), found in a minute: the transformer can be trained on them before
there is a VAE, and the VAE learns to compute them and to invert them, which is far easier than to find latents of its own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from advanced_models.demo.clips import Clip, clips, draw_clips
from advanced_models.demo.shapes import SIDE

if TYPE_CHECKING:
    import torch

CHANNELS = 48
BLOCK, TIME = 16, 4
"""Pixels of a latent along each side, frames of every latent frame after the first: those of Wan 2.2 TI2V-5B."""
_CELLS = SIDE // BLOCK
_SAMPLE = 600


@dataclass(frozen=True)
class Components:
    """Of the first frame and of the others: mean [N], the components' rows [48, N] and what a component is divided by [48]."""

    first: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    others: tuple[torch.Tensor, torch.Tensor, torch.Tensor]

    def latents(self, videos: torch.Tensor) -> torch.Tensor:
        """Of clips [B, 3, 9, 64, 64] in -1..1: [B, 48, 3, 4, 4]."""
        import torch

        parts = []
        for (mean, rows, scale), blocks in zip((self.first, self.others), _blocks(videos), strict=True):
            parts.append(((blocks - mean) @ rows.T) / scale)
        return torch.cat(parts, dim=1).movedim(-1, 1)


def find_components() -> Components:
    """From clips of the combinations that are not held out."""
    import torch

    rng = random.Random(40)
    found = []
    for blocks in _blocks(drawn(clips(_SAMPLE, rng, unseen=False), rng)):
        flat = blocks.flatten(0, -2)
        mean = flat.mean(0)
        variances, columns = torch.linalg.eigh((flat - mean).T @ (flat - mean) / len(flat))
        found.append((mean, columns.T.flip(0)[:CHANNELS].contiguous(), _scales(variances.flip(0)[:CHANNELS].sqrt())))
    return Components(*found)


def _scales(deviations: torch.Tensor) -> torch.Tensor:
    """Between none and that which gives every component the same weight: what matters more in pixels is to be learnt first.

    Colours come to a deviation of 1.5, the last component to about 0.25.
    """
    return (deviations * deviations[0]).sqrt() / 1.5


def save_components(components: Components, file: Path) -> None:
    """Write them as safetensors."""
    from safetensors.torch import save_file

    named = {"first": components.first, "others": components.others}
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({f"{name}.{index}": tensor for name, three in named.items() for index, tensor in enumerate(three)}, file)


def load_components(file: Path) -> Components:
    """Read what `save_components` wrote."""
    from safetensors.torch import load_file

    tensors = load_file(file)
    first, others = ((tensors[f"{name}.0"], tensors[f"{name}.1"], tensors[f"{name}.2"]) for name in ("first", "others"))
    return Components(first, others)


def drawn(shown: list[Clip], rng: random.Random) -> torch.Tensor:
    """Clips [B, 3, 9, 64, 64] in -1..1. A few at a time, which a processor's cache holds, are drawn ten times as fast as all at once."""
    import torch

    return torch.cat([draw_clips(shown[start : start + 4], rng, spread=1.5) for start in range(0, len(shown), 4)]) * 2 - 1


def _blocks(videos: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the first frame [B, 1, 4, 4, 768] and of the others [B, 2, 4, 4, 3072]."""
    first, others = videos[:, :, :1], videos[:, :, 1:]
    return _cut(first, 1), _cut(others, TIME)


def _cut(videos: torch.Tensor, frames: int) -> torch.Tensor:
    cut = videos.reshape(len(videos), 3, -1, frames, _CELLS, BLOCK, _CELLS, BLOCK)
    return cut.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4)
