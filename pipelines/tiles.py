"""Decoding and encoding in overlapping tiles: less memory, more time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..loaders.store import STORE

if TYPE_CHECKING:
    from ..loaders.component import Component

_OVERLAP = 0.25
"""Share of a tile that its neighbour covers too: the default of diffusers' AutoencoderKL and AutoencoderKLWan."""
OWN_TILE = 0
_KL_TILE = 512
"""Pixels of AutoencoderKL's tile where none is asked for: its own is the size it was trained at, 1024 for FLUX, where nothing is gained."""
_NAMES = (
    "use_tiling",
    "tile_sample_min_size",
    "tile_latent_min_size",
    "tile_sample_min_height",
    "tile_sample_min_width",
    "tile_sample_stride_height",
    "tile_sample_stride_width",
)


@contextmanager
def use_vae(vae: Component) -> Iterator[Any]:
    """The VAE's module on its device, working in tiles as the handle says, and as before after the block."""
    with STORE.use(vae) as (module,):
        before = {name: getattr(module, name) for name in _NAMES if hasattr(module, name)}
        for name, value in _settings(before, vae.tile, module.config).items():
            setattr(module, name, value)
        try:
            yield module
        finally:
            for name, value in before.items():
                setattr(module, name, value)


def _settings(before: dict[str, Any], tile: int | None, config: Any) -> dict[str, Any]:
    if tile is None:
        return {"use_tiling": False}
    if "tile_latent_min_size" in before:
        pixels = tile or _KL_TILE
        factor = 2 ** (len(config.block_out_channels) - 1)
        return {"use_tiling": True, "tile_sample_min_size": pixels, "tile_latent_min_size": pixels // factor}
    if tile == OWN_TILE:
        return {"use_tiling": True}
    stride = int(tile * (1 - _OVERLAP))
    return {
        "use_tiling": True,
        "tile_sample_min_height": tile,
        "tile_sample_min_width": tile,
        "tile_sample_stride_height": stride,
        "tile_sample_stride_width": stride,
    }
