"""VAEs in one file. Those of Wan are as deep as the real ones, since diffusers' converter knows no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from advanced_models.demo.weights import save_part
from advanced_models.loaders.component import select_component
from advanced_models.loaders.store import Store
from devices import on_device
from safetensors.torch import save_file
from single_file_layouts import Writer, as_it_is, ldm_vae, original_wan_22_vae, original_wan_vae, stored
from single_file_models import Own, chosen, same

DEPTH = {"base_dim": 8, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2, "temperal_downsample": [False, True, True]}


def rebuild(folder: Path, **settings: object) -> None:
    """The VAE of a small model as deep as the real one."""
    import diffusers

    config = json.loads((folder / "vae" / "config.json").read_text())
    cls = getattr(diffusers, config["_class_name"])
    save_part(cls.from_config({**config, **settings}), folder / "vae", "fp32", seed=3)


@pytest.mark.parametrize(
    ("model", "settings", "writer"),
    [
        ("FLUX.1-dev", {}, ldm_vae),
        ("FLUX.1-dev", {}, as_it_is),
        ("Wan2.1-T2V-1.3B", DEPTH, original_wan_vae),
        ("Wan2.2-T2V-A14B", DEPTH, original_wan_vae),
        ("Wan2.2-TI2V-5B", DEPTH | {"decoder_base_dim": 12}, original_wan_22_vae),
        ("Wan2.2-TI2V-5B", DEPTH | {"decoder_base_dim": 12}, as_it_is),
        ("Qwen-Image", DEPTH, original_wan_vae),
        ("Qwen-Image-Layered", DEPTH, original_wan_vae),
    ],
)
def test_a_vae_in_one_file(own: Own, model: str, settings: dict[str, object], writer: Writer) -> None:
    folder = own(model, lambda folder: rebuild(folder, **settings) if settings else None)
    save_file(writer(stored(folder, "vae")), folder.parents[1] / "vae" / "mine.safetensors")
    with Store().use(chosen(model, "vae", "vae"), select_component(model, "vae")) as (ours, theirs):
        assert ours is not theirs
        same(ours, theirs)
        assert ours.config.latent_channels == theirs.config.latent_channels if model.startswith("FLUX") else True
        with torch.no_grad():
            picture = on_device(torch.linspace(-1, 1, 3 * 32 * 32, dtype=ours.dtype)).view(1, 3, 32, 32)
            if ours.config.get("input_channels", 3) == 4:
                picture = torch.cat([picture, picture[:, :1]], 1)
            picture = picture if model.startswith("FLUX") else picture[:, :, None]
            latents = ours.encode(picture).latent_dist.mode()
            assert torch.equal(latents, theirs.encode(picture).latent_dist.mode())
            assert torch.equal(ours.decode(latents).sample, theirs.decode(latents).sample)
