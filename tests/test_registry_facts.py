"""What registry.yaml says, against figures from elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from advanced_models.cli import main
from advanced_models.loaders.registry import REGISTRY_FILE, Registry, load_registry, read_registry
from advanced_models.loaders.schema import ComponentEntry

CONFIGS = REGISTRY_FILE.parent / "loaders" / "configs"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return read_registry(REGISTRY_FILE)


# Parameter counts: safetensors metadata and index files of the published repositories (FLUX.1-dev: total_size 23 802 816 640 bytes of
# bf16), the diffusers benchmark dataset (FLUX 11 901.41 M, SDXL 2 567.46 M), and published file sizes at two bytes a parameter.
PARAMETERS = {
    "flux1-dev-transformer": 11_901_408_320,
    "flux1-schnell-transformer": 11_891_178_560,
    "flux1-fill-dev-transformer": 11_902_391_360,
    "flux1-depth-dev-transformer": 11_901_604_928,
    "flux1-vae": 83_819_683,
    "clip-l-encoder": 123_060_480,
    "t5-xxl-encoder": 4_762_310_656,
    "flux2-dev-transformer": 32_223_281_152,
    "flux2-klein-4b-transformer": 3_875_544_576,
    "flux2-klein-9b-transformer": 9_078_581_248,
    "flux2-vae": 84_046_115,
    "flux3-klein-transformer": 5_548_681_984,
    "flux3-klein-base-transformer": 5_538_458_368,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "wan2.1-t2v-1.3b-transformer": 1_418_996_800,
    "wan2.1-t2v-14b-transformer": 14_288_491_584,
    "wan2.1-i2v-14b-480p-transformer": 16_394_878_784,
    "wan2.1-flf2v-14b-720p-transformer": 16_395_536_704,
    "wan2.1-vace-1.3b-transformer": 2_153_972_032,
    "wan2.1-vace-14b-transformer": 17_337_592_896,
    "wan2.2-t2v-a14b-high-noise-transformer": 14_288_491_584,
    "wan2.2-i2v-a14b-low-noise-transformer": 14_288_901_184,
    "wan2.2-ti2v-5b-transformer": 4_999_787_712,
    "wan2.2-animate-14b-transformer": 17_274_816_884,
    "wan-animate-2-14b-transformer": 16_394_878_784,
    "wan2.1-vae": 126_892_531,
    "wan2.2-vae": 704_688_668,
    "umt5-xxl-encoder": 5_680_910_336,
    "clip-vit-h-image-encoder": 630_766_080,
    "qwen-image-transformer": 20_430_401_088,
    "qwen-image-vae": 126_892_531,
    "qwen-image-2.1-transformer": 7_115_124_736,
    "qwen-image-2.1-vae": 337_740_404,
    "qwen2.5-vl-3b": 3_754_622_976,
    "qwen2.5-vl-7b": 8_292_166_656,
    "qwen2.5-vl-32b": 33_452_718_336,
    "qwen2.5-vl-72b": 73_410_777_344,
    "qwen3-vl-2b": 2_127_532_032,
    "qwen3-vl-4b": 4_437_815_808,
    "qwen3-vl-8b": 8_767_123_696,
    "qwen3-vl-32b": 33_357_390_064,
    "z-image-transformer": 6_154_908_736,
    "krea-2-raw-transformer": 12_820_073_036,
    "sd15-unet": 859_520_964,
    "sdxl-unet": 2_567_463_684,
    "sdxl-clip-g-encoder": 694_659_840,
    "sdxl-vae": 83_653_863,
}

# What a download of the repository's diffusers folders brings, in GB: repository sizes read from the hub by other catalogues.
REPOSITORY_GB = {
    "FLUX.1-schnell": 33.7,
    "FLUX.1-dev": 33.7,
    "FLUX.1-Krea-dev": 33.7,
    "FLUX.1-Kontext-dev": 33.7,
    "FLUX.2-dev": 112.8,
    "FLUX.2-klein-4B": 15.97,
    "FLUX.2-klein-9B": 34.7,
    "Wan2.1-T2V-1.3B": 28.9,
    "Wan2.1-T2V-14B": 80.4,
    "Wan2.2-T2V-A14B": 126.2,
    "Wan2.2-I2V-A14B": 126.2,
    "Wan2.2-TI2V-5B": 34.2,
    "Wan2.2-Animate-14B": 82.3,
    "Wan2.2-VACE-Fun-A14B": 81.0,
    "Z-Image-Turbo": 32.8,
    "Z-Image": 20.5,
    "Qwen-Image": 57.7,
    "Qwen-Image-2512": 57.7,
    "Qwen-Image-Edit": 57.7,
    "Qwen-Image-Edit-2509": 57.7,
    "Qwen-Image-Edit-2511": 57.7,
    "Qwen-Image-Layered": 57.7,
    "Qwen-Image-2.1": 32.4,
    "sdxl-turbo": 6.94,
    "stable-diffusion-xl-base-1.0": 6.94,
    "Illustrious-xl-early-release-v0": 6.94,
}


@pytest.mark.parametrize("component", PARAMETERS)
def test_parameters_equal_the_published_counts(registry: Registry, component: str) -> None:
    assert registry.component(component).parameters == PARAMETERS[component]


@pytest.mark.parametrize("model", REPOSITORY_GB)
def test_downloads_equal_the_published_sizes(registry: Registry, model: str) -> None:
    assert registry.model(model).download_bytes / 1e9 == pytest.approx(REPOSITORY_GB[model], rel=0.005)


def test_published_files_have_the_size_that_follows(registry: Registry) -> None:
    # ae.safetensors 335 MB fp32; Wan_2.1_VAE 508 MB fp32; clip_l 246 MB; umt5 bf16 11.4 GB, fp32 22.7 GB
    assert registry.component("wan2.1-vae").download_bytes == pytest.approx(508e6, rel=0.002)
    assert registry.component("clip-l-encoder").download_bytes == pytest.approx(246e6, rel=0.002)
    umt5 = registry.component("umt5-xxl-encoder")
    assert umt5.download_bytes == pytest.approx(11.36e9, rel=0.001)
    assert umt5.bytes_at(umt5.location_in("Wan-AI/Wan2.1-T2V-14B-Diffusers")) == pytest.approx(22.72e9, rel=0.001)


def test_the_models_that_are_asked_for_are_there(registry: Registry) -> None:
    names = [
        "FLUX.1-schnell",
        "FLUX.1-dev",
        "FLUX.1-Krea-dev",
        "FLUX.1-Kontext-dev",
        "FLUX.1-Fill-dev",
        "FLUX.1-pro",
        "FLUX.2-dev",
        "FLUX.2-klein-4B",
        "FLUX.2-klein-base-4B",
        "FLUX.2-klein-9B",
        "Wan2.1-T2V-1.3B",
        "Wan2.1-T2V-14B",
        "Wan2.1-I2V-14B-480P",
        "Wan2.1-I2V-14B-720P",
        "Wan2.1-FLF2V-14B-720P",
        "Wan2.2-T2V-A14B",
        "Wan2.2-I2V-A14B",
        "Wan2.2-TI2V-5B",
        "Qwen-Image",
        "Qwen-Image-2512",
        "Qwen-Image-Edit",
        "Qwen-Image-Edit-2509",
        "Qwen-Image-Edit-2511",
        "Qwen-Image-Layered",
        "Qwen2.5-VL-3B-Instruct",
        "Qwen2.5-VL-7B-Instruct",
        "Qwen2.5-VL-32B-Instruct",
        "Qwen2.5-VL-72B-Instruct",
        "Qwen3-VL-2B-Instruct",
        "Qwen3-VL-4B-Instruct",
        "Qwen3-VL-8B-Instruct",
        "Qwen3-VL-32B-Instruct",
        "Z-Image",
        "Z-Image-Turbo",
        "stable-diffusion-v1-5",
        "stable-diffusion-xl-base-1.0",
        "sdxl-turbo",
        "Pony_Diffusion_V6_XL",
        "Illustrious-xl-early-release-v0",
    ]
    assert [name for name in names if name not in registry.models] == []


def test_shared_components_are_one_entry(registry: Registry) -> None:
    assert registry.model("Qwen-Image").components["text_encoder"] == "qwen2.5-vl-7b"
    assert registry.model("Qwen2.5-VL-7B-Instruct").components["model"] == "qwen2.5-vl-7b"
    assert registry.model("Z-Image").components["vae"] == registry.model("FLUX.1-dev").components["vae"]
    assert registry.model("Z-Image").components["text_encoder"] == registry.model("FLUX.2-klein-4B").components["text_encoder"]
    wan = registry.models_of("wan")
    assert {model.components["text_encoder"] for model in wan} == {"umt5-xxl-encoder"}
    assert {m.id for m in wan if m.components["vae"] != "wan2.1-vae"} == {"Wan2.2-TI2V-5B"}


def test_every_open_model_has_what_it_needs(registry: Registry) -> None:
    for model in registry.models.values():
        assert model.generation_time or model.availability != "open" or model.id == "FLUX.1-Redux-dev", model.id
        assert model.features, model.id
        if model.availability == "open" and model.architecture != "qwen_vl" and "image_variation" not in model.pipelines:
            assert "vae" in model.components, model.id
            assert "scheduler" in model.components or model.modular_only, model.id
            assert model.defaults.steps and model.defaults.width and model.defaults.size_multiple, model.id
        if any("video" in task or task == "first_last_frame" for task in model.tasks):
            assert model.defaults.frame_rule == "4k+1" and model.defaults.fps, model.id
        if model.licence.commercial == "no":
            assert any("commercial" in warning.text for warning in model.warnings), model.id
        if model.download_bytes > 100e9:
            assert model.warnings[0].level == "danger", model.id


def test_defaults_that_are_known(registry: Registry) -> None:
    schnell, dev = registry.model("FLUX.1-schnell"), registry.model("FLUX.1-dev")
    assert (schnell.defaults.steps, schnell.defaults.guidance, schnell.defaults.max_sequence_length) == (4, 0, 256)
    assert (dev.defaults.steps, dev.defaults.guidance, dev.defaults.max_sequence_length) == (28, 3.5, 512)
    assert dev.supports_guidance and not schnell.supports_guidance
    assert registry.model("Wan2.2-T2V-A14B").defaults.boundary_ratio == 0.875
    five_b = registry.model("Wan2.2-TI2V-5B").defaults
    assert (five_b.frames, five_b.fps, five_b.size_multiple) == (121, 24, 32)


def test_known_mistakes_of_other_lists_are_not_repeated(registry: Registry) -> None:
    text = REGISTRY_FILE.read_text(encoding="utf-8")
    for wrong in ("text_to_video_wan", "wangkanai", "Wan2.2-T2V-14B", "Qwen2VLForConditionalGeneration", "runwayml"):
        assert wrong not in text
    for model in registry.models_of("wan"):
        assert {"text_encoder_2", "tokenizer_2"}.isdisjoint(model.components), "Wan has one text encoder"
        wan_22_with_clip = model.id.startswith("Wan2.2") and "Animate" not in model.id and "image_encoder" in model.components
        assert not wan_22_with_clip, "Wan 2.2 has no image encoder"
    for model in registry.models_of("qwen_vl"):
        assert model.tasks == ["chat"], "a model that understands pictures does not make any"
    assert registry.component("wan2.2-vae").class_name == "AutoencoderKLWan"


def test_unverified_sources_say_so(registry: Registry) -> None:
    for guess in ("believed", "estimate", "class-defaults"):
        assert not registry.sources[guess].verified
    for model in registry.models.values():
        if model.generation_time is not None:
            assert not registry.sources[model.sources["generation_time"]].verified, "no generation time was measured"


def test_bundled_configs_are_for_the_class_of_their_component(registry: Registry) -> None:
    assert {folder.name for folder in CONFIGS.iterdir()} <= registry.components.keys()
    for component in registry.components.values():
        named = _bundled_class(component)
        assert named in (component.class_name, None), component.id
        assert named or not component.parameters, f"{component.id} has no bundled config"


def _bundled_class(component: ComponentEntry) -> str | None:
    for path in (CONFIGS / component.id).glob("*.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        return str(config.get("_class_name") or config["architectures"][0])
    return None


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ("flux1-schnell-scheduler", {"shift": 1.0, "use_dynamic_shifting": False}),
        ("flux1-dev-scheduler", {"shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}),
        ("qwen-image-scheduler", {"shift_terminal": 0.02, "max_shift": 0.9, "max_image_seq_len": 8192}),
        ("wan2.1-480p-scheduler", {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}),
    ],
)
def test_bundled_scheduler_configs(scheduler: str, expected: dict[str, object]) -> None:
    config = json.loads((CONFIGS / scheduler / "scheduler_config.json").read_text(encoding="utf-8"))
    assert {key: config[key] for key in expected} == expected


def test_vae_latent_statistics_are_the_real_ones() -> None:
    config = {name: json.loads((CONFIGS / name / "config.json").read_text()) for name in ("wan2.1-vae", "wan2.2-vae", "flux1-vae")}
    assert (config["flux1-vae"]["scaling_factor"], config["flux1-vae"]["shift_factor"]) == (0.3611, 0.1159)
    assert config["wan2.1-vae"]["latents_mean"][:2] == [-0.7571, -0.7089] and len(config["wan2.1-vae"]["latents_std"]) == 16
    # The 48 channels of the 2.2 VAE as ComfyUI's latent format Wan22 lists them: first, last, and sum as a check on the rest.
    mean, std = config["wan2.2-vae"]["latents_mean"], config["wan2.2-vae"]["latents_std"]
    assert (len(mean), mean[0], mean[-1]) == (48, -0.2289, -0.0667)
    assert (len(std), std[0], std[-1]) == (48, 0.4765, 0.7744)


def test_models_of_filters_by_architecture_and_task(registry: Registry) -> None:
    flux = [model.id for model in registry.models_of("flux", "text_to_image")]
    assert flux == ["FLUX.1-schnell", "FLUX.1-dev", "FLUX.1-Krea-dev"]
    assert "FLUX.1-pro" not in [model.id for model in registry.models_of("flux")]
    assert {m.architecture for m in registry.models_of(["flux", "wan"])} == {"flux", "wan"}


def test_the_registry_is_read_once_until_a_file_changes() -> None:
    assert load_registry() is load_registry()


def test_listing_imports_no_heavy_library() -> None:
    code = (
        "import sys, advanced_models.cli as c; c.main(['models', '--json']); "
        "sys.exit(any(n in sys.modules for n in ('torch', 'diffusers', 'transformers', 'accelerate', 'bitsandbytes')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    models = {model["id"]: model for model in json.loads(done.stdout)}
    dev = models["FLUX.1-dev"]
    assert dev["download_bytes"] == pytest.approx(33.7e9, rel=0.005)
    assert dev["weight_bytes"]["bf16"] / 2**30 == pytest.approx(31.42, abs=0.01)  # 22.168 + 0.229 + 8.870 + 0.156
    assert dev["gated"] == "yes" and "generation_time" in dev["unverified"]
    assert models["FLUX.1-pro"]["download_bytes"] is None


def test_the_table_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--architecture", "flux"]) == 0
    table = capsys.readouterr().out
    assert "GB" in table and "GiB" in table and "FLUX.1-schnell" in table and "Qwen" not in table
    assert max(len(line) for line in table.splitlines()) <= 120
    assert main(["models", "--architecture", "flax"]) == 2
    assert "did you mean 'flux'?" in capsys.readouterr().err


def test_the_file_is_plain_yaml() -> None:
    assert set(yaml.safe_load(Path(REGISTRY_FILE).read_text(encoding="utf-8"))) == {
        "sources",
        "licences",
        "architectures",
        "components",
        "models",
    }
