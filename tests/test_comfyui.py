"""The pack inside a real ComfyUI: it registers, refuses before running, and every example workflow runs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from advanced_models.demo.build import BUILDERS, build
from comfyui_server import PACK, RefusedError, Server, checkouts, python, running
from PIL import Image
from small_examples import CLIP, EXAMPLES, SIZE, api_form, draw_example
from video_support import needs_ffmpeg, probe

pytestmark = pytest.mark.comfyui
CLIPS = [path for path in EXAMPLES if path.stem.startswith("wan_")]

if not checkouts():
    pytest.skip("no ComfyUI: set COMFYUI_PATH to a checkout", allow_module_level=True)


@pytest.fixture(scope="module")
def all_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every small model."""
    folder = tmp_path_factory.mktemp("all_models")
    for model in BUILDERS:
        build(model, folder / "diffusers" / model)
    return folder


@pytest.fixture(scope="module", params=checkouts(), ids=lambda path: path.name)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, all_models: Path) -> Iterator[Server]:
    with running(request.param, tmp_path_factory.mktemp("comfyui") / "base", all_models) as server:
        draw_example(server.base / "input" / "example.png")
        yield server


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(server: Server, example: Path) -> None:
    entry = server.run(api_form(example), json.loads(example.read_text()))
    assert entry["status"]["status_str"] == "success", entry["status"]
    assert entry["outputs"]


def test_a_picture_carries_its_workflow(server: Server) -> None:
    example = PACK / "example_workflows" / "flux_inpaint.json"
    workflow = json.loads(example.read_text())
    (file,) = server.output_files(server.run(api_form(example), workflow))
    with Image.open(file) as picture:
        assert picture.size == (SIZE, SIZE)
        lowest, highest = picture.convert("L").getextrema()
        assert lowest < highest
        assert json.loads(picture.info["workflow"]) == workflow


@needs_ffmpeg
@pytest.mark.parametrize("example", CLIPS, ids=lambda path: path.stem)
def test_clips_are_what_they_say(server: Server, example: Path) -> None:
    """Frames, rate, colour and sound of each Wan example's file, as ffprobe reads them; ComfyUI's own silence is its sound."""
    prompt = api_form(example)
    (combine,) = (node for node in prompt.values() if node["class_type"] == "VideoCombine")
    rate = combine["inputs"]["frame_rate"]
    prompt["silence"] = {"class_type": "EmptyAudio", "inputs": {"duration": CLIP["frames"] / rate, "sample_rate": 48000, "channels": 2}}
    combine["inputs"]["audio"] = ["silence", 0]
    files = set(server.output_files(server.run(prompt)))
    (file,) = files
    seen = probe(file)
    video, audio = seen["video"], seen["audio"]
    carried = json.loads(seen["tags"]["prompt"])
    assert {key: node["inputs"] for key, node in carried.items()} == {key: node["inputs"] for key, node in prompt.items()}
    assert (video["codec_name"], video["width"], video["height"]) == ("h264", CLIP["width"], CLIP["height"])
    assert int(video["nb_read_frames"]) == CLIP["frames"]
    assert video["avg_frame_rate"] == f"{rate:.0f}/1"
    assert {video[f"color_{name}"] for name in ("space", "primaries", "transfer")} == {"bt709"}
    assert (audio["codec_name"], audio["sample_rate"], audio["channels"]) == ("aac", "48000", 2)
    assert float(audio["duration"]) == pytest.approx(CLIP["frames"] / rate, abs=0.03)


def test_a_video_goes_on_to_native_nodes(server: Server) -> None:
    """VideoCombine's VIDEO is ComfyUI's own type."""
    prompt = api_form(PACK / "example_workflows" / "wan_text_to_video.json")
    (combine,) = (key for key, node in prompt.items() if node["class_type"] == "VideoCombine")
    prompt["native"] = {
        "class_type": "SaveVideo",
        "inputs": {"video": [combine, 0], "filename_prefix": "native", "format": "auto", "codec": "auto"},
    }
    entry = server.run(prompt)
    assert entry["status"]["status_str"] == "success", entry["status"]
    assert any(path.name.startswith("native") for path in server.output_files(entry))


