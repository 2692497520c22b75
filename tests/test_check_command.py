"""`advanced-models check` and `advanced-models estimate`: what they print, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from advanced_models.cli import main
from advanced_models.cli.check import known_definitions
from advanced_models.memory.estimate import estimate
from advanced_models.memory.estimate_values import Workload
from advanced_models.memory.expressions import compute
from advanced_models.memory.plan_values import Machine
from advanced_models.memory.preflight import preflight
from advanced_models.memory.preflight_files import identify
from advanced_models.workflows.document import read_workflow

EXAMPLES = Path(__file__).parents[1] / "example_workflows"
FLUX = EXAMPLES / "flux_text_to_image.json"
WAN_5B = EXAMPLES / "wan_5b_image_to_video.json"


def checked(capsys: pytest.CaptureFixture[str], path: Path, vram: int, ram: int = 64) -> tuple[int, dict[str, Any]]:
    code = main(["check", str(path), "--vram", str(vram), "--ram", str(ram), "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("path", "vram", "code"), [(FLUX, 48, 0), (FLUX, 8, 3), (FLUX, 2, 4), (WAN_5B, 24, 3), (WAN_5B, 80, 0)])
def test_exit_codes(capsys: pytest.CaptureFixture[str], path: Path, vram: int, code: int) -> None:
    assert checked(capsys, path, vram)[0] == code


def test_a_bad_file_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    assert main(["check", str(bad)]) == 2
    assert main(["check", str(tmp_path / "missing.json")]) == 2
    assert "missing.json" in capsys.readouterr().err


def test_what_the_answer_holds(capsys: pytest.CaptureFixture[str]) -> None:
    _, answer = checked(capsys, FLUX, 12)
    assert answer["understood"] == "whole"
    assert [model["id"] for model in answer["models"]] == ["FLUX.1-schnell"]
    assert answer["models"][0]["licence"] == "Apache-2.0"
    assert answer["models"][0]["gated"] == "yes"
    assert answer["download_bytes"] == pytest.approx(33.7e9, rel=0.01)
    assert set(answer["cards"]) == {"8", "12", "16", "24"}
    stages = {(stage["stage"], stage["part"]): stage["device"] / 2**30 for stage in answer["as_it_is"]["stages"]}
    assert stages["denoise", "transformer"] == pytest.approx(22.15 + 0.56 + 0.55, rel=0.01)


def test_wan_5b_encodes_its_start_image_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """As WanImageToVideoPipeline with `expand_timesteps`; the example then fits 12 GB."""
    code, answer = checked(capsys, WAN_5B, 12, ram=48)
    (encode,) = (stage for stage in answer["as_it_is"]["stages"] if (stage["stage"], stage["part"]) == ("encode", "vae"))
    picture = Workload(1280, 704)
    assert encode["activations"] == estimate("wan2.2-vae", "encode", picture, precision="fp32").minimum_activations
    assert code == 3


def test_a_person_can_read_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(WAN_5B), "--vram", "24", "--ram", "64"]) == 3
    text = capsys.readouterr().out
    for words in ("1280x704, 121 frames", "Wan 2.2 TI2V 5B", "fits with this plan", "in tiles", "umt5-xxl-encoder", "8 GB:"):
        assert words in text
    assert max(map(len, text.splitlines())) < 130


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_every_example_is_understood(path: Path) -> None:
    flight = preflight(read_workflow(path).prompt(known_definitions()))
    assert flight.parts
    assert not flight.facts.unknown
    assert flight.judge(Machine.of(96, 128)).verdict in ("fits", "fits_with_plan")


def native(tmp_path: Path, *, width: int = 832, frames: int = 81) -> Path:
    """Wan 2.2 A14B the native way, in the page's form without names for widget values."""

    def node(number: int, kind: str, values: list[Any], inputs: dict[str, int], outputs: list[str]) -> dict[str, Any]:
        return {
            "id": number,
            "type": kind,
            "mode": 0,
            "inputs": [{"name": name, "type": "*", "link": link} for name, link in inputs.items()],
            "outputs": [{"name": name, "type": name} for name in outputs],
            "widgets_values": values,
        }

    nodes = [
        node(1, "UNETLoader", ["wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors", "default"], {}, ["MODEL"]),
        node(2, "UNETLoader", ["wan/wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors", "default"], {}, ["MODEL"]),
        node(3, "CLIPLoader", ["umt5_xxl_fp8_e4m3fn_scaled.safetensors", "wan", "default"], {}, ["CLIP"]),
        node(4, "VAELoader", ["wan_2.1_vae.safetensors"], {}, ["VAE"]),
        node(5, "EmptyHunyuanLatentVideo", [width, 480, frames, 1], {}, ["LATENT"]),
        node(
            6,
            "KSamplerAdvanced",
            ["enable", 1, "fixed", 20, 3.5, "euler", "simple", 0, 10, "enable"],
            {"model": 1, "latent_image": 2},
            ["LATENT"],
        ),
        node(
            7,
            "KSamplerAdvanced",
            ["disable", 1, "fixed", 20, 3.5, "euler", "simple", 10, 99, "disable"],
            {"model": 3, "latent_image": 4},
            ["LATENT"],
        ),
        node(8, "VAEDecode", [], {"samples": 5, "vae": 6}, ["IMAGE"]),
    ]
    links = [[1, 1, 0, 6, 0, "MODEL"], [2, 5, 0, 6, 1, "LATENT"], [3, 2, 0, 7, 0, "MODEL"], [4, 6, 0, 7, 1, "LATENT"]]
    links += [[5, 7, 0, 8, 0, "LATENT"], [6, 4, 0, 8, 1, "VAE"]]
    path = tmp_path / "native.json"
    path.write_text(json.dumps({"nodes": nodes, "links": links, "version": 0.4}))
    return path


