"""Node by node, FLUX paints what the whole diffusers pipeline paints with the same seed, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models.loaders.store import Store
from advanced_models.nodes import NODE_CLASS_MAPPINGS
from advanced_models.pipelines import flux, tiles
from devices import on_cpu, on_device
from step_cache_support import enable_cache

PROMPT = "a red fox jumps over the lazy dog"
SEED = 1234
SIZE = {"width": 64, "height": 80}
# Steps, guidance and prompt length as the model cards of FLUX.1 [dev] and [schnell] give them.
CALLS = {
    "FLUX.1-dev": {"num_inference_steps": 28, "guidance_scale": 3.5, "max_sequence_length": 512},
    "FLUX.1-schnell": {"num_inference_steps": 4, "guidance_scale": 0.0, "max_sequence_length": 256},
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@pytest.fixture(params=["FLUX.1-dev", "FLUX.1-schnell"])
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["fp32", "bf16"])
def precision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def picture() -> torch.Tensor:
    """A picture [1, H, W, 3] with smooth colours and an edge."""
    rows = torch.linspace(0, 1, SIZE["height"])[:, None]
    columns = torch.linspace(0, 1, SIZE["width"])[None, :]
    return torch.stack([rows * columns, rows.expand(-1, SIZE["width"]), (columns > 0.4).float().expand(SIZE["height"], -1)], -1)[None]


@pytest.fixture
def mask() -> torch.Tensor:
    """The right half of the picture, [1, H, W]."""
    return (torch.arange(SIZE["width"]) >= SIZE["width"] // 2).float().expand(1, SIZE["height"], -1).clone()


def whole_pipeline(pipeline_class: str, folder: Path, precision: str, cache: Any = None, **call: Any) -> torch.Tensor:
    """Pictures [B, H, W, 3] of the monolithic pipeline."""
    import diffusers

    pipeline = getattr(diffusers, pipeline_class).from_pretrained(folder).to(DTYPES[precision])
    on_device(pipeline)
    pipeline.set_progress_bar_config(disable=True)
    enable_cache(pipeline, cache)
    with torch.inference_mode():
        images = pipeline(PROMPT, **SIZE, **call, generator=torch.Generator().manual_seed(SEED), output_type="pt").images
    return on_cpu(images).movedim(1, -1).float()


def node_by_node(
    model: str, precision: str, picture: torch.Tensor | None = None, mask: torch.Tensor | None = None, **settings: Any
) -> torch.Tensor:
    """The same through the nodes, as a graph would call them."""
    load, encode_text, encode, denoise, decode = (
        NODE_CLASS_MAPPINGS[name]() for name in ("FluxLoader", "FluxPromptEncode", "FluxEncode", "FluxDenoise", "FluxDecode")
    )
    with torch.inference_mode():
        transformer, clip_l, t5_xxl, vae, _ = load.select(model, precision)
        (conditioning,) = encode_text.encode(clip_l, t5_xxl, PROMPT)
        latent = None if picture is None else encode.encode(vae, picture)[0]
        (samples,) = denoise.denoise(transformer, conditioning, **SIZE, seed=SEED, latent=latent, mask=mask, **settings)
        (images,) = decode.decode(vae, samples)
    return images


@pytest.mark.parametrize("batch_size", [1, 2])
def test_text_to_image(use_host: object, models_folder: Path, model: str, precision: str, batch_size: int) -> None:
    folder = models_folder / "diffusers" / model
    expected = whole_pipeline("FluxPipeline", folder, precision, **CALLS[model], num_images_per_prompt=batch_size)
    images = node_by_node(model, precision, batch_size=batch_size)
    assert images.shape == (batch_size, SIZE["height"], SIZE["width"], 3)
    assert torch.equal(images, expected)
    assert expected.std() > 0.05


@pytest.mark.parametrize("batch_size", [1, 2])
def test_image_to_image(use_host: object, models_folder: Path, model: str, precision: str, batch_size: int, picture: torch.Tensor) -> None:
    folder = models_folder / "diffusers" / model
    call = CALLS[model] | {"image": picture.movedim(-1, 1), "strength": 0.6, "num_images_per_prompt": batch_size}
    expected = whole_pipeline("FluxImg2ImgPipeline", folder, precision, **call)
    assert torch.equal(node_by_node(model, precision, picture, denoise=0.6, batch_size=batch_size), expected)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_inpaint(
    use_host: object, models_folder: Path, model: str, precision: str, batch_size: int, picture: torch.Tensor, mask: torch.Tensor
) -> None:
    folder = models_folder / "diffusers" / model
    call = CALLS[model] | {"image": picture.movedim(-1, 1), "mask_image": mask[:, None], "strength": 0.8}
    expected = whole_pipeline("FluxInpaintPipeline", folder, precision, **call, num_images_per_prompt=batch_size)
    assert torch.equal(node_by_node(model, precision, picture, mask, denoise=0.8, batch_size=batch_size), expected)


def test_two_pictures_at_once(use_host: object, models_folder: Path, picture: torch.Tensor) -> None:
    pictures = torch.cat([picture, picture.flip(2)])
    call = CALLS["FLUX.1-dev"] | {"image": pictures.movedim(-1, 1), "strength": 0.6, "num_images_per_prompt": 2}
    expected = whole_pipeline("FluxImg2ImgPipeline", models_folder / "diffusers" / "FLUX.1-dev", "fp32", **call)
    assert torch.equal(node_by_node("FLUX.1-dev", "fp32", pictures, denoise=0.6), expected)


def test_own_text_for_clip(use_host: object, flux_dev: Path) -> None:
    load, encode = NODE_CLASS_MAPPINGS["FluxLoader"](), NODE_CLASS_MAPPINGS["FluxPromptEncode"]()
    _, clip_l, t5_xxl, _, _ = load.select("FLUX.1-dev")
    [[_, same]] = encode.encode(clip_l, t5_xxl, PROMPT)[0]
    [[embeds, other]] = encode.encode(clip_l, t5_xxl, PROMPT, clip_prompt="oil painting")[0]
    [[only_clip, reference]] = encode.encode(clip_l, t5_xxl, "oil painting")[0]
    assert torch.equal(other["pooled_output"], reference["pooled_output"])
    assert not torch.equal(other["pooled_output"], same["pooled_output"])
    assert not torch.equal(embeds, only_clip)


def test_changed_latents_are_not_drawn_from_the_old_posterior(use_host: object, flux_dev: Path, picture: torch.Tensor) -> None:
    """Another node that changes the samples carries our posterior along; the samples count then."""
    load, encode, denoise = (NODE_CLASS_MAPPINGS[name]() for name in ("FluxLoader", "FluxEncode", "FluxDenoise"))
    transformer, clip_l, t5_xxl, vae, _ = load.select("FLUX.1-dev", "fp32")
    conditioning = NODE_CLASS_MAPPINGS["FluxPromptEncode"]().encode(clip_l, t5_xxl, PROMPT)[0]
    with torch.inference_mode():
        (latent,) = encode.encode(vae, picture)
        flipped = latent | {"samples": latent["samples"].flip(-1)}
        run = {**SIZE, "seed": SEED, "steps": 4, "denoise": 0.5}
        from_flipped = denoise.denoise(transformer, conditioning, **run, latent=flipped)[0]["samples"]
        without_posterior = denoise.denoise(transformer, conditioning, **run, latent={"samples": flipped["samples"]})[0]["samples"]
    assert torch.equal(from_flipped, without_posterior)


def test_a_mask_may_come_with_the_latent(use_host: object, flux_schnell: Path, picture: torch.Tensor, mask: torch.Tensor) -> None:
    """As ComfyUI's Set Latent Noise Mask puts it there, [B, 1, H, W]; a mask of its own input counts before it."""
    load, encode, denoise = (NODE_CLASS_MAPPINGS[name]() for name in ("FluxLoader", "FluxEncode", "FluxDenoise"))
    transformer, clip_l, t5_xxl, vae, _ = load.select("FLUX.1-schnell", "fp32")
    conditioning = NODE_CLASS_MAPPINGS["FluxPromptEncode"]().encode(clip_l, t5_xxl, PROMPT)[0]
    with torch.inference_mode():
        (latent,) = encode.encode(vae, picture)
        carrying = latent | {"noise_mask": mask.reshape(-1, 1, *mask.shape[-2:])}

        def paint(**inputs: Any) -> torch.Tensor:
            return denoise.denoise(transformer, conditioning, **SIZE, seed=SEED, steps=4, denoise=0.8, **inputs)[0]["samples"]

        masked = paint(latent=latent, mask=mask)
        assert torch.equal(paint(latent=carrying), masked)
        assert torch.equal(paint(latent=carrying, mask=1 - mask), paint(latent=latent, mask=1 - mask))
    assert not torch.equal(masked, paint(latent=latent))


def test_denoise_zero_keeps_the_picture(use_host: object, flux_dev: Path, picture: torch.Tensor) -> None:
    load, encode, denoise = (NODE_CLASS_MAPPINGS[name]() for name in ("FluxLoader", "FluxEncode", "FluxDenoise"))
    transformer, clip_l, t5_xxl, vae, _ = load.select("FLUX.1-dev")
    conditioning = NODE_CLASS_MAPPINGS["FluxPromptEncode"]().encode(clip_l, t5_xxl, PROMPT)[0]
    with torch.inference_mode():
        (latent,) = encode.encode(vae, picture)
        (same,) = denoise.denoise(transformer, conditioning, **SIZE, seed=SEED, denoise=0.0, latent=latent)
    assert torch.equal(same["samples"], latent["samples"])


def test_another_seed_loads_nothing(use_host: object, flux_dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from advanced_models.loaders import store as store_module

    store = Store()
    for module in (flux, tiles):
        monkeypatch.setattr(module, "STORE", store)
    assert store_module.STORE is not store
    first = node_by_node("FLUX.1-dev", "bf16", steps=2)
    assert store.loads == 4
    again = node_by_node("FLUX.1-dev", "bf16", steps=2)
    assert store.loads == 4
    assert torch.equal(first, again)