def test_paints_what_the_whole_pipeline_paints(server: Server, all_models: Path, tmp_path: Path) -> None:
    """The saved picture equals FluxPipeline's own, computed by the same interpreter."""
    example = PACK / "example_workflows" / "flux_text_to_image.json"
    prompt = api_form(example)
    (text,) = (node["inputs"]["prompt"] for node in prompt.values() if node["class_type"] == "FluxPromptEncode")
    (seed,) = (node["inputs"]["seed"] for node in prompt.values() if node["class_type"] == "FluxDenoise")
    script = f"""
import sys, torch, diffusers
name = "dtype" if tuple(map(int, diffusers.__version__.split(".")[:2])) >= (0, 42) else "torch_dtype"
pipeline = diffusers.FluxPipeline.from_pretrained(sys.argv[1], **{{name: torch.bfloat16}})
call = dict(width={SIZE}, height={SIZE}, num_inference_steps=4, guidance_scale=0.0, max_sequence_length=256)
with torch.inference_mode():
    image = pipeline({text!r}, generator=torch.Generator().manual_seed({seed}), output_type="pt", **call).images[0]
pixels = (255.0 * image.float().movedim(0, -1)).clamp(0, 255).to(torch.uint8)
from PIL import Image
Image.fromarray(pixels.numpy()).save(sys.argv[2])
"""
    expected = tmp_path / "expected.png"
    folder = all_models / "diffusers" / "FLUX.1-schnell"
    subprocess.run([python(), "-c", script, str(folder), str(expected)], check=True, capture_output=True)
    (file,) = server.output_files(server.run(prompt))
    with Image.open(file) as picture, Image.open(expected) as reference:
        assert picture.tobytes() == reference.tobytes()


def test_an_unchanged_prompt_is_not_encoded_again(server: Server) -> None:
    prompt = api_form(PACK / "example_workflows" / "flux_text_to_image.json")
    (denoise,) = (node for node in prompt.values() if node["class_type"] == "FluxDenoise")
    denoise["inputs"]["seed"] = 1001
    server.run(prompt)
    denoise["inputs"]["seed"] = 1002
    messages = dict(server.run(prompt)["status"]["messages"])
    cached = {prompt[node]["class_type"] for node in messages["execution_cached"]["nodes"]}
    assert cached == {"FluxLoader", "FluxPromptEncode"}


def test_models_can_be_unloaded_and_come_back(server: Server) -> None:
    prompt = api_form(PACK / "example_workflows" / "flux_text_to_image.json")
    first = server.output_files(server.run(prompt))[0].read_bytes()
    server.ask("/free", {"unload_models": True, "free_memory": True})
    again = server.output_files(server.run(prompt))[0].read_bytes()
    assert again == first


def test_wrong_sizes_are_refused_before_anything_runs(server: Server) -> None:
    prompt = api_form(PACK / "example_workflows" / "flux_text_to_image.json")
    (node_id,) = (key for key, node in prompt.items() if node["class_type"] == "FluxDenoise")
    prompt[node_id]["inputs"]["width"] = 1000
    with pytest.raises(RefusedError) as refused:
        server.run(prompt)
    details = [error["details"] for error in refused.value.errors[node_id]["errors"]]
    assert "width - The width 1000 is not a multiple of 16, which FLUX needs: use 992 or 1008." in details


def test_the_page_gets_inputs_tooltips_and_menus(server: Server) -> None:
    info = server.ask("/object_info/FluxLoader")["FluxLoader"]
    assert info["category"] == "Advanced Models/FLUX"
    assert {"FLUX.1-schnell", "FLUX.1-dev"} <= set(info["input"]["required"]["model"][0])
    assert {"auto", "FLUX.1-dev", "FLUX.1-schnell"} <= set(info["input"]["optional"]["source"][0])
    assert info["output"] == ["FLUX_TRANSFORMER", "CLIP_L", "T5_XXL", "FLUX_VAE", "SCHEDULER"]


def test_the_page_loads_our_script_once(server: Server) -> None:
    scripts = [path for path in server.ask("/extensions") if path.endswith("/advanced_models.js")]
    assert scripts == ["/extensions/ComfyUI-AdvancedModels/advanced_models.js"]
