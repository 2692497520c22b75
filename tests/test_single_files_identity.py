"""What a file holds, told from its header: full-size models without their numbers, in the layouts that people have."""

from __future__ import annotations

import importlib
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from advanced_models.errors import UserError
from advanced_models.loaders import sources
from advanced_models.loaders.bundled_configs import bundled_config
from advanced_models.loaders.component import select_component
from advanced_models.loaders.registry import load_registry
from advanced_models.loaders.single_files import check_experts, components_in, file_sources
from qwen_models import too_new
from safetensors.torch import save_file
from single_file_layouts import (
    Tensors,
    Writer,
    as_it_is,
    bfl_flux,
    ldm_vae,
    original_wan,
    original_wan_22_vae,
    original_wan_vae,
    stored,
    with_prefix,
)
from single_file_models import Own

T2V_14B = {"wan2.1-t2v-14b-transformer", "wan2.2-t2v-a14b-high-noise-transformer", "wan2.2-t2v-a14b-low-noise-transformer"}
DEV = {"flux1-dev-transformer", "flux1-krea-dev-transformer", "flux1-kontext-dev-transformer"}
QWEN_IMAGE = {f"qwen-image{kind}-transformer" for kind in ("", "-2512", "-edit", "-edit-2509", "-edit-2511")}


def write_header(path: Path, tensors: Tensors, end: int = 0) -> None:
    """A safetensors file as long as the real one, with holes for numbers; `end` bytes longer."""
    entries, position = {}, 0
    for name, tensor in tensors.items():
        size = 2 * math.prod(tensor.shape)
        entries[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [position, position + size]}
        position += size
    header = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + position + end)


def full_size(component: str) -> Tensors:
    """The real model's tensors on the meta device."""
    if "layered" in component and too_new("Qwen-Image-Layered"):
        pytest.skip("the installed diffusers does not have this model")
    entry = load_registry().component(component)
    path = bundled_config(entry)
    assert path is not None
    cls = getattr(importlib.import_module(entry.library), entry.class_name)
    with torch.device("meta"):
        if entry.library == "diffusers":
            return dict(cls.from_config(json.loads(path.read_text())).state_dict())
        return dict(cls(cls.config_class.from_pretrained(path.parent)).state_dict())


def edit_2511(tensors: Tensors) -> Tensors:
    return tensors | {"__index_timestep_zero__": torch.zeros(0)}


@pytest.mark.parametrize(
    ("component", "writer", "found"),
    [
        ("flux1-dev-transformer", bfl_flux, DEV),
        ("flux1-dev-transformer", as_it_is, DEV),
        ("flux1-schnell-transformer", lambda tensors: with_prefix(bfl_flux(tensors)), {"flux1-schnell-transformer"}),
        ("flux1-fill-dev-transformer", bfl_flux, {"flux1-fill-dev-transformer"}),
        ("wan2.1-t2v-1.3b-transformer", original_wan, {"wan2.1-t2v-1.3b-transformer"}),
        ("wan2.1-t2v-14b-transformer", original_wan, T2V_14B),
        ("wan2.2-t2v-a14b-low-noise-transformer", lambda tensors: with_prefix(original_wan(tensors)), T2V_14B),
        (
            "wan2.2-i2v-a14b-high-noise-transformer",
            original_wan,
            {"wan2.2-i2v-a14b-high-noise-transformer", "wan2.2-i2v-a14b-low-noise-transformer"},
        ),
        (
            "wan2.1-i2v-14b-480p-transformer",
            original_wan,
            {"wan2.1-i2v-14b-480p-transformer", "wan2.1-i2v-14b-720p-transformer"},
        ),
        ("wan2.1-flf2v-14b-720p-transformer", original_wan, {"wan2.1-flf2v-14b-720p-transformer"}),
        ("wan2.2-ti2v-5b-transformer", original_wan, {"wan2.2-ti2v-5b-transformer"}),
        ("wan2.1-vace-1.3b-transformer", as_it_is, {"wan2.1-vace-1.3b-transformer"}),
        ("qwen-image-transformer", with_prefix, QWEN_IMAGE),
        ("qwen-image-edit-2511-transformer", edit_2511, {"qwen-image-edit-2511-transformer"}),
        ("qwen-image-layered-transformer", as_it_is, {"qwen-image-layered-transformer"}),
        ("clip-l-encoder", as_it_is, {"clip-l-encoder"}),
        ("t5-xxl-encoder", as_it_is, {"t5-xxl-encoder"}),
        ("umt5-xxl-encoder", as_it_is, {"umt5-xxl-encoder"}),
        ("qwen2.5-vl-7b", as_it_is, {"qwen2.5-vl-7b"}),
        ("qwen2.5-vl-3b", as_it_is, {"qwen2.5-vl-3b"}),
        ("clip-vit-h-image-encoder", as_it_is, {"clip-vit-h-image-encoder"}),
        ("flux1-vae", ldm_vae, {"flux1-vae"}),
        ("sdxl-vae", ldm_vae, set()),
        ("wan2.1-vae", original_wan_vae, {"wan2.1-vae", "qwen-image-vae"}),
        ("qwen-image-vae", as_it_is, {"wan2.1-vae", "qwen-image-vae"}),
        ("qwen-image-layered-vae", original_wan_vae, {"qwen-image-layered-vae"}),
        ("wan2.2-vae", original_wan_22_vae, {"wan2.2-vae"}),
    ],
)
def test_the_real_models_are_told_by_their_headers(tmp_path: Path, component: str, writer: Writer, found: set[str]) -> None:
    write_header(tmp_path / "renamed.safetensors", writer(full_size(component)))
    assert set(components_in(tmp_path / "renamed.safetensors")) == found