def test_native_loaders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer = checked(capsys, native(tmp_path), 24)
    assert code == 0
    assert answer["understood"] == "whole"
    sizes = {file["name"]: file["bytes"] / 1e9 for file in answer["files"]}
    # fp8 files: a byte a weight
    assert sizes["wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors"] == pytest.approx(14.29, abs=0.01)
    assert {model["id"] for model in answer["models"]} == {"Wan2.2-T2V-A14B"}
    denoise = [stage for stage in answer["as_it_is"]["stages"] if stage["stage"] == "denoise"]
    assert len(denoise) == 2
    assert denoise[0]["weights"] / 2**30 == pytest.approx(13.3, rel=0.02)
    # Eight GB: ComfyUI streams what does not fit, but the activations of 81 frames stay.
    assert checked(capsys, native(tmp_path, width=1280), 6)[0] == 4


def test_a_picked_text_encoder_takes_the_place_of_the_loaders(tmp_path: Path) -> None:
    prompt = read_workflow(FLUX).prompt(known_definitions()).to_api()
    encode = next(node for node in prompt.values() if node["class_type"] == "FluxPromptEncode")
    prompt["90"] = {"class_type": "TextEncoderPicker", "inputs": {"role": "FLUX.1: T5-XXL", "encoder": "auto", "device": "cpu"}}
    encode["inputs"]["t5_xxl"] = ["90", 0]
    path = tmp_path / "picked.json"
    path.write_text(json.dumps(prompt))
    flight = preflight(read_workflow(path).prompt(known_definitions()))
    encoders = [part for part in flight.parts if part.component == "t5-xxl-encoder"]
    assert [part.on_cpu for part in encoders] == [True]


def test_unknown_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = {"1": {"class_type": "UNETLoader", "inputs": {"unet_name": "my_own_mix_v7.safetensors", "weight_dtype": "default"}}}
    path = tmp_path / "own.json"
    path.write_text(json.dumps(graph))
    code, answer = checked(capsys, path, 8)
    assert (code, answer["verdict"], answer["unknown_files"]) == (0, "unknown", ["my_own_mix_v7.safetensors"])


