"""Node by node, Qwen-Image paints what the whole diffusers pipeline paints with the same seed, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from advanced_models.nodes import NODE_CLASS_MAPPINGS
from devices import on_cpu, on_device
from PIL import Image
from qwen_models import dtype_option, picture, processor_of, qwen_folder, qwen_host, small_pictures, token_types, too_new
from step_cache_support import enable_cache

__all__ = ["qwen_folder", "qwen_host", "small_pictures"]

PROMPT = "a red fox jumps over the lazy dog, a sign reads \u201c\u4f60\u597d\u201d"
LONGER = "make the sky blue and remove the car, a small green hill at sunset, cinematic light, high detail"
SEED = 1234
STEPS = 3


@pytest.fixture(params=["fp32", "bf16"])
def precision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def whole_pipeline(
    pipeline_class: str, folder: Path, precision: str, prompt: Any, negative: Any, cache: Any = None, **call: Any
) -> torch.Tensor:
    """Pictures [B, H, W, C] of the monolithic pipeline."""
    import diffusers

    parts = {"processor": processor_of(folder / "processor")} if (folder / "processor").is_dir() else {}
    # Not `.to(dtype)` afterwards: that would round the encoder's rotary frequencies, which stay in float32.
    pipeline = getattr(diffusers, pipeline_class).from_pretrained(folder, **parts, **dtype_option(precision))
    pipeline.set_progress_bar_config(disable=True)
    enable_cache(pipeline, cache)
    on_device(pipeline)
    call = {"num_inference_steps": STEPS, "true_cfg_scale": 4.0} | call
    with torch.inference_mode(), token_types(pipeline.text_encoder):
        images = pipeline(
            prompt=prompt, negative_prompt=negative, **call, generator=torch.Generator().manual_seed(SEED), output_type="pt"
        ).images
    images = images[0] if isinstance(images, list) else images
    return on_cpu(images).movedim(1, -1).float()


def node_by_node(
    model: str,
    precision: str,
    *,
    prompt: str = PROMPT,
    negative: str = " ",
    pictures: tuple[torch.Tensor, ...] = (),
    start: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
    encode_settings: dict[str, Any] | None = None,
    source: str = "auto",
    **settings: Any,
) -> torch.Tensor:
    """The same through the nodes, as a graph would call them."""
    load, encode_text, encode, denoise, decode = (
        NODE_CLASS_MAPPINGS[f"QwenImage{name}"]() for name in ("Loader", "PromptEncode", "Encode", "Denoise", "Decode")
    )
    with torch.inference_mode():
        transformer, qwen_vl, vae, _ = load.select(model, precision, source)
        images = {f"image_{index}": image for index, image in enumerate(pictures, 1)}
        positive, avoided = encode_text.encode(qwen_vl, prompt, negative, vae=vae, **images, **(encode_settings or {}))
        latent = None if start is None else encode.encode(vae, start)[0]
        (samples,) = denoise.denoise(transformer, positive, negative=avoided, seed=SEED, steps=STEPS, latent=latent, mask=mask, **settings)
        (result,) = decode.decode(vae, samples)
    return result


def as_pil(image: torch.Tensor, mode: str = "RGB") -> Image.Image:
    return Image.fromarray((image[0] * 255).round().byte().numpy()).convert(mode)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_text_to_image(qwen_host: object, qwen_folder: Path, precision: str, batch_size: int) -> None:
    size = {"width": 64, "height": 80}
    expected = whole_pipeline(
        "QwenImagePipeline", qwen_folder / "diffusers" / "Qwen-Image", precision, PROMPT, " ", **size, num_images_per_prompt=batch_size
    )
    images = node_by_node("Qwen-Image", precision, **size, batch_size=batch_size)
    assert images.shape == (batch_size, 80, 64, 3)
    assert torch.equal(images, expected)
    assert expected.std() > 0.05


def test_two_prompts_of_different_length(qwen_host: object, qwen_folder: Path, precision: str) -> None:
    """The shorter one is padded, and the padding must not be read."""
    size = {"width": 64, "height": 80}
    folder = qwen_folder / "diffusers" / "Qwen-Image"
    expected = whole_pipeline("QwenImagePipeline", folder, precision, [PROMPT, LONGER], ["blurry, ugly"] * 2, **size)
    both = {"prompt": f"{PROMPT}\n\n{LONGER}", "negative": "blurry, ugly", "encode_settings": {"one_prompt_per_line": True}}
    assert torch.equal(node_by_node("Qwen-Image", precision, **both, **size), expected)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_image_to_image(qwen_host: object, qwen_folder: Path, precision: str, batch_size: int) -> None:
    call = {"image": picture().movedim(-1, 1), "strength": 0.7, "width": 64, "height": 80, "num_images_per_prompt": batch_size}
    folder = qwen_folder / "diffusers" / "Qwen-Image"
    expected = whole_pipeline("QwenImageImg2ImgPipeline", folder, precision, PROMPT, "blurry", **call)
    images = node_by_node("Qwen-Image", precision, negative="blurry", start=picture(), denoise=0.7, batch_size=batch_size)
    assert torch.equal(images, expected)


def test_inpaint(qwen_host: object, qwen_folder: Path, precision: str) -> None:
    mask = (torch.arange(64) >= 32).float().expand(1, 80, -1).clone()
    call = {"image": picture().movedim(-1, 1), "mask_image": mask[:, None], "strength": 0.8, "width": 64, "height": 80}
    folder = qwen_folder / "diffusers" / "Qwen-Image"
    expected = whole_pipeline("QwenImageInpaintPipeline", folder, precision, PROMPT, " ", **call)
    assert torch.equal(node_by_node("Qwen-Image", precision, start=picture(), mask=mask, denoise=0.8), expected)


def test_without_guidance_the_negative_prompt_has_no_say(qwen_host: object, qwen_folder: Path) -> None:
    size = {"width": 64, "height": 64}
    folder = qwen_folder / "diffusers" / "Qwen-Image"
    expected = whole_pipeline("QwenImagePipeline", folder, "bf16", PROMPT, None, **size, true_cfg_scale=1.0)
    assert torch.equal(node_by_node("Qwen-Image", "bf16", **size, true_cfg=1.0), expected)
    assert torch.equal(node_by_node("Qwen-Image", "bf16", negative="blurry", **size, true_cfg=1.0), expected)
    assert not torch.equal(node_by_node("Qwen-Image", "bf16", **size, true_cfg=4.0), expected)


@pytest.mark.parametrize("size", [{}, {"width": 96, "height": 64}])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_edit(qwen_host: object, qwen_folder: Path, small_pictures: None, precision: str, size: dict[str, int], batch_size: int) -> None:
    source = picture(90, 70)
    folder = qwen_folder / "diffusers" / "Qwen-Image-Edit"
    call = {"image": as_pil(source), **size, "num_images_per_prompt": batch_size}
    expected = whole_pipeline("QwenImageEditPipeline", folder, precision, LONGER, " ", **call)
    images = node_by_node("Qwen-Image-Edit", precision, prompt=LONGER, pictures=(source,), batch_size=batch_size, **size)
    assert torch.equal(images, expected)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("model", ["Qwen-Image-Edit-2509", "Qwen-Image-Edit-2511"])
def test_edit_several_pictures(qwen_host: object, qwen_folder: Path, small_pictures: None, precision: str, model: str, count: int) -> None:
    if too_new(model):
        pytest.skip("the installed diffusers does not know the model yet")
    sources = (picture(90, 70), picture(50, 100, phase=0.3), picture(64, 64, phase=0.6))[:count]
    call = {"image": [as_pil(source) for source in sources]}
    expected = whole_pipeline("QwenImageEditPlusPipeline", qwen_folder / "diffusers" / model, precision, LONGER, "blurry", **call)
    images = node_by_node(model, precision, prompt=LONGER, negative="blurry", pictures=sources)
    assert torch.equal(images, expected)
    fewer = node_by_node(model, precision, prompt=LONGER, negative="blurry", pictures=sources[1:] or (picture(64, 64),))
    assert not torch.equal(fewer, expected)


@pytest.mark.skipif(too_new("Qwen-Image-Edit-2511"), reason="the installed diffusers does not know the model yet")
def test_2511_keeps_its_pictures_at_time_zero(qwen_host: object, qwen_folder: Path) -> None:
    """Without the setting the same weights paint something else, so a loader that drops it would be silently wrong."""
    from advanced_models.loaders.store import STORE

    transformer, *_ = NODE_CLASS_MAPPINGS["QwenImageLoader"]().select("Qwen-Image-Edit-2511", "fp32", "auto")
    with STORE.use(transformer) as (module,):
        assert module.config.zero_cond_t


@pytest.mark.skipif(too_new("Qwen-Image-Layered"), reason="the installed diffusers does not know the model yet")
def test_layers(qwen_host: object, qwen_folder: Path, monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_layered

    scaled = pipeline_qwenimage_layered.calculate_dimensions
    monkeypatch.setattr(pipeline_qwenimage_layered, "calculate_dimensions", lambda area, ratio: scaled(area / 100, ratio))
    source = picture(90, 70)
    folder = qwen_folder / "diffusers" / "Qwen-Image-Layered"
    call = {"image": as_pil(source, "RGBA"), "layers": 3, "resolution": 640, "cfg_normalize": True}
    expected = whole_pipeline("QwenImageLayeredPipeline", folder, precision, LONGER, " ", **call)
    images = node_by_node("Qwen-Image-Layered", precision, prompt=LONGER, pictures=(source,), layers=3)
    assert images.shape == (3, 64, 64, 4)
    assert torch.equal(images, expected)


@pytest.mark.skipif(too_new("Qwen-Image-Layered"), reason="the installed diffusers does not know the model yet")
def test_layers_of_a_picture_that_the_encoder_describes(qwen_host: object, qwen_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_layered

    scaled = pipeline_qwenimage_layered.calculate_dimensions
    monkeypatch.setattr(pipeline_qwenimage_layered, "calculate_dimensions", lambda area, ratio: scaled(area / 100, ratio))
    source = picture(90, 70)
    folder = qwen_folder / "diffusers" / "Qwen-Image-Layered"
    call = {"image": as_pil(source, "RGBA"), "layers": 2, "cfg_normalize": True, "use_en_prompt": True}
    expected = whole_pipeline("QwenImageLayeredPipeline", folder, "bf16", "", " ", **call)
    # With 'auto' the encoder is the chat model's, whose repository has other settings for writing.
    model = "Qwen-Image-Layered"
    assert torch.equal(node_by_node(model, "bf16", prompt="", pictures=(source,), layers=2, source=model), expected)
