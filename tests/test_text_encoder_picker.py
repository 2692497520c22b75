"""TextEncoderPicker: typed by what is picked, shared with the loaders, and no mix-up reaches the weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models.errors import UserError
from advanced_models.host.standalone import StandaloneHost
from advanced_models.loaders.registry import load_registry
from advanced_models.loaders.store import STORE, Store
from advanced_models.nodes import NODE_CLASS_MAPPINGS
from advanced_models.nodes.flux import FluxLoader, FluxPromptEncode
from advanced_models.nodes.qwen_image import QwenImageLoader, QwenImagePromptEncode
from advanced_models.nodes.text_encoders import ANY_ENCODER, ROLES, TextEncoderPicker, encoders_of
from advanced_models.pipelines import flux, qwen_image_prompt
from qwen_models import qwen_folder, qwen_host

__all__ = ["qwen_folder", "qwen_host"]

T5, CLIP, UMT5, QWEN = "FLUX.1: T5-XXL", "FLUX.1: CLIP-L", "Wan: UMT5-XXL", "Qwen-Image: Qwen2.5-VL"


def pick(role: str, **settings: Any) -> Any:
    return TextEncoderPicker().select(role, **settings)[0]


def refusal_of(call: Any) -> str:
    loads = STORE.loads
    with pytest.raises(UserError) as refused:
        call()
    assert STORE.loads == loads
    return str(refused.value)


def test_every_role_names_encoders_of_its_socket() -> None:
    # By hand, from the model cards.
    expected = {
        T5: ["t5-xxl-encoder"],
        CLIP: ["clip-l-encoder"],
        UMT5: ["umt5-xxl-encoder"],
        QWEN: ["qwen2.5-vl-7b"],
        "FLUX.2: Mistral 3": ["mistral-small-3.2-24b"],
        "FLUX.2: Qwen3": ["qwen3-4b", "qwen3-8b"],
        "Z-Image: Qwen3": ["qwen3-4b"],
    }
    assert {role: encoders_of(role) for role in expected} == expected
    assert encoders_of("SDXL: CLIP-L")[0] == "sd-clip-l-encoder"
    assert encoders_of("SDXL: CLIP-G")[0] == "sdxl-clip-g-encoder"
    for role, (_, socket) in ROLES.items():
        assert pick(role).entry.socket == socket
        assert pick(role, device="cpu", precision="fp32").device == "cpu"


def test_the_output_goes_into_encoder_sockets_alone() -> None:
    """ComfyUI compares types as sets of names with commas between them (comfy_execution/validation.py)."""
    wanted = {socket for _, socket in ROLES.values()}
    assert set(ANY_ENCODER.split(",")) == wanted
    assert TextEncoderPicker.RETURN_TYPES == (ANY_ENCODER,)
    sockets = {name for entry in load_registry().components.values() if entry.parameters for name in [entry.socket]}
    assert wanted < sockets
    assert not wanted & {"FLUX_TRANSFORMER", "FLUX_VAE", "WAN_VAE", "TOKENIZER", "MODEL", "CLIP", "VAE"}


def test_picked_encoders_are_the_loaders_own(use_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    monkeypatch.setattr(flux, "STORE", store)
    monkeypatch.setenv("ADVANCED_MODELS_PROMPT_CACHE_MB", "0")
    # A card's kernels give other bits than the CPU's, to which one encoder is sent here.
    monkeypatch.setattr(StandaloneHost, "device", lambda _: torch.device("cpu"))
    _, clip_l, t5_xxl, _, _ = FluxLoader().select("FLUX.1-dev")
    with torch.inference_mode():
        [[loaded, pooled]] = FluxPromptEncode().encode(clip_l, t5_xxl, "a fox")[0]
        assert store.loads == 2
        [[picked, same]] = FluxPromptEncode().encode(pick(CLIP), pick(T5), "a fox")[0]
        assert store.loads == 2
        [[on_cpu, _]] = FluxPromptEncode().encode(clip_l, pick(T5, device="cpu"), "a fox")[0]
        assert store.loads == 3  # the same files, held for another device
        [[fine, _]] = FluxPromptEncode().encode(clip_l, pick(T5, precision="fp32"), "a fox")[0]
    assert torch.equal(loaded, picked)
    assert torch.equal(loaded, on_cpu)
    assert torch.equal(pooled["pooled_output"], same["pooled_output"])
    assert fine.dtype == torch.float32
    assert not torch.equal(fine, loaded.float())


def test_the_shorter_prompt_of_schnell_holds_with_a_picked_t5(use_host: StandaloneHost) -> None:
    _, clip_l, _, _, _ = FluxLoader().select("FLUX.1-schnell")
    with torch.inference_mode():
        for clip, tokens in ((clip_l, 256), (pick(CLIP), 512)):
            assert FluxPromptEncode().encode(clip, pick(T5), "a fox")[0][0][0].shape[1] == tokens


def test_a_module_on_the_cpu_is_not_moved(use_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch) -> None:
    placed: list[int] = []
    monkeypatch.setattr(StandaloneHost, "place", lambda _, modules, staying: placed.append(len(modules)))
    for device, expected in (("auto", [1]), ("cpu", [])):
        placed.clear()
        with Store().use(pick(T5, device=device)):
            assert placed == expected
    assert Store.device_of(pick(T5, device="cpu")).type == "cpu"


def test_from_the_folder_of_a_model(qwen_host: StandaloneHost, qwen_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    monkeypatch.setattr(qwen_image_prompt, "STORE", store)
    encoder = pick(QWEN, source="Qwen-Image-Edit")
    assert (encoder.model, encoder.role) == ("Qwen-Image-Edit", "text_encoder")
    assert pick(QWEN).model == "Qwen2.5-VL-7B-Instruct"
    assert pick(QWEN, source="Qwen2.5-VL-7B-Instruct").role == "model"
    with torch.inference_mode():
        [[embeds, _]], _ = QwenImagePromptEncode().encode(pick(QWEN), "a fox", template="text to image")
        [[same, _]], _ = QwenImagePromptEncode().encode(QwenImageLoader().select("Qwen-Image")[1], "a fox")
    assert torch.equal(embeds, same)
    assert store.loads == 1
    said = refusal_of(lambda: pick(T5, source="Qwen-Image"))
    assert said == "models/diffusers/Qwen-Image does not hold t5-xxl-encoder: choose another source, or 'auto'."


def test_encoders_of_another_role(use_host: StandaloneHost) -> None:
    said = "umt5-xxl-encoder (UMT5_XXL) cannot encode for the role 'FLUX.1: T5-XXL', which needs t5-xxl-encoder: "
    assert str(TextEncoderPicker.VALIDATE_INPUTS(T5, "umt5-xxl-encoder")).startswith(said)
    assert refusal_of(lambda: pick(T5, encoder="umt5-xxl-encoder")).startswith(said)
    assert "(T5_XXL) cannot encode for the role 'Wan: UMT5-XXL'" in str(TextEncoderPicker.VALIDATE_INPUTS(UMT5, "t5-xxl-encoder"))
    assert "needs qwen3-4b:" in str(TextEncoderPicker.VALIDATE_INPUTS("Z-Image: Qwen3", "qwen3-8b"))
    assert TextEncoderPicker.VALIDATE_INPUTS(T5, "auto") is True
    assert TextEncoderPicker.VALIDATE_INPUTS("FLUX.2: Qwen3", "qwen3-8b") is True
    assert "There is no role" in refusal_of(lambda: pick("FLUX.1: T5"))
    assert "There is no device 'gpu'" in refusal_of(lambda: pick(T5, device="gpu"))


@pytest.mark.parametrize(
    ("node", "call"),
    [
        ("FluxPromptEncode", {"clip_l": CLIP, "t5_xxl": UMT5}),
        ("FluxPromptEncode", {"clip_l": T5, "t5_xxl": T5}),
        ("FluxPromptEncode", {"clip_l": "SDXL: CLIP-G", "t5_xxl": T5}),
        ("FluxPromptEncode", {"clip_l": CLIP, "t5_xxl": "Z-Image: Qwen3"}),
        ("WanPromptEncode", {"umt5_xxl": T5}),
        ("WanPromptEncode", {"umt5_xxl": CLIP}),
        ("QwenImagePromptEncode", {"qwen_vl": "FLUX.2: Qwen3"}),
        ("QwenImagePromptEncode", {"qwen_vl": UMT5}),
    ],
)
def test_mix_ups_end_where_they_are_used(use_host: StandaloneHost, node: str, call: dict[str, str]) -> None:
    encode = NODE_CLASS_MAPPINGS[node]()
    required = encode.INPUT_TYPES()["required"]
    given = {name: pick(role) for name, role in call.items()}
    assert set(given) <= set(required)
    texts = {name: "a fox" for name, (kind, *_) in required.items() if kind == "STRING"}
    said = refusal_of(lambda: getattr(encode, encode.FUNCTION)(**given, **texts))
    assert " is a " in said
    assert said.count(".") <= 6  # a sentence or two; names of models have dots


def test_another_encoders_files_under_the_right_name(use_host: StandaloneHost, models_folder: Path, tmp_path: Path) -> None:
    """A folder whose T5 is a UMT5 in truth."""
    models = tmp_path / "mixed"
    shutil.copytree(models_folder / "diffusers" / "FLUX.1-dev", models / "diffusers" / "FLUX.1-dev")
    config = models / "diffusers" / "FLUX.1-dev" / "text_encoder_2" / "config.json"
    config.write_text(config.read_text().replace("T5EncoderModel", "UMT5EncoderModel"))
    use_host.models = (models,)
    encoder = pick(T5, source="FLUX.1-dev")
    said = refusal_of(lambda: FluxPromptEncode().encode(pick(CLIP), encoder, "a fox"))
    assert "holds a UMT5EncoderModel, not the T5EncoderModel" in said


@pytest.mark.parametrize(("node", "name", "accepted"), [("4", "t5_xxl", True), ("4", "clip_l", True), ("5", "vae", False)])
def test_a_graph_accepts_it_in_encoder_sockets_alone(use_host: StandaloneHost, node: str, name: str, accepted: bool) -> None:
    from advanced_models.workflows.definitions import Definitions
    from advanced_models.workflows.document import read_workflow
    from advanced_models.workflows.native import NATIVE_NODES
    from advanced_models.workflows.validate import validate

    definitions = Definitions({**NATIVE_NODES, **NODE_CLASS_MAPPINGS})
    graph = {
        "1": {"class_type": "FluxLoader", "inputs": {"model": "FLUX.1-dev", "precision": "auto"}},
        "2": {"class_type": "TextEncoderPicker", "inputs": {"role": T5, "encoder": "auto", "precision": "auto", "device": "cpu"}},
        "4": {"class_type": "FluxPromptEncode", "inputs": {"clip_l": ["1", 1], "t5_xxl": ["1", 2], "prompt": "a fox", "guidance": -1}},
        "3": {
            "class_type": "FluxDenoise",
            "inputs": {"transformer": ["1", 0], "conditioning": ["4", 0], "seed": 0, "steps": 1, "denoise": 1.0},
        },
        "5": {"class_type": "FluxDecode", "inputs": {"vae": ["1", 3], "latent": ["3", 0]}},
        "6": {"class_type": "PreviewImage", "inputs": {"images": ["5", 0]}},
    }
    graph["3"]["inputs"] |= {"width": 64, "height": 64, "batch_size": 1}
    graph[node]["inputs"][name] = ["2", 0]
    file = use_host.input_folder / "graph.json"
    file.write_text(json.dumps(graph))
    prompt = read_workflow(file).prompt(definitions)
    if accepted:
        validate(prompt, definitions)
    else:
        with pytest.raises(UserError, match="FLUX_VAE"):
            validate(prompt, definitions)