@pytest.mark.parametrize(
    ("name", "folder", "component", "size"),
    [
        ("flux1-dev.safetensors", "diffusion_models", "flux1-dev-transformer", 2.0),
        ("FLUX1/flux1-dev-kontext_fp8_scaled.safetensors", "diffusion_models", "flux1-kontext-dev-transformer", 1.0),
        ("flux1-dev-Q4_K_S.gguf", "diffusion_models", "flux1-dev-transformer", 0.5625),
        ("Wan2_1-I2V-14B-480p_fp8_e4m3fn_scaled_KJ.safetensors", "diffusion_models", "wan2.1-i2v-14b-480p-transformer", 1.015),
        ("qwen_image_edit_2511_bf16.safetensors", "diffusion_models", "qwen-image-edit-2511-transformer", 2.0),
        ("qwen_image_fp8_e4m3fn.safetensors", "diffusion_models", "qwen-image-transformer", 1.0),
        ("t5xxl_fp16.safetensors", "text_encoders", "t5-xxl-encoder", 2.055),
        ("umt5_xxl_fp8_e4m3fn_scaled.safetensors", "text_encoders", "umt5-xxl-encoder", 1.185),
        ("qwen_2.5_vl_7b_fp8_scaled.safetensors", "text_encoders", "qwen2.5-vl-7b", 1.13),
        ("t5-v1_1-xxl-encoder-Q8_0.gguf", "text_encoders", "t5-xxl-encoder", 1.0625),
        ("Qwen2.5-VL-7B-Instruct-UD-Q4_K_XL.gguf", "text_encoders", "qwen2.5-vl-7b", 0.5625),
        ("qwen-image-Q2_K.gguf", "diffusion_models", "qwen-image-transformer", 84 / 256),
        ("Qwen_Image_Edit-Q3_K_S.gguf", "diffusion_models", "qwen-image-edit-transformer", 110 / 256),
        ("ae.safetensors", "vae", "flux1-vae", 4.0),
        ("wan_2.1_vae.safetensors", "vae", "wan2.1-vae", 2.0),
        ("clip_vision_h.safetensors", "clip_vision", "clip-vit-h-image-encoder", 2.0),
    ],
)
def test_files_by_name(name: str, folder: str, component: str, size: float) -> None:
    known = identify(name, folder)
    assert known is not None
    assert known.components[0][1] == component
    assert known.bytes_per_weight == pytest.approx(size, rel=0.005)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("wan2.1_fun_control_1.3B_bf16.safetensors", "diffusion_models"),
        ("t5-base.safetensors", "text_encoders"),
        ("minimax_h3_video_vae_fp16.safetensors", "vae"),
        ("flux2-vae_small.safetensors", "vae"),
        ("wan_alpha_2.1_vae_rgb_channel.safetensors", "vae"),
    ],
)
def test_lookalikes_are_not_taken_for_what_they_are_not(name: str, folder: str) -> None:
    assert identify(name, folder) is None