@pytest.mark.parametrize(
    ("model", "role", "kind", "component", "writer", "said"),
    [
        (
            "Wan2.1-T2V-1.3B",
            "text_encoder",
            "text_encoders",
            "t5-xxl-encoder",
            as_it_is,
            "holds t5-xxl-encoder (vocabulary: 32128, position tables: 1); Wan 2.1 T2V 1.3B needs umt5-xxl-encoder (vocabulary: 256384, "
            "position tables: 24)",
        ),
        (
            "Wan2.2-T2V-A14B",
            "vae",
            "vae",
            "wan2.2-vae",
            original_wan_22_vae,
            "holds wan2.2-vae (latent channels: 48, picture channels: 12, width: 160); Wan 2.2 T2V A14B needs wan2.1-vae (latent channels: "
            "16, picture channels: 3, width: 96)",
        ),
        (
            "Wan2.1-T2V-1.3B",
            "transformer",
            "diffusion_models",
            "wan2.2-ti2v-5b-transformer",
            original_wan,
            "holds wan2.2-ti2v-5b-transformer (input channels: 48, output channels: 48, width: 3072)",
        ),
        ("FLUX.1-dev", "transformer", "diffusion_models", "wan2.1-t2v-1.3b-transformer", original_wan, "which is no part of FLUX.1 [dev]"),
        (
            "FLUX.1-schnell",
            "transformer",
            "diffusion_models",
            "flux1-dev-transformer",
            bfl_flux,
            "(guidance: True); FLUX.1 [schnell]",
        ),
    ],
)
def test_a_file_of_another_model_is_refused(
    empty: Path, model: str, role: str, kind: str, component: str, writer: Writer, said: str
) -> None:
    write_header(empty / kind / "mine.safetensors", writer(full_size(component)))
    with pytest.raises(UserError) as refused:
        sources.locate(select_component(model, role, source=f"{kind}/mine.safetensors"))
    assert said in str(refused.value)
    assert str(empty) not in str(refused.value)


def test_what_is_no_model_is_refused(empty: Path) -> None:
    def refusal(name: str) -> str:
        with pytest.raises(UserError) as refused:
            sources.locate(select_component("FLUX.1-dev", "transformer", source=f"diffusion_models/{name}"))
        return str(refused.value)

    folder = empty / "diffusion_models"
    save_file({"something.weight": torch.zeros(3)}, folder / "unknown.safetensors")
    assert "holds no layout of a model that this pack knows (its tensors are called something.weight" in refusal("unknown.safetensors")
    save_file({"double_blocks.0.img_attn.qkv.lora_A.weight": torch.zeros(3)}, folder / "lora.safetensors")
    assert "holds a LoRA, not a model" in refusal("lora.safetensors")
    write_header(folder / "short.safetensors", bfl_flux(full_size("flux1-dev-transformer")), end=-1000)
    assert "short.safetensors is cut short: its header tells of 23.80 GB" in refusal("short.safetensors")
    (folder / "text.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert "is not a whole safetensors file: download it again" in refusal("text.safetensors")
    torch.save({}, folder / "flux1-dev.pt")
    assert "flux1-dev.pt is a pickle, which can run code when it is opened" in refusal("flux1-dev.pt")
    assert "There is no file" in refusal("../../secret.safetensors")
    assert file_sources() == []


def test_one_file_is_not_both_experts(empty: Path) -> None:
    for name in ("high", "low"):
        write_header(empty / "diffusion_models" / f"{name}.safetensors", original_wan(full_size("wan2.2-t2v-a14b-low-noise-transformer")))
    model = load_registry().model("Wan2.2-T2V-A14B")
    with pytest.raises(UserError, match="holds one of the two experts"):
        check_experts(model, "diffusion_models/high.safetensors", "diffusion_models/high.safetensors")
    check_experts(model, "diffusion_models/high.safetensors", "diffusion_models/low.safetensors")
    # Nor does the search guess which is which; nor does it download 57 GB without asking.
    component = select_component("Wan2.2-T2V-A14B", "transformer_2")
    assert sources.find(component) is None
    with pytest.raises(sources.MissingFilesError, match=r"models/diffusion_models/high.safetensors may be the transformer 2 of Wan 2.2"):
        sources.check_lookalikes(component)


def test_auto_takes_a_file_that_can_be_nothing_else(own: Own) -> None:
    folder = own("FLUX.1-schnell")
    files = folder.parents[1] / "diffusion_models"
    component = select_component("FLUX.1-schnell", "transformer")
    save_file(bfl_flux(stored(folder, "transformer")), files / "a.safetensors")
    assert sources.locate(component).file is None
    shutil.rmtree(folder)
    assert sources.locate(component).file == files / "a.safetensors"
    assert sources.locate(component).label == "models/diffusion_models/a.safetensors"
