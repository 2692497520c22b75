"""LoRALoader: what it offers, and every LoRA that cannot be used refused in words, with the store as it was."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models.errors import UserError
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.registry import load_registry
from advanced_models.loaders.store import STORE
from advanced_models.nodes import NODE_CLASS_MAPPINGS
from lora_support import Tensors, loras_folder, make_lora, save, with_loras
from wan_support import parts_of

LAYERS = ("to_out.0", "ff.net.2")


@pytest.fixture
def loras(use_host: StandaloneHost, tmp_path: Path) -> Path:
    return loras_folder(use_host, tmp_path)


@pytest.fixture
def style(loras: Path, flux_dev: Path) -> Tensors:
    return make_lora(flux_dev / "transformer", LAYERS)


def transformer() -> Any:
    return NODE_CLASS_MAPPINGS["FluxLoader"]().select("FLUX.1-dev")[0]


def refusal(handle: Any, name: str, strength: float = 1.0, **more: Any) -> str:
    """What is said when the LoRA is chosen or, at the latest, when the transformer is used; nothing stays loaded."""
    before = {id(entry) for entry in STORE.entries()}
    with pytest.raises(UserError) as refused:
        (changed,) = NODE_CLASS_MAPPINGS["LoRALoader"]().add(handle, name, strength, **more)
        with STORE.use(*getattr(changed, "components", (changed,))):
            pass
    assert {id(entry) for entry in STORE.entries()} <= before
    return str(refused.value)


def test_files_and_names_to_choose_from(use_host: StandaloneHost, loras: Path, style: Tensors) -> None:
    for name in ("b.safetensors", "style/a.safetensors"):
        save(loras, name, style)
    (loras / "old.pt").write_bytes(b"")
    inputs = NODE_CLASS_MAPPINGS["LoRALoader"].INPUT_TYPES()
    choices = inputs["required"]["lora"][0]
    assert choices[0] == "none"
    assert choices[-2:] == ["b.safetensors", "style/a.safetensors"]
    assert set(choices[1:-2]) == {lora.name for model in load_registry().models.values() for lora in model.loras}
    assert inputs["optional"]["low_noise_lora"][0] == ["none", "b.safetensors", "style/a.safetensors"]
    assert with_loras(transformer(), ("none", 1.0)) == transformer()


def test_a_file_of_another_model(loras: Path, style: Tensors) -> None:
    save(loras, "other.safetensors", {f"transformer.blocks.0.{index}.lora_A.weight": torch.ones(2, 2) for index in range(6)})
    said = refusal(transformer(), "other.safetensors")
    assert said.startswith("models/loras/other.safetensors does not fit the transformer of FLUX.1 [dev]: 0 of its 6 tensors match")
    assert str(loras) not in said


def test_a_file_that_fits_only_partly(loras: Path, style: Tensors) -> None:
    more = {name.replace("transformer_blocks.1.", "transformer_blocks.7."): tensor for name, tensor in style.items()}
    outside = sum("transformer_blocks.7." in name for name in more)
    assert 0 < outside < len(more)
    save(loras, "deeper.safetensors", more)
    assert f"{len(more) - outside} of its {len(more)} tensors match (transformer_blocks.7" in refusal(transformer(), "deeper.safetensors")


@pytest.mark.parametrize("side", ["lora_A", "lora_B"])
def test_layers_of_another_width(loras: Path, style: Tensors, side: str) -> None:
    wider = {name: torch.cat([tensor, tensor], 1 if side == "lora_A" else 0) if side in name else tensor for name, tensor in style.items()}
    save(loras, "wider.safetensors", wider)
    assert f"0 of its {len(wider)} tensors match" in refusal(transformer(), "wider.safetensors")


def test_half_a_pair(loras: Path, style: Tensors) -> None:
    name = next(iter(style))
    save(loras, "half.safetensors", {key: tensor for key, tensor in style.items() if key != name})
    assert f"{len(style) - 2} of its {len(style) - 1} tensors match" in refusal(transformer(), "half.safetensors")


def test_alphas_that_would_be_left_out(loras: Path, style: Tensors) -> None:
    """diffusers' own names with kohya's alphas: its FLUX converter keeps the alphas, and nobody reads them."""
    tensors = {key.replace("lora_A", "lora_down").replace("lora_B", "lora_up"): tensor for key, tensor in style.items()}
    layers = {key.rpartition(".lora_")[0] for key in style}
    save(loras, "alphas.safetensors", tensors | {f"{layer}.alpha": torch.tensor(2.0) for layer in layers})
    assert f"{len(style)} of its {len(style) + len(layers)} tensors match" in refusal(transformer(), "alphas.safetensors")


@pytest.mark.parametrize("key", ["lora_unet_unknown_3.lora_down.weight", "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight"])
def test_a_layout_that_the_converter_does_not_know(loras: Path, key: str) -> None:
    save(loras, "odd.safetensors", {key: torch.ones(2, 2), "lora_unet_more.lora_up.weight": torch.ones(2, 2)})
    said = refusal(transformer(), "odd.safetensors")
    assert said.startswith("models/loras/odd.safetensors fits nothing of the transformer of FLUX.1 [dev]: none of its 2 tensors")


def test_a_dora(loras: Path, style: Tensors) -> None:
    scales = {name.replace("lora_A.weight", "dora_scale"): torch.ones(1) for name in style if "lora_A" in name}
    save(loras, "dora.safetensors", style | scales)
    assert "is a DoRA" in refusal(transformer(), "dora.safetensors")


def test_parts_for_text_encoders_are_left_out_and_said(loras: Path, style: Tensors, caplog: pytest.LogCaptureFixture) -> None:
    save(loras, "both.safetensors", style | {f"text_encoder.{name}": tensor for name, tensor in style.items()})
    with STORE.use(with_loras(transformer(), ("both.safetensors", 1.0))):
        pass
    assert f"also holds {len(style)} tensors for text encoders, which are left out" in caplog.text


@pytest.mark.parametrize("content", [b"", b"\xff" * 64], ids=["empty", "noise"])
def test_a_damaged_file(loras: Path, content: bytes) -> None:
    (loras / "cut.safetensors").write_bytes(content)
    assert refusal(transformer(), "cut.safetensors") == (
        "models/loras/cut.safetensors is damaged or was not downloaded to its end: download it again."
    )


@pytest.mark.parametrize("name", ["missing.safetensors", "../outside.safetensors", "{outside}"])
def test_only_files_below_the_folders(loras: Path, style: Tensors, name: str) -> None:
    save(loras.parent, "outside.safetensors", style)
    assert "models/loras has no " in refusal(transformer(), name.format(outside=loras.parent / "outside.safetensors"))


def test_without_peft(loras: Path, style: Tensors, monkeypatch: pytest.MonkeyPatch) -> None:
    save(loras, "style.safetensors", style)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "peft" else find(name, *rest))
    assert "run `pip install peft`" in refusal(transformer(), "style.safetensors")


def test_a_registry_lora_that_is_not_here(wan_host: StandaloneHost) -> None:
    assert refusal(parts_of("Wan2.1-T2V-1.3B")["transformer"], "CausVid") == (
        "The LoRA Wan21_CausVid_bidirect2_T2V_1_3B_lora_rank32.safetensors is neither in models/loras nor in the hub cache. To get it, "
        "run `hf download Kijai/WanVideo_comfy Wan21_CausVid_bidirect2_T2V_1_3B_lora_rank32.safetensors`."
    )


def test_a_registry_lora_in_the_hub_cache(
    wan_host: StandaloneHost, wan_models_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants
    from advanced_models.loaders.lora import locate_lora

    repository = tmp_path / "hub" / "models--Kijai--WanVideo_comfy"
    name = "Wan21_CausVid_bidirect2_T2V_1_3B_lora_rank32.safetensors"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40)
    save(
        repository / "snapshots" / ("a" * 40), name, make_lora(wan_models_folder / "diffusers" / "Wan2.1-T2V-1.3B" / "transformer", LAYERS)
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    handle = with_loras(parts_of("Wan2.1-T2V-1.3B")["transformer"], ("CausVid", 1.0))
    place = locate_lora(handle.transformer.loras[0])
    assert place.path.is_relative_to(tmp_path / "hub")
    assert place.label == f"the hub cache's Kijai/WanVideo_comfy/{name}"


def test_a_registry_lora_of_another_model(wan_host: StandaloneHost) -> None:
    assert "There is no LoRA 'Lightning 4 steps' for FLUX.1 [dev]: none is known for it." in refusal(transformer(), "Lightning 4 steps")
    said = refusal(parts_of("Wan2.1-T2V-14B")["transformer"], "Lightning 4 steps")
    assert "it has lightx2v 4 steps, CausVid" in said


def test_two_that_bring_their_steps(wan_host: StandaloneHost, tmp_path: Path) -> None:
    folder = loras_folder(wan_host, tmp_path)
    for lora in load_registry().model("Wan2.1-T2V-14B").loras:
        save(folder, Path(lora.files["transformer"]).name, {"x": torch.ones(1)})
    handle = with_loras(parts_of("Wan2.1-T2V-14B")["transformer"], ("CausVid", 1.0))
    assert "each bring their own number of steps: use one of them" in refusal(handle, "lightx2v 4 steps")


def test_low_noise_files(wan_host: StandaloneHost, tmp_path: Path) -> None:
    folder = loras_folder(wan_host, tmp_path)
    save(folder, "low.safetensors", {"x": torch.ones(1)})
    for name in load_registry().model("Wan2.2-T2V-A14B").loras[0].files.values():
        save(folder, Path(name).name, {"x": torch.ones(1)})
    one, two = (parts_of(model)["transformer"] for model in ("Wan2.1-T2V-1.3B", "Wan2.2-T2V-A14B"))
    assert "Wan 2.1 T2V 1.3B has no low-noise expert" in refusal(one, "none", low_noise_lora="low.safetensors")
    assert "brings a file for the low-noise expert itself" in refusal(two, "lightx2v 4 steps", low_noise_lora="low.safetensors")


def test_a_part_that_takes_no_lora(use_host: StandaloneHost, loras: Path, style: Tensors) -> None:
    save(loras, "style.safetensors", style)
    vae = NODE_CLASS_MAPPINGS["FluxLoader"]().select("FLUX.1-dev")[3]
    assert "takes no LoRA" in refusal(vae, "style.safetensors")
    assert "connect FluxLoader" in refusal("model", "style.safetensors")


def test_the_output_of_another_architecture_is_refused_where_it_is_used(wan_host: StandaloneHost) -> None:
    """The node's output goes into every transformer socket, so the samplers look at what came."""
    wan = parts_of("Wan2.1-T2V-1.3B")["transformer"]
    size = {"width": 64, "height": 64, "seed": 0}
    calls = {
        "a FLUX_TRANSFORMER belongs": lambda: NODE_CLASS_MAPPINGS["FluxDenoise"]().denoise(
            wan, [[torch.ones(1, 1, 1), {"pooled_output": torch.ones(1, 1)}]], **size
        ),
        "a WAN_TRANSFORMER belongs": lambda: NODE_CLASS_MAPPINGS["WanDenoise"]().denoise(
            transformer(), [[torch.ones(1, 1, 1), {}]], [[torch.ones(1, 1, 1), {}]], **size, frames=5
        ),
        "a QWEN_IMAGE_TRANSFORMER belongs": lambda: NODE_CLASS_MAPPINGS["QwenImageDenoise"]().denoise(
            wan, [[torch.ones(1, 1, 1), {}]], **size
        ),
    }
    for said, call in calls.items():
        with pytest.raises(UserError, match=said):
            call()


@pytest.mark.parametrize(("target", "accepted"), [("transformer", True), ("vae", False)])
def test_a_graph_accepts_it_in_transformer_sockets_alone(use_host: StandaloneHost, target: str, accepted: bool) -> None:
    from advanced_models.workflows.values import types_match

    loader, sampler, decoder = (NODE_CLASS_MAPPINGS[name] for name in ("LoRALoader", "FluxDenoise", "FluxDecode"))
    (output,) = loader.RETURN_TYPES
    declared = {**sampler.INPUT_TYPES()["required"], **decoder.INPUT_TYPES()["required"]}[target][0]
    assert types_match(output, declared) is accepted
    assert types_match(output, loader.INPUT_TYPES()["required"]["transformer"][0])