def estimated(capsys: pytest.CaptureFixture[str], tmp_path: Path, cases: Any) -> tuple[int, Any]:
    path = tmp_path / "cases.json"
    path.write_text(json.dumps(cases))
    code = main(["estimate", str(path), "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if code == 0 else captured.err


def test_estimates_of_cases(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cases = [
        {"component": "flux1-dev-transformer", "width": 1024, "height": 1024},
        {"class": "WanTransformer3DModel", "config": {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30}}
        | {"width": 832, "height": 480, "frames": 81},
        {"component": "t5-xxl-encoder", "precision": "nf4", "libraries": {"transformers": "4.57"}},
        {"component": "flux1-vae", "stage": "decode", "placement": "resident", "tile": 512},
    ]
    code, results = estimated(capsys, tmp_path, cases)
    assert code == 0
    assert results[0]["weight_bytes"] == 2 * 11_901_408_320
    assert results[0]["allocated_peak_bytes"] / 2**30 == pytest.approx(22.625, rel=0.002)
    assert results[0]["stage"] == "denoise"
    # Wan 1.3B by its class: as the registry's component, 1.493 GiB of activations simulated elsewhere
    activations = next(term for term in results[1]["terms"] if term["name"] == "activations")
    assert activations["expected"] / 2**30 == pytest.approx(1.493, rel=0.01)
    assert results[1]["weight_bytes"] == pytest.approx(2.65 * 2**30, rel=0.002)
    assert results[2]["weight_bytes"] / 2**30 == pytest.approx(4.019 + 2 * 24 * 4096 * 10240 / 2**30, rel=0.001)
    for result in results:
        terms = sum(term["expected"] for term in result["terms"] if term["name"] != "reserve")
        assert terms == result["allocated_peak_bytes"] <= result["reserved_peak_bytes"]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ({"component": "flux9"}, "no component"),
        ({"component": "flux1-vae", "widht": 3}, "no key 'widht'"),
        ({"component": "flux1-vae", "width": -3}, "whole number"),
        ({"component": "flux1-vae", "precision": "int3"}, "no precision 'int3'"),
        ({"component": "flux1-vae", "libraries": {"torch": "new"}}, "no version of torch"),
        ({"class": "NoSuchModel"}, "no class NoSuchModel"),
        ({}, "component"),
    ],
)
def test_bad_cases_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, case: dict[str, Any], words: str) -> None:
    code, message = estimated(capsys, tmp_path, [{"component": "flux1-vae"}, case])
    assert code == 2
    assert message.startswith("Case 2: ")
    assert words in message


def test_files_come_with_their_published_bytes_and_terms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes as the notes of ComfyUI's templates state them (6.27 and 13.31 GiB); copies of Comfy-Org's need no login."""
    _, answer = checked(capsys, native(tmp_path), 24)
    files = {file["file"]: file for file in answer["components"]}
    assert files["umt5_xxl_fp8_e4m3fn_scaled.safetensors"]["bytes"] == pytest.approx(6.27 * 2**30, rel=1e-3)
    assert files["wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors"]["bytes"] == pytest.approx(13.31 * 2**30, rel=1e-3)
    assert {file["licence"] for file in files.values()} == {"Apache-2.0"}
    assert {file["gated"] for file in files.values()} == {"no"}


@pytest.mark.parametrize(
    ("text", "values", "result"),
    [
        ("floor(a * b) + 1", {"a": 5.0, "b": 16}, 81),
        ("max(4, (int(a) // 16) * 16)", {"a": 727.5}, 720),
        ("a & ~1", {"a": 15}, 14),
        ("min(a * 16 + 1, 81)", {"a": 9}, 81),
        ("a / b", {"a": 1, "b": 0}, None),
        ("a.__class__", {"a": 1}, None),
        ("a ** 9 ** 9", {"a": 9}, None),
        ("unknown + 1", {}, None),
        ("open('x')", {}, None),
    ],
)
def test_arithmetic_between_nodes(text: str, values: dict[str, float], result: float | None) -> None:
    assert compute(text, values) == result


def test_frames_that_another_node_decides_are_the_models_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = native(tmp_path)
    page = json.loads(path.read_text())
    latent = next(node for node in page["nodes"] if node["type"] == "EmptyHunyuanLatentVideo")
    latent["inputs"].append({"name": "length", "type": "INT", "link": 99, "widget": {"name": "length"}})
    page["nodes"].append(
        {"id": 99, "type": "GetVideoComponents", "mode": 0, "inputs": [], "outputs": [{"name": "n", "type": "INT", "links": [99]}]}
    )
    page["links"].append([99, 99, 0, latent["id"], len(latent["inputs"]) - 1, "INT"])
    path.write_text(json.dumps(page))
    _, answer = checked(capsys, path, 24)
    assert "The number of frames is decided by another node: taken as 81." in answer["notes"]
